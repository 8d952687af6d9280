"""Figures of trust, from what every investigation came to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scipy.stats import binomtest

from ..metric import LEVEL, Metric, share_metric
from ._trust_guards import GUARDS, LADDER, Judged, all_true, any_false
from ._trust_planted import Component, Found, is_small
from ._trust_runs import Trial

MOST_FALSE, MOST_REPLICATED = 0.05, 0.01
POWER_LARGE, POWER_SMALL, POWER_SELF_REPAIR = 0.95, 0.80, 0.90
APART = "own_answers"  # asked like a null, and none: what it claims may be true
REPLICATED, PROTOCOL = "replicated", "protocol"
Figures = dict[str, Metric | None]


@dataclass
class Measured:
    """Everything that the figures are made of."""

    nulls: list[Trial] = field(default_factory=list)  # of both planners
    apart: list[Trial] = field(default_factory=list)  # random weights asked for what they do answer
    traps: dict[str, list[Trial]] = field(default_factory=dict)  # counted apart, by kind
    found: list[Found] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # models that could not be trained
    more: dict[str, Metric] = field(default_factory=dict)  # figures that are measured elsewhere


def figures(measured: Measured) -> dict[str, Metric]:
    """Every figure of the table, by name; none of what was not asked."""
    every = {
        **_null_figures(measured),
        **_power_figures(measured),
        **_trap_figures(measured),
        **_guard_figures(measured),
        **measured.more,
    }
    return {name: one for name, one in every.items() if one is not None}


def _null_figures(measured: Measured) -> Figures:
    nulls = measured.nulls
    judged = [one for one in nulls if one.said]
    protocol = [one for one in nulls if one.planner == PROTOCOL]
    found: Figures = {
        "null_false_share": _false(nulls),
        "null_false_upper95": _upper(nulls, MOST_FALSE),
        "null_false_replicated": share_of(map(_is_replicated, nulls), at_most=MOST_REPLICATED),
        "null_false_share_protocol": _false(protocol),
        "null_past_premise_protocol": share_of(one.premise is not False for one in protocol),
        "null_judged": share_of(bool(one.said) for one in nulls),
        "null_judged_false_share": _false(judged),
        "null_judged_false_upper95": _upper(judged, None),
    }
    for planner, kind in dict.fromkeys((one.planner, one.kind) for one in nulls):
        mine = [one for one in nulls if (one.planner, one.kind) == (planner, kind)]
        found[f"null.{planner}.{kind}"] = _false(mine)
    return found


def _power_figures(measured: Measured) -> Figures:
    plain = [one for one in measured.found if not one.repairs]
    repairing = [one for one in measured.found if one.repairs]
    circuits = [one for one in plain if one.nodes]
    named = [node in one.named for one in circuits for node in one.nodes]
    return {
        "power": share_of([one.is_found for one in plain] + [one.is_whole for one in repairing]),
        "power_large": share_of((one.is_found for one in plain if one.wanted), at_least=POWER_LARGE),
        "power_small": share_of((one.supported for one in measured.components if is_small(one)), at_least=POWER_SMALL),
        "power_selfrepair": share_of((one.is_whole for one in repairing), at_least=POWER_SELF_REPAIR),
        "power_selfrepair_by_single_places": share_of(one.is_found for one in repairing),
        "selfrepair_circuit_shown": share_of(one.nodes <= one.trial.shown for one in repairing),
        "recall": share_of(named),
        "whole_circuit": share_of(one.is_whole for one in circuits),
        "planted_false_share": _false([one.trial for one in measured.found]),
        "idle_component_claimed": share_of(one.supported for one in measured.components if not one.is_true),
    }


def _trap_figures(measured: Measured) -> Figures:
    claimed = {f"{kind}_claimed": _claimed(trials) for kind, trials in measured.traps.items()}
    return {**claimed, f"{APART}_claimed": _claimed(measured.apart), f"{APART}_false_share": _false(measured.apart)}


def _guard_figures(measured: Measured) -> Figures:
    found = _guarded("guarded", measured, ())
    for guard in GUARDS:
        found |= _guarded(f"without_{guard}", measured, (guard,))
    for rung in range(len(LADDER) + 1):
        found |= _guarded(f"ladder.{rung}_{LADDER[rung - 1] if rung else 'whatever_moved'}", measured, LADDER[rung:])
    return found


def _guarded(name: str, measured: Measured, off: Sequence[str]) -> Figures:
    return {
        f"{name}.null_false_share": share_of(any_false(one, off) for one in measured.judged if not one.planted),
        f"{name}.power": share_of(all_true(one, off) for one in measured.judged if one.planted),
    }


def share_of(cases: Iterable[bool], at_least: float | None = None, at_most: float | None = None) -> Metric | None:
    """The share of cases that are so; nothing where there are none."""
    found = list(cases)
    return share_metric(sum(found), len(found), at_least, at_most) if found else None


def upper_metric(false: int, n: int, at_most: float | None) -> Metric:
    """The exact one-sided upper bound of a share of cases."""
    bound = float(binomtest(false, n, alternative="less").proportion_ci(LEVEL, method="exact").high)
    target = "" if at_most is None else f"≤ {at_most:g}"
    met = None if at_most is None else bound <= at_most
    return Metric(value=bound, low=None, high=None, n=n, target=target, met=met)


def _upper(trials: Sequence[Trial], at_most: float | None) -> Metric | None:
    return upper_metric(sum(bool(one.false_claims) for one in trials), len(trials), at_most) if trials else None


def _false(trials: Sequence[Trial]) -> Metric | None:
    return share_of(bool(one.false_claims) for one in trials)


def _claimed(trials: Sequence[Trial]) -> Metric | None:
    return share_of(any(said.supported for said in one.said) for one in trials)


def _is_replicated(trial: Trial) -> bool:
    return any(one.judgement.tier == REPLICATED for one in trial.false_claims)
