"""The transcoders of the reference model `atlas`.

    python -m vesalius.evals.organisms.atlas_dictionary --seed 0

trains one TopK transcoder per layer on atlas's sentences and on the trained rows of its tasks, prints how well each
stands in for its MLP on text held out, and on the held-out rows of the tasks, and writes the dictionary beside the
model only when every layer recovers the loss that is due. The same seed gives the same file on the same machine.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from ...tools import (
    REFERENCE_FOLDER,
    TRANSCODERS,
    Dictionary,
    LayerStats,
    Subject,
    ToolError,
    Transcoder,
    TranscoderRecipe,
    evaluate_transcoder,
    load_subject,
    save_dictionary,
    splices,
    train_transcoders,
)

RECIPE = TranscoderRecipe(n_features=512, k=12, steps=1500)
LEAST_RECOVERED = 0.95
OUT = REFERENCE_FOLDER / "atlas" / "dictionaries" / f"{TRANSCODERS}.safetensors"


def filled(subject: Subject, split: Literal["train", "held_out"]) -> list[tuple[str, str]]:
    """Every (prompt, answer) of one split of the model's tasks."""
    return [
        (template.fill(row.slots), row.slots[family.answer])
        for family in subject.tasks
        for row in family.rows
        if row.split == split
        for template in family.templates
    ]


def sentences(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Prompts with their answers."""
    return [f"{prompt} {answer}" for prompt, answer in pairs]


def accuracy(subject: Subject, pairs: Sequence[tuple[str, str]], dictionary: Dictionary | None = None) -> float:
    """Share of prompts that get their answer, with every MLP replaced by its transcoder where a dictionary is given."""
    edits = splices([one for one in dictionary.layers if isinstance(one, Transcoder)]) if dictionary else {}
    logits = subject.last_logits(subject.tokenise([prompt for prompt, _ in pairs]), lambda rows: edits)
    answers = torch.tensor([subject.answer_token(*pair) for pair in pairs])
    return (logits.argmax(-1).cpu() == answers).float().mean().item()


def table(stats: Sequence[LayerStats]) -> str:
    """The figures of all layers, one line each."""
    lines = ["layer  unexplained     L0   dead  recovered   clean  spliced  ablated  tokens"]
    lines += [
        f"{s.layer:>5}  {s.variance_unexplained:>11.4f}  {s.l0:>5.1f}  {s.dead:>5.3f}  {s.loss_recovered:>9.4f}  "
        f"{s.loss_clean:>6.4f}  {s.loss_spliced:>7.4f}  {s.loss_ablated:>7.4f}  {s.n_tokens:>6}"
        for s in stats
    ]
    return "\n".join(lines)


def make(subject: Subject, recipe: TranscoderRecipe, out: Path, say: Callable[[str], None]) -> Dictionary:
    """Train, measure, print and write.

    Raises:
        ValueError: a layer recovers too little; nothing is written.
    """
    trained, unseen = filled(subject, "train"), filled(subject, "held_out")

    def progress(done: int, total: int, what: str) -> None:
        if done % 500 == 0:
            say(f"{done}/{total}  {what}")

    dictionary = train_transcoders(subject, [*subject.texts, *sentences(trained)], recipe, progress)
    on_rows = []
    for one in dictionary.layers:
        assert isinstance(one, Transcoder)
        on_rows.append(
            evaluate_transcoder(subject, one, sentences(unseen), torch.zeros(one.n_features, dtype=torch.bool))
        )
    say(f"held-out texts\n{table(dictionary.stats)}\nheld-out rows of the tasks\n{table(on_rows)}")
    for name, pairs in (("trained", trained), ("held-out", unseen)):
        clean, spliced = accuracy(subject, pairs), accuracy(subject, pairs, dictionary)
        say(f"answers on {name} rows: {clean:.4f} clean, {spliced:.4f} with every MLP replaced (n={len(pairs)})")
    low = [s for s in (*dictionary.stats, *on_rows) if not s.loss_recovered >= LEAST_RECOVERED]
    if low:
        layers = ", ".join(f"layer {s.layer} recovers {s.loss_recovered:.4f}" for s in low)
        raise ValueError(f"{layers}; {LEAST_RECOVERED} is due. Train for more steps, or with more features or k.")
    save_dictionary(dictionary, out)
    return dictionary


def main(argv: list[str] | None = None) -> int:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m vesalius.evals.organisms.atlas_dictionary", description=__doc__)
    parser.add_argument("--seed", type=int, default=RECIPE.seed, help="decides the split and the weights")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="training steps per layer")
    parser.add_argument("--out", type=Path, default=OUT, help="file to write")
    given = parser.parse_args(argv)
    try:
        recipe = replace(RECIPE, seed=given.seed, steps=given.steps)
        made = make(load_subject("atlas", device="cpu"), recipe, given.out, lambda line: print(line, file=sys.stderr))
    except (ToolError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.out}  digest {made.digest[:8]}  trained on {made.trained_on[:8]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
