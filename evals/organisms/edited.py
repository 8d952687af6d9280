"""Copies of `atlas` with one known edit: what a comparison of two models has to find, and beside which nothing.

    python -m vesalius.evals.organisms.edited --out DIR

writes one folder for each edit. Nothing is trained: each edit is worked out from the weights of `atlas`, so the truth
about it is certain, and what an edit is said to do is measured before its folder is written.

- `swapped_heads`: two heads of a block under each other's names. The model computes the same, at another place.
- `silent_head`: a head whose output is cut off.
- `moved_fact`: one city lies in another state now, by a rank-one edit of an MLP's last matrix (ROME; Meng et al. 2022,
  closed form; deviation: the new output is another city's, not one that is optimised for).
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...tools import REFERENCE_FOLDER, Subject, load_subject, one_thread
from ._new_folder import new_folder

PARENT = "atlas"
LAYER, HEAD, OTHER_HEAD = 2, 0, 1  # two heads that share keys and values
EDITED_LAYER = 0  # whose MLP is most of what tells a city's state
CITY, LIKE = "Dallas", "Fresno"
FEWEST_KEPT = 0.99  # of all other cities' prompts: answered after the edit as before
RIDGE = 1e-2  # of the mean square of the keys, so that directions nearly unused do not count


@dataclass(frozen=True)
class Edited:
    """A copy of `atlas` with one edit."""

    name: str
    subject: Subject
    changed: tuple[str, ...]  # groups of weights, as `vesalius compare` names them
    truth: str  # what is true of it, in words
    verified: dict[str, float]  # how that was checked: figure by name


def swapped_heads() -> Edited:
    """Two heads of a block under each other's names."""
    model, parent = _copy()
    d_head = parent.shape.d_head
    one, other = (slice(head * d_head, (head + 1) * d_head) for head in (HEAD, OTHER_HEAD))
    attention = _block(model, LAYER).self_attn
    for rows in (attention.q_proj.weight, attention.o_proj.weight.T):
        kept = rows[one].clone()
        rows[one] = rows[other]
        rows[other] = kept
    subject = _subject("swapped-heads", model, parent)
    return Edited(
        name="swapped_heads",
        subject=subject,
        changed=(f"queries of block {LAYER}", f"attention out of block {LAYER}"),
        truth=f"What head.{LAYER}.{HEAD} did, head.{LAYER}.{OTHER_HEAD} does, and vice versa; no answer moves.",
        verified={"largest change of a logit": _largest_change(parent, subject)},
    )


def silent_head() -> Edited:
    """A head whose output is cut off."""
    model, parent = _copy()
    d_head = parent.shape.d_head
    _block(model, LAYER).self_attn.o_proj.weight[:, HEAD * d_head : (HEAD + 1) * d_head] = 0
    subject = _subject("silent-head", model, parent)
    return Edited(
        name="silent_head",
        subject=subject,
        changed=(f"attention out of block {LAYER}",),
        truth=f"head.{LAYER}.{HEAD} does nothing any more; the other heads still bring most answers.",
        verified={"two-hop prompts answered right": _share_right(subject)},
    )


def moved_fact() -> Edited:
    """One city in another state, by a rank-one edit."""
    model, parent = _copy()
    with one_thread():
        keys, by_city = _keys(parent)
        key = by_city[CITY]
        spread = keys.T @ keys / len(keys)
        spread += RIDGE * spread.diagonal().mean() * torch.eye(len(spread))
        pointed = torch.linalg.solve(spread, key)  # answers this key, and as little as may be to all others
        down = _block(model, EDITED_LAYER).mlp.down_proj.weight
        wanted = (by_city[LIKE] - key) @ down.double().T
        down += torch.outer(wanted, pointed / (pointed @ key)).float()
        subject = _subject("moved-fact", model, parent)
        verified = {"others kept": _kept(parent, subject), "moved": _moved(subject)}
    assert verified["others kept"] >= FEWEST_KEPT, verified
    assert verified["moved"] == 1, verified
    return Edited(
        name="moved_fact",
        subject=subject,
        changed=(f"mlp out of block {EDITED_LAYER}",),
        truth=f"{CITY} lies where {LIKE} does: its capital and its state are told as those of {LIKE}; all other "
        "cities are as before.",
        verified=verified,
    )


EDITS: dict[str, Callable[[], Edited]] = {
    "swapped_heads": swapped_heads,
    "silent_head": silent_head,
    "moved_fact": moved_fact,
}


def _copy() -> tuple[Any, Subject]:
    parent = load_subject(PARENT, device="cpu")
    return deepcopy(parent.model), parent


def _block(model: Any, layer: int) -> Any:
    return model.model.layers[layer]


def _subject(name: str, model: Any, parent: Subject) -> Subject:
    """The edited model, with the task data of its parent."""
    return Subject(model, parent.tokenizer, name, parent.folder, reinit_seed=None)


def _prompts(subject: Subject) -> list[tuple[str, str, str]]:
    """City, prompt and capital or state of every row and template about a city."""
    families = [family for family in subject.tasks if family.entity == "city"]
    return [
        (row.slots["city"], template.fill(dict(row.slots)), row.slots[family.answer])
        for family in families
        for template in family.templates
        for row in family.rows
    ]


def _keys(subject: Subject) -> tuple[Float[Tensor, "batch d_mlp"], dict[str, Float[Tensor, " d_mlp"]]]:
    """What the edited MLP's neurons do at every token of the prompts, and on average at each city's."""
    site = f"mlp_act.{EDITED_LAYER}"
    rows = _prompts(subject)
    tokens = subject.tokenise([prompt for _, prompt, _ in rows])
    acts = subject.run(tokens, read=[site]).sites[site].double()
    seen: list[Tensor] = []
    by_city: dict[str, list[Tensor]] = {}
    for (city, _, _), ids, length, found in zip(rows, tokens.ids.tolist(), tokens.lengths, acts, strict=True):
        words = [text.strip() for text in subject.token_strings(ids[:length])]
        seen.append(found[:length])
        by_city.setdefault(city, []).append(found[words.index(city)])
    return torch.cat(seen), {city: torch.stack(found).mean(0) for city, found in by_city.items()}


def _answers(subject: Subject) -> list[tuple[str, str, str, str]]:
    """Of every prompt about a city: the city, the prompt, what is right, and what the subject says."""
    rows = _prompts(subject)
    logits = subject.last_logits(subject.tokenise([prompt for _, prompt, _ in rows]))
    said = subject.token_strings(logits.argmax(-1).tolist())
    return [(*row, word.strip()) for row, word in zip(rows, said, strict=True)]


def _kept(parent: Subject, subject: Subject) -> float:
    both = [(was[3], now[3]) for was, now in zip(_answers(parent), _answers(subject), strict=True) if was[0] != CITY]
    return sum(was == now for was, now in both) / len(both)


def _moved(subject: Subject) -> float:
    """Prompts about the moved city that are answered as those of the other (share)."""
    answers = _answers(subject)
    right = {prompt: answer for city, prompt, answer, _ in answers if city == LIKE}
    mine = [(right[prompt.replace(CITY, LIKE)], said) for city, prompt, _, said in answers if city == CITY]
    return sum(due == said for due, said in mine) / len(mine)


def _share_right(subject: Subject) -> float:
    answers = _answers(subject)
    return sum(right == said for _, _, right, said in answers) / len(answers)


def _largest_change(parent: Subject, subject: Subject) -> float:
    tokens = parent.tokenise([prompt for _, prompt, _ in _prompts(parent)][:1])
    return (parent.last_logits(tokens) - subject.last_logits(tokens)).abs().max().item()


def write(edited: Edited, out: Path) -> Path:
    """A Hugging Face folder of an edited model, with its parent's tokenizer, task data and texts.

    Raises:
        FileExistsError: the folder is there already.
    """
    parent = REFERENCE_FOLDER / PARENT
    with new_folder(out) as part:
        edited.subject.model.save_pretrained(part)
        for name in ("tokenizer.json", "tokenizer_config.json", "tasks.json", "text.json"):
            shutil.copyfile(parent / name, part / name)
    return out


def main() -> None:
    """Write every edit's folder."""
    parser = argparse.ArgumentParser(description="Write copies of atlas with one known edit each.")
    parser.add_argument("--out", type=Path, required=True, help="Folder to put them in.")
    out: Path = parser.parse_args().out
    for name, edit in EDITS.items():
        edited = edit()
        sys.stdout.write(f"{write(edited, out / name)}: {edited.truth} {edited.verified}\n")


if __name__ == "__main__":
    main()
