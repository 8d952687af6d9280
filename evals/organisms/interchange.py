"""Organisms trained with interchange interventions: small models that compute a known causal model on known links.

    python -m vesalius.evals.organisms.interchange --seed 0 --out DIR

trains each from nothing on one core, verifies it on held-out prompts, and writes its folder only when every bar is met.
The same seed gives the same weights, bit for bit, on the same machine. Nothing is shipped: a benchmark gives a folder,
and what is not there is made.

Source: Gupta, Arcuschin, Kwa, Garriga-Alonso 2024, "InterpBench"; for what differs see `_interchange_training.py`.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...tools import Pair, Progress, Subject, ToolError, canonical, one_thread, silent
from ._interchange_causal import CausalModel
from ._interchange_choices import gate, largest, other_name, selection
from ._interchange_facts import two_hop, two_hop_reversed
from ._interchange_folder import not_whole, read_card, read_subject, refuse_existing, sha256, write_folder
from ._interchange_joined import comparison, difference, majority, modular_sum, parity
from ._interchange_keys import chain, induction
from ._interchange_training import Recipe, new_model, train
from ._interchange_verify import families_of, figures, missed
from ._organism import Organism
from ._tokenizer import word_tokenizer

CAUSAL_MODELS: dict[str, Callable[[int], CausalModel]] = {
    make.__name__: make
    for make in (
        two_hop,
        two_hop_reversed,
        parity,
        comparison,
        difference,
        modular_sum,
        majority,
        induction,
        chain,
        selection,
        gate,
        largest,
        other_name,
    )
}
STEPS = {  # training steps where the usual number does not suffice
    "two_hop_reversed": 400,
    "comparison": 450,
    "difference": 400,
    "modular_sum": 450,
    "majority": 450,
    "induction": 400,
    "other_name": 450,
    "chain": 600,
}
HERE = Path(__file__).parent
# Read when the code itself is: what is edited later is not what runs.
CODE = {
    path.name: sha256(path)
    for pattern in ("interchange.py", "_interchange_*.py", "_names.py", "_tokenizer.py")
    for path in sorted(HERE.glob(pattern))
}
EVERY = 25  # steps between two lines of progress


def recipe_of(name: str, seed: int) -> Recipe:
    """How the organism of that name is trained.

    Raises:
        ToolError: no such organism.
    """
    if name not in CAUSAL_MODELS:
        raise ToolError(f"There is no organism `{name}`.", mend=f"Organisms: {', '.join(CAUSAL_MODELS)}.")
    usual = Recipe(seed=seed)
    return Recipe(seed=seed, steps=STEPS.get(name, usual.steps))


def interchange_organisms(
    seed: int, cache: Path, progress: Progress = silent, names: Sequence[str] = tuple(CAUSAL_MODELS)
) -> Iterator[Organism]:
    """Every organism of a seed: from the folder where it was made before, and made there otherwise.

    Args:
        cache: Folder of folders; the name of each says the recipe that made it.
        names: Which of them.

    Raises:
        ToolError: no such organism, a folder that is not what was made there, or bars that were missed.
    """
    recipes = [recipe_of(name, seed) for name in names]
    total, before = sum(recipe.steps for recipe in recipes), 0
    for name, recipe in zip(names, recipes, strict=True):
        causal = CAUSAL_MODELS[name](seed)
        folder = cache / f"{name}-{recipe_digest(causal, recipe)[:12]}"

        def watch(step: int, losses: Mapping[str, float], name: str = name, before: int = before) -> None:
            if step % EVERY == 0:
                shown = "  ".join(f"{loss} {value:.3f}" for loss, value in losses.items())
                progress(before + step, total, f"{name}  {shown}")

        if not folder.exists():
            make(causal, recipe, folder, watch)
        before += recipe.steps
        progress(before, total, f"{name}  ready")
        yield load(folder, causal, recipe)


def make(
    causal: CausalModel, recipe: Recipe, folder: Path, watch: Callable[[int, Mapping[str, float]], None]
) -> dict[str, Any]:
    """Train, verify, and write the folder in one move.

    Returns:
        The card.

    Raises:
        ToolError: the folder is there already, or a bar was missed; nothing is written.
    """
    refuse_existing(folder)
    started = time.process_time()
    tokenizer = word_tokenizer(list(causal.words))
    families = families_of(causal)
    with one_thread():
        model = new_model(causal.build, len(tokenizer), recipe.seed)
        train(model, tokenizer, causal, recipe, watch)
        trained = time.process_time() - started
        found = figures(Subject(model, tokenizer, causal.name, None, None), causal, families)
    if low := missed(found):
        raise ToolError(
            f"{causal.name} of seed {recipe.seed} is refused: {', '.join(low)}.",
            mend="Take another seed or more steps.",
        )
    content = {
        "name": causal.name,
        "truth": causal.truth,
        "variables": {v.name: {"node": v.place, "is": v.says} for v in causal.variables},
        "links": [list(link) for link in sorted(causal.links)],
        "verified": dict(found),
        "recipe": asdict(recipe),
        "recipe_digest": recipe_digest(causal, recipe),
        "cpu_seconds": {"training": round(trained, 1), "all": round(time.process_time() - started, 1)},
        "families": {
            family: [[pair.base, pair.corrupted, pair.answer, pair.foil] for pair in pairs]
            for family, pairs in families.items()
        },
    }
    return write_folder(folder, model, tokenizer, content)


def load(folder: Path, causal: CausalModel, recipe: Recipe) -> Organism:
    """The organism that was written there.

    Raises:
        ToolError: no whole folder, weights other than those that were verified, or made by another recipe.
    """
    card = read_card(folder, recipe_digest(causal, recipe))
    try:
        families = {
            family: tuple(Pair(base=b, corrupted=c, answer=a, foil=f) for b, c, a, f in rows)
            for family, rows in card["families"].items()
        }
        verified = {name: float(value) for name, value in card["verified"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise not_whole(folder, error) from error
    subject = read_subject(folder, causal.name)
    return Organism(causal.name, "interchange", subject, families, causal.links, causal.truth, verified)


def recipe_digest(causal: CausalModel, recipe: Recipe) -> str:
    """Of everything that decides the weights and the verdict on them: recipe, sizes, words and code."""
    made = {"recipe": asdict(recipe), "build": asdict(causal.build), "words": list(causal.words), "code": CODE}
    links = [list(link) for link in sorted(causal.links)]
    return hashlib.sha256(canonical({**made, "links": links, "torch": torch.__version__}).encode()).hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Read the command line and make the organisms."""
    parser = argparse.ArgumentParser(prog="python -m vesalius.evals.organisms.interchange", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="decides words, places, weights and prompts")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the organisms' folders into")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(CAUSAL_MODELS)}")
    given = parser.parse_args(argv)
    clock = time.monotonic()

    def say(done: int, total: int, what: str) -> None:
        left = (time.monotonic() - clock) / done * (total - done)
        print(f"{done}/{total}  {left:.0f} s left  {what}", file=sys.stderr)

    try:
        for organism in interchange_organisms(given.seed, given.out, say, given.only or tuple(CAUSAL_MODELS)):
            shown = "  ".join(f"{name} {value:.3f}" for name, value in organism.verified.items())
            print(f"{organism.name}: {len(organism.links)} true links  {shown}")
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
