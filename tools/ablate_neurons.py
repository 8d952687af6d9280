"""Find units that one of two tasks needs and the other does not, and prove it by ablating them.

Selective impairment, as in "Disentangling Recall and Reasoning in Transformer Models through Layer-wise Attention and
Activation Analysis" (Fartale et al. 2025, arXiv 2510.03366), where the two tasks are recall and reasoning. Deviations,
each for a weakness of such studies: both sets of prompts are compared in length and in the word they end in, and badly
matched ones are refused; units are found on one fold of the prompts and ablated on the others; both tasks get units of
their own, so that a double dissociation can be seen; and random sets as large stand beside every effect.

What is lost is told by how far the right answer falls (`_unit_ablation.py`), as a share of where its set stands, and by
how many answers are no longer right. Selectivity = loss of the target's set less loss of the other set.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool
from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._cross_validation import cluster_numbers, folds_of, held_out_difference
from ._subject import Subject
from ._task_match import Matched, MatchRule, matched, refuse_unmatched
from ._unit_ablation import Ablation, Exam, Filler, Outcome, Question
from ._unit_scores import Score, UnitReadings, read_units, selectivity_scores
from ._units import Level, Units

MIN_DRAWS = 20
Target = Literal["first", "second"]


class AblateNeuronsArgs(ToolArgs):
    first: tuple[Question, ...] = Field(description="Questions of the first task, for example recall.", min_length=4)
    second: tuple[Question, ...] = Field(description="Questions of the second, for example reasoning.", min_length=4)
    level: Level = Field("neurons", description="What a unit is: a neuron, a head, or all that a layer adds.")
    score: Score = Field("attribution", description="How candidates are ranked on the fold that finds them.")
    ablation: Ablation = Field(
        "mean",
        description="What ablated units are given: zero, their mean over the prompts of the finding fold, or what they "
        "are on another prompt at the same place.",
    )
    positions: Literal["all", "last"] = Field("all", description="Tokens to ablate at: all but special ones, or last.")
    doses: tuple[int, ...] = Field((1, 4, 16), min_length=1, description="Units to ablate together (counts).")
    n_folds: int = Field(5, ge=2, le=50, description="Folds (count); each finds units once, and the others judge them.")
    rule: MatchRule = Field(MatchRule.model_validate({}), description="How far the sets may differ in form.")
    allow_unmatched: bool = Field(False, description="Measure sets that differ by more, and say so.")
    random_draws: int = Field(
        MIN_DRAWS, ge=MIN_DRAWS, le=1000, description="Control: random sets of units for every dose and target (count)."
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of folds, resampling, random sets and the bootstrap.")

    @model_validator(mode="after")
    def _is_two_sets(self) -> "AblateNeuronsArgs":
        if both := {q.prompt for q in self.first} & {q.prompt for q in self.second}:
            raise ValueError(f"prompts of both sets: {', '.join(map(repr, sorted(both)[:3]))}; put each into one set")
        if min(self.doses) < 1:
            raise ValueError("a dose is 1 unit or more")
        return self


class FoldLoss(Frozen):
    """Units found on one fold, and what ablating them takes on the others."""

    units: tuple[str, ...] = Field(description="LAYER/NEURON, head.LAYER.HEAD or layer.LAYER, best first.")
    target: float = Field(description="Loss of the target's set (share of its mean height).")
    other: float = Field(description="Loss of the other set (share of its mean height).")
    target_errors: float = Field(description="Answers of the target's set right before and no longer (share).")
    other_errors: float = Field(description="Answers of the other set right before and no longer (share).")


class Dose(Frozen):
    """One number of units ablated together."""

    n_units: int = Field(description="Units (count).")
    selectivity: float = Field(description="Loss of the target's set less loss of the other, over held-out prompts.")
    low: float = Field(description="Lower 95 % limit: bootstrap over folds and clusters of prompts.")
    high: float = Field(description="Upper 95 % limit of the same.")
    target: float = Field(description="Loss of the target's set, mean over folds (share of its mean height).")
    other: float = Field(description="Loss of the other set, mean over folds (share of its mean height).")
    folds: tuple[FoldLoss, ...] = Field(description="Every fold by itself.")
    overlap: float = Field(description="Units that two folds share, of those that either has, mean over pairs (share).")
    random_selectivities: tuple[float, ...] = Field(
        description="Control: selectivity of random sets of as many units that the fold judging them had not chosen."
    )
    as_selective: float = Field(
        description="Control: random sets as selective or more, these units counted in (share)."
    )


class Impairment(Frozen):
    """The units found for one of the tasks."""

    target: Target = Field(description="The set whose answers they are meant for.")
    doses: tuple[Dose, ...] = Field(description="By number of units, in the order asked.")


class AblateNeuronsResult(ToolResult):
    first: Impairment = Field(description="Units selected for the first set.")
    second: Impairment = Field(description="Units selected for the second set.")
    matched: Matched = Field(description="What the two sets have in common in form.")
    n_units: int = Field(description="Units to choose from (count).")
    heights: tuple[float, float] = Field(description="Mean height of right answers in each set, clean (nats).")
    right: tuple[float, float] = Field(description="Answers right in each set, clean (share).")
    no_op_change: float = Field(description="Largest change of any logit when units get their own values: 0 is due.")
    n_questions: tuple[int, int] = Field(description="Questions of each set (count).")


@tool
def ablate_neurons(subject: Subject, args: AblateNeuronsArgs, progress: Progress = silent) -> AblateNeuronsResult:
    """Ablate neurons, heads or layers that one of two tasks seems to need, and compare what both tasks lose.

    Raises:
        ToolError: sets that differ in form, a set that the model does not answer, fewer independent prompts than
            folds, more units than half of all, or a prompt or answer that the model cannot read.
    """
    units = Units(subject, args.level)
    most = (units.per_layer if args.level == "neurons" else len(units)) // 2
    if max(args.doses) > most:
        raise ToolError(
            f"{max(args.doses)} of {len(units)} {args.level} leave too few others for a random set like them.",
            mend=f"Let doses be 1..{most}.",
        )
    sets = (args.first, args.second)
    fold_of = folds_of(sets, args.n_folds, args.seed)
    found = _compared(subject, args)
    exam = Exam(subject, sets, args.positions)
    readings = read_units(exam, units, progress)
    trial = _Trial(args, exam, units, readings, torch.tensor(fold_of), progress)
    first, second = trial.impairment("first"), trial.impairment("second")
    progress(1, 1, "ablated")
    parts = (exam.of_first, ~exam.of_first)
    return AblateNeuronsResult(
        first=first,
        second=second,
        matched=found,
        n_units=len(units),
        heights=exam.scale,
        right=(_share(exam.clean.right[parts[0]]), _share(exam.clean.right[parts[1]])),
        no_op_change=exam.no_op_change(units, list(range(len(units)))),
        n_questions=(len(args.first), len(args.second)),
    )


def _compared(subject: Subject, args: AblateNeuronsArgs) -> Matched:
    prompts = [[subject.reader.encode(q.prompt) for q in part] for part in (args.first, args.second)]
    answers = [[subject.answer_token(q.prompt, q.answer) for q in part] for part in (args.first, args.second)]
    found = matched((prompts[0], prompts[1]), (answers[0], answers[1]), args.rule)
    if not args.allow_unmatched:
        refuse_unmatched(found)
    return found


@dataclass(frozen=True)
class _Trial:
    """Everything that is known before the first ablation."""

    args: AblateNeuronsArgs
    exam: Exam
    units: Units
    readings: UnitReadings
    fold_of: Tensor
    progress: Progress

    def impairment(self, target: Target) -> Impairment:
        """Units for one task, at every dose."""
        ranked = [self._ranked(fold, target) for fold in range(self.args.n_folds)]
        doses = []
        for i, dose in enumerate(self.args.doses):
            self.progress(i, len(self.args.doses), f"ablating {dose} {self.args.level} for the {target} set")
            doses.append(self._dose(dose, [order[:dose] for order in ranked], target))
        return Impairment(target=target, doses=tuple(doses))

    def _ranked(self, fold: int, target: Target) -> list[int]:
        finding = self.fold_of == fold
        means = {} if self.args.ablation == "zero" else self.readings.means(finding)
        scores = selectivity_scores(self.exam, self.readings, finding, means, self.args.score)
        return (scores if target == "first" else -scores).argsort(descending=True, stable=True).tolist()

    def _dose(self, dose: int, chosen: list[list[int]], target: Target) -> Dose:
        outcomes = [self.exam.ablated(self.units, some, self._filler(fold)) for fold, some in enumerate(chosen)]
        folds = [self._fold(fold, some, outcomes[fold], target) for fold, some in enumerate(chosen)]
        losses = np.stack([self.exam.losses(outcome).double().numpy() for outcome in outcomes])
        held_out = np.stack([(self.fold_of != fold).numpy() for fold in range(len(chosen))])
        clusters = cluster_numbers(self.exam.sets)
        value, low, high = held_out_difference(losses, held_out, self._of(target).numpy(), clusters, self.args.seed)
        random = tuple(self._random(draw, dose, chosen, target) for draw in range(self.args.random_draws))
        return Dose(
            n_units=dose,
            selectivity=value,
            low=low,
            high=high,
            target=sum(fold.target for fold in folds) / len(folds),
            other=sum(fold.other for fold in folds) / len(folds),
            folds=tuple(folds),
            overlap=_overlap(chosen),
            random_selectivities=random,
            as_selective=(1 + sum(one >= value for one in random)) / (1 + len(random)),
        )

    def _fold(self, fold: int, chosen: Sequence[int], outcome: Outcome, target: Target) -> FoldLoss:
        losses, out = self.exam.losses(outcome), self.fold_of != fold
        wrong = self.exam.clean.right & ~outcome.right
        one, two = out & self._of(target), out & ~self._of(target)
        return FoldLoss(
            units=tuple(map(self.units.name, chosen)),
            target=losses[one].mean().item(),
            other=losses[two].mean().item(),
            target_errors=_share(wrong[one]),
            other_errors=_share(wrong[two]),
        )

    def _random(self, draw: int, dose: int, chosen: list[list[int]], target: Target) -> float:
        """Selectivity of random units, judged as the units of one of the folds are."""
        fold = draw % len(chosen)
        generator = torch.Generator().manual_seed(self.args.seed * 1_000_003 + draw)
        some = self._as_many(chosen[fold], generator)
        assert len(some) == dose, (len(some), dose)
        found = self._fold(fold, some, self.exam.ablated(self.units, some, self._filler(fold)), target)
        return found.target - found.other

    def _as_many(self, chosen: Sequence[int], generator: torch.Generator) -> list[int]:
        """As many other units: neurons from the same layers, heads and layers, of which there are few, from all."""
        taken, size = set(chosen), self.units.per_layer
        if self.args.level != "neurons":
            shuffled = torch.randperm(len(self.units), generator=generator).tolist()
            return [unit for unit in shuffled if unit not in taken][: len(chosen)]
        found: list[int] = []
        for layer, n in sorted(Counter(map(self.units.layer, chosen)).items()):
            shuffled = torch.randperm(size, generator=generator).tolist()
            found += [unit for i in shuffled if (unit := layer * size + i) not in taken][:n]
        return found

    def _filler(self, fold: int) -> Filler:
        if self.args.ablation == "mean":
            return Filler("mean", means=self.readings.means(self.fold_of == fold))
        if self.args.ablation == "zero":
            return Filler("zero")
        order = torch.randperm(len(self.fold_of), generator=torch.Generator().manual_seed(self.args.seed)).tolist()
        donor_of = dict(zip(order, order[1:] + order[:1], strict=True))  # one round: nobody gets their own
        return Filler("resample", donors=tuple(donor_of[row] for row in range(len(order))))

    def _of(self, target: Target) -> Bool[Tensor, " batch"]:
        return self.exam.of_first if target == "first" else ~self.exam.of_first


def _share(which: Bool[Tensor, " batch"]) -> float:
    return which.float().mean().item()


def _overlap(chosen: Sequence[Sequence[int]]) -> float:
    """Mean Jaccard index over pairs of folds."""
    sets = [set(some) for some in chosen]
    pairs = [(a, b) for i, a in enumerate(sets) for b in sets[i + 1 :]]
    return sum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs)
