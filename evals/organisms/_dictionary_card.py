"""How well the transcoders of a model with task data stand in for its MLPs, as figures and as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from ...tools import Dictionary, LayerStats, Subject, Transcoder, evaluate_transcoder, splices

Split = Literal["train", "held_out"]


@dataclass(frozen=True)
class Answered:
    """Prompts of one split that get their answer (shares)."""

    split: Split
    clean: float
    spliced: float
    n: int


@dataclass(frozen=True)
class Quality:
    """Measured on prompts of the tasks: each layer on held-out rows, and the answers with every MLP replaced."""

    layers: tuple[LayerStats, ...]
    answers: tuple[Answered, ...]


def quality_of(subject: Subject, dictionary: Dictionary) -> Quality:
    """Measure a dictionary on the tasks of its subject."""
    unseen = sentences(filled(subject, "held_out"))
    layers = [
        evaluate_transcoder(subject, one, unseen, torch.zeros(one.n_features, dtype=torch.bool))
        for one in transcoders(dictionary)
    ]
    return Quality(tuple(layers), (_answered(subject, dictionary, "train"), _answered(subject, dictionary, "held_out")))


def transcoders(dictionary: Dictionary) -> list[Transcoder]:
    """The layers of a dictionary of transcoders."""
    return [one for one in dictionary.layers if isinstance(one, Transcoder)]


def filled(subject: Subject, split: Split) -> list[tuple[str, str]]:
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
    edits = splices(transcoders(dictionary)) if dictionary else {}
    logits = subject.last_logits(subject.tokenise([prompt for prompt, _ in pairs]), lambda rows: edits)
    answers = torch.tensor([subject.answer_token(*pair) for pair in pairs])
    return (logits.argmax(-1).cpu() == answers).float().mean().item()


def _answered(subject: Subject, dictionary: Dictionary, split: Split) -> Answered:
    pairs = filled(subject, split)
    return Answered(split, accuracy(subject, pairs), accuracy(subject, pairs, dictionary), len(pairs))


def render(dictionary: Dictionary, quality: Quality, command: str) -> str:
    """The dictionary's card as a page."""
    answered = [
        f"| {a.split.replace('_', '-')} rows | {a.clean:.4f} | {a.spliced:.4f} | {a.n} |" for a in quality.answers
    ]
    first = transcoders(dictionary)[0]
    lines = [
        "# Transcoders of atlas",
        "",
        "One TopK transcoder per layer, that stands in for the layer's MLP: it reads what the MLP reads and writes",
        "what the MLP writes, through features of which few are active at a token.",
        "",
        f"- features per layer: {first.n_features}, active at a token: {first.k}",
        f"- recipe: `{command}`",
        f"- digest: `{dictionary.digest}`",
        f"- trained on the weights with fingerprint `{dictionary.trained_on}`",
        "",
        "*Unexplained*: share of the output's variance that is missed. *Recovered*: of the loss (nats per token) that",
        "zeroing the MLP costs, the share that the transcoder saves; above 1, the model predicts better with it.",
        "",
        "## On texts held out from its training",
        "",
        *_table(dictionary.stats),
        "",
        "## On held-out rows of the tasks",
        "",
        *_table(quality.layers),
        "",
        "## Answers with every MLP replaced",
        "",
        "| prompts | clean | replaced | n |",
        "| --- | --- | --- | --- |",
        *answered,
    ]
    return "\n".join(lines) + "\n"


def _table(stats: Sequence[LayerStats]) -> list[str]:
    head = ("layer", "unexplained", "L0", "dead", "recovered", "loss clean", "spliced", "ablated", "tokens")
    rows = [
        f"| {s.layer} | {s.variance_unexplained:.4f} | {s.l0:.1f} | {s.dead:.3f} | {s.loss_recovered:.4f} | "
        f"{s.loss_clean:.4f} | {s.loss_spliced:.4f} | {s.loss_ablated:.4f} | {s.n_tokens} |"
        for s in stats
    ]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *rows]
