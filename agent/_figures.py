"""Every number behind a verdict, worked out once from a sealed prediction and its samples."""

from collections.abc import Sequence

from pydantic import Field

from ..tools import Frozen
from ._evidence import Evidence, Prediction, Sample
from ._statistics import Interval, SignFlip, benjamini_hochberg, bootstrap_interval, sign_flip

DRAWS, DRAWS_PER_UNIT = 9999, 100  # enough for a p that survives the correction over all units
MOVED_MARGIN = 0.05  # moved answers beyond chance that a control may show (share)


class Figures(Frozen):
    """Every number that the gates look at; effects are shares of the subject's gap."""

    prediction: Prediction = Field(description="As sealed.")
    evidence: Evidence = Field(description="As measured.")
    effects: tuple[float, ...] = Field(description="Per pair, all families.")
    clusters: tuple[str, ...] = Field(description="Per pair, all families; a name means the same cluster in each.")
    pooled: Interval = Field(description="Mean effect over the pairs of all families.")
    families: dict[str, Interval] = Field(description="Mean effect in each counterfactual family.")
    test: SignFlip = Field(description="Sign-flip test of the pooled mean.")
    q: float = Field(description="Benjamini-Hochberg q among every unit looked at.")
    smallest_q: float = Field(description="The q that the smallest reachable p would have.")
    moved: float = Field(description="Pairs whose answer moved (share).")
    expected: float | None = Field(description="Effect in discovery.")
    random_max: float | None = Field(description="Largest mean effect of a matched random draw.")
    twin: Interval | None = Field(description="Effect on the twin.")
    twin_moved: float = Field(description="Pairs of the twin that moved by more than the smallest effect (share).")
    shuffled: Interval | None = Field(description="Effect with shuffled labels.")
    shuffled_moved: float | None = Field(description="Pairs that moved with shuffled labels (share).")

    @property
    def bar(self) -> float:
        """Smallest effect of interest."""
        return self.prediction.smallest_effect

    @property
    def chance_bar(self) -> float:
        """Share of moved answers up to which nothing moved but by chance."""
        return self.prediction.chance + MOVED_MARGIN


def figures_of(prediction: Prediction, evidence: Evidence, seed: int) -> Figures:
    """All figures of one prediction; deterministic for a seed."""
    samples, others, shuffled = evidence.confirmation, evidence.units_looked_at, evidence.shuffled
    effects, clusters = pool(samples)
    test = sign_flip(
        effects,
        clusters,
        seed=seed,
        alternative="greater" if prediction.direction == "positive" else "two-sided",
        draws=max(DRAWS, DRAWS_PER_UNIT * (len(others) + 1)),
    )
    expected = prediction.expected
    if expected is None and evidence.discovery:
        seen, _ = pool(evidence.discovery)
        expected = sum(seen) / len(seen)
    gaps = {s.counterfactual_family: s.gap for s in samples}
    twins = [on_scale(s, gap) for s in evidence.twin if (gap := gaps.get(s.counterfactual_family, 0)) > 0]
    worth = [m and e > prediction.smallest_effect for t in twins for m, e in zip(t.moved, t.effects, strict=True)]
    return Figures(
        prediction=prediction,
        evidence=evidence,
        effects=effects,
        clusters=clusters,
        pooled=bootstrap_interval(effects, clusters, seed=seed),
        families={s.counterfactual_family: bootstrap_interval(s.effects, s.clusters, seed=seed) for s in samples},
        test=test,
        q=benjamini_hochberg([test.p, *others])[0],
        smallest_q=benjamini_hochberg([test.smallest_p, *others])[0],
        moved=share([m for s in samples for m in s.moved]),
        expected=expected,
        random_max=max((effect for s in samples for effect in s.random_effects), default=None),
        twin=bootstrap_interval(*pool(twins), seed=seed) if twins else None,
        twin_moved=share(worth) if worth else 0.0,
        shuffled=bootstrap_interval(shuffled.effects, shuffled.clusters, seed=seed) if shuffled else None,
        shuffled_moved=share(shuffled.moved) if shuffled else None,
    )


def pool(samples: Sequence[Sample]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Effects and clusters of all pairs of several samples."""
    return tuple(e for s in samples for e in s.effects), tuple(c for s in samples for c in s.clusters)


def on_scale(sample: Sample, gap: float) -> Sample:
    """The sample with its drops in nats divided by another gap than its own."""
    return sample.model_copy(update={"effects": tuple(e * sample.gap / gap for e in sample.effects)})


def share(flags: Sequence[bool]) -> float:
    """How many are true."""
    return sum(flags) / len(flags)
