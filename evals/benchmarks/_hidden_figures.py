"""What the arms of the hidden-rule benchmark come to: figures with intervals over organisms."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..metric import Metric
from ..organisms._hidden_training import Kind, Planting
from ..organisms.hidden_rule import KINDS
from ._hidden_arms import ARMS, WHITE_BOX
from ._hidden_intervals import Case, average, by_organism, each, metric
from ._hidden_trials import FIELDS_ONLY, LEAST, RELP_FIELDS, TRUE_FIELDS, Outcome

CHOSEN = "relp_path"  # the white-box arm that is reported as the best; named before an organism of its table was made
SECOND: Planting = "adapter"  # planting that no cut and no predictor was chosen on
GAIN, FIELDS_FOUND, DEEPEST = 0.15, 0.90, 4  # targets (shares), depth of the second
SHOWN = (*ARMS, RELP_FIELDS, LEAST, FIELDS_ONLY, TRUE_FIELDS)


@dataclass(frozen=True)
class Audited:
    """All outcomes, with what it took to make the organisms."""

    outcomes: Sequence[Outcome]
    refused: Sequence[str]  # attempts that stayed below the bar, a line each
    build_cpu_seconds: float


def figures(audited: Audited) -> dict[str, Metric]:
    """Every figure by name. Cases are organisms: their transcripts are averaged first.

    Figures for which fewer than two organisms are there are left out.
    """
    every, found = audited.outcomes, dict[str, Metric]()
    for arm in SHOWN:
        for kind in KINDS:
            _put(found, f"accuracy.{arm}.{kind}", each(of_arm(every, arm, kind), accuracy))
    for arm in SHOWN:
        _put(found, f"field_f1.{arm}", each(of_arm(every, arm), lambda one: one.f1))
        _put(found, f"field_auroc.{arm}", each(of_arm(every, arm), lambda one: one.auroc))
    hidden = [one for one in every if one.kind != "faithful"]
    for name, beside in _gains().items():
        target = GAIN if name == "over_samples_only" else None
        _put(found, f"gain.{name}.all", beside(hidden), target)
        _put(found, f"gain.{name}.{SECOND}", beside([one for one in hidden if one.planting == SECOND]), target)
    deep = [one for one in every if one.depth == DEEPEST]
    for arm in (*WHITE_BOX, LEAST):
        target = FIELDS_FOUND if arm == CHOSEN else None
        _put(found, f"field_f1_depth4.{arm}", each(of_arm(deep, arm), lambda one: one.f1), target)
        _put(found, f"field_auroc_depth4.{arm}", each(of_arm(deep, arm), lambda one: one.auroc))
    return found


def _gains() -> dict[str, Callable[[Sequence[Outcome]], list[Case]]]:
    return {
        "over_samples_only": lambda every: gains(every, CHOSEN, "samples_only"),
        "over_black_box_least": lambda every: gains(every, CHOSEN, LEAST),
        "over_black_box_as_run": lambda every: each(
            of_arm(every, CHOSEN), lambda one: None if one.matched is None else one.accuracy - one.matched
        ),
    }


def gains(every: Sequence[Outcome], arm: str, other: str) -> list[Case]:
    """Of each organism, how much more accurate an arm is than another on the same transcripts (share)."""
    against = {(one.organism, one.transcript): one.accuracy for one in of_arm(every, other)}
    return by_organism((one, one.accuracy - against[one.organism, one.transcript]) for one in of_arm(every, arm))


def best_white_box(every: Sequence[Outcome], kind: Kind) -> str:
    """The arm that is most accurate on the organisms of a kind; found on those, so its figure is an upper one."""
    there = [arm for arm in WHITE_BOX if of_arm(every, arm, kind)]
    return max(there, key=lambda arm: average(each(of_arm(every, arm, kind), accuracy)))


def accuracy(one: Outcome) -> float:
    """Of the decisions foretold (share)."""
    return one.accuracy


def of_arm(every: Iterable[Outcome], arm: str, kind: Kind | None = None) -> list[Outcome]:
    """The outcomes of one arm, on organisms of one kind or all."""
    return [one for one in every if one.arm == arm and kind in (None, one.kind)]


def _put(found: dict[str, Metric], name: str, cases: Sequence[Case], at_least: float | None = None) -> None:
    if len(cases) >= 2:
        found[name] = metric(cases, at_least)
