"""From measurements to what the judge reads: effects per pair, their clusters, and every unit that was looked at."""

from collections.abc import Iterable, Mapping

from ..tools import NO_GAP, Measurement
from ._evidence import Arm, Evidence, Prediction, Sample
from ._statistics import sign_flip

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
    """The cluster of each pair; a pair without a name stands for itself."""
    return tuple(pair["cluster"] or pair["base"] for pair in measurement.args["pairs"])


def evidence_for(
    prediction: Prediction,
    confirmations: Mapping[str, Measurement],
    failed: Mapping[str, str],
    explored: Iterable[Measurement],
) -> Evidence:
    """All that the judge may read about one prediction.

    Args:
        prediction: as sealed.
        confirmations: measurements of its arms, by `arm_key`; arms that could not run are absent.
        failed: why arms could not run, by `arm_key`.
        explored: every exploratory measurement of the investigation.
    """

    def of(arms: Iterable[Arm]) -> tuple[Sample, ...]:
        ran = [(arm, confirmations.get(arm_key(prediction, arm))) for arm in arms]
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
        units_looked_at=units_looked_at(explored),
    )


def arms_of(prediction: Prediction) -> tuple[Arm, ...]:
    """Every measurement that a prediction needs: its arms, then its controls."""
    shuffled = (prediction.shuffled_arm,) if prediction.shuffled_arm else ()
    return (*prediction.arms, *shuffled, *prediction.twin_arms)


def units_looked_at(explored: Iterable[Measurement]) -> tuple[float, ...]:
    """The p of every place that exploration patched, abandoned or not: all of them count against a discovery."""
    return tuple(
        sign_flip(cell["effects"], clusters_of(measurement), seed=UNIT_SEED).p
        for measurement in explored
        if measurement.tool == "patch"
        for cell in measurement.result["cells"]
    )
