"""From measurements to what the judge reads: effects per pair, their clusters, and every unit that was looked at."""

from collections.abc import Iterable, Mapping, Sequence

from networkx.utils import UnionFind

from ..tools import NO_GAP, Measurement
from ._evidence import Arm, Evidence, Judgement, Prediction, Sample
from ._statistics import sign_flip
from ._units import measured_on, unit_of_arm, units_in
from .holdout import plain
from .judge import judge

UNIT_SEED = 0


def arm_key(prediction: Prediction, arm: Arm) -> str:
    """The key under which an arm's measurement is kept."""
    return f"{prediction.id}:{arm.label}"


def sample_of(measurement: Measurement, family: str, cell: int = 0) -> Sample:
    """One cell of a patch measurement as a sample."""
    result = measurement.result
    place = result["cells"][cell]
    return Sample(
        measurement=measurement.id,
        counterfactual_family=family,
        effects=tuple(place["effects"]),
        clusters=clusters_of(measurement),
        moved=tuple(place["answers_moved"]),
        random_effects=tuple(place["random_effects"]),
        no_op_change=result["no_op_change"],
        gap=result["gap"],
        clean_correct=tuple(result["clean_correct"]),
    )


def clusters_of(measurement: Measurement) -> tuple[str, ...]:
    """The cluster of each pair: as named, or the prompt itself; clusters with a prompt in common are one.

    Of an instrument that takes prompts alone, each is a cluster.
    """
    if "pairs" not in measurement.args:
        return tuple(map(plain, measurement.args["prompts"]))
    joined = UnionFind()
    named = [(pair["cluster"] or pair["base"], f"prompt {plain(pair['base'])}") for pair in measurement.args["pairs"]]
    for cluster, prompt in named:
        joined.union(cluster, prompt)
    first: dict[str, str] = {}
    return tuple(first.setdefault(joined[cluster], cluster) for cluster, _ in named)


def judge_all(
    predictions: Sequence[Prediction],
    arms: Mapping[str, Measurement],
    failed: Mapping[str, str],
    explored: Sequence[Measurement],
    seed: int,
) -> dict[str, Judgement]:
    """Judge every sealed prediction, each among everything that was looked at, the other predictions included.

    What was looked at counts once: what a prediction confirms by that, everything else by its exploration.

    Args:
        predictions: as sealed.
        arms: measurements of their arms and controls, by `arm_key`; those that could not run are absent.
        failed: why arms could not run, by `arm_key`.
        explored: every exploratory measurement of the investigation.
        seed: of the statistics.

    Returns:
        Judgements by prediction id; none for a prediction of which no arm ran.
    """
    confirmed = {prediction.id: arms_run(prediction, arms) for prediction in predictions}
    units = units_looked_at(explored, tuple(arm for mine in confirmed.values() for arm in mine))
    evidence = {p.id: _evidence(p, arms, failed, units) for p in predictions if confirmed[p.id]}
    alone = {p.id: judge(p, evidence[p.id], seed=seed).p for p in predictions if p.id in evidence}
    judged = {}
    for prediction in predictions:
        if prediction.id in evidence:
            others = tuple(p for name, p in alone.items() if name != prediction.id)
            together = evidence[prediction.id].model_copy(update={"units_looked_at": units + others})
            judged[prediction.id] = judge(prediction, together, seed=seed)
    return judged


def arms_run(prediction: Prediction, arms: Mapping[str, Measurement]) -> tuple[Arm, ...]:
    """The arms of a prediction that were measured, controls apart."""
    return tuple(arm for arm in prediction.arms if arm_key(prediction, arm) in arms)


def _evidence(
    prediction: Prediction, arms: Mapping[str, Measurement], failed: Mapping[str, str], units: tuple[float, ...]
) -> Evidence:
    def of(wanted: Iterable[Arm]) -> tuple[Sample, ...]:
        ran = [(arm, arms.get(arm_key(prediction, arm))) for arm in wanted]
        return tuple(sample_of(found, arm.counterfactual_family) for arm, found in ran if found is not None)

    shuffled = of([prediction.shuffled_arm] if prediction.shuffled_arm else [])
    return Evidence(
        confirmation=of(prediction.arms),
        twin=of(prediction.twin_arms),
        twin_without_gap=tuple(
            arm.counterfactual_family
            for arm in prediction.twin_arms
            if NO_GAP in failed.get(arm_key(prediction, arm), "")
        ),
        shuffled=shuffled[0] if shuffled else None,
        units_looked_at=units,
    )


def arms_of(prediction: Prediction) -> tuple[Arm, ...]:
    """Every measurement that a prediction needs: its arms, then its controls."""
    shuffled = (prediction.shuffled_arm,) if prediction.shuffled_arm else ()
    return (*prediction.arms, *shuffled, *prediction.twin_arms)


def units_looked_at(explored: Sequence[Measurement], confirmed: Sequence[Arm]) -> tuple[float, ...]:
    """The p of every look of exploration, abandoned or not, but for units that a confirmation stands in for.

    A unit that was confirmed on other prompts has its one test there, however often it was looked at before: what was
    seen chose the prediction and not its outcome. Where any arm comes back to prompts on which the unit was seen, or to
    their clusters with the same instrument, that look may have been chosen among all others of the unit, for it or for
    what is nearly the same: then all of them count beside the confirmations.

    Args:
        explored: every exploratory measurement of the investigation.
        confirmed: arms of its sealed predictions, those that were measured.
    """
    tested_on = {seen for arm in confirmed for seen in measured_on(arm.tool, arm.args)}
    seen_again = {unit for m in explored if measured_on(m.tool, m.args) & tested_on for unit, _ in units_in(m)}
    stood_in_for = {unit_of_arm(arm) for arm in confirmed} - seen_again
    return tuple(
        sign_flip(cell["effects"], clusters_of(measurement), seed=UNIT_SEED).p
        for measurement in explored
        for unit, cell in units_in(measurement)
        if "effects" in cell and unit not in stood_in_for
    )
