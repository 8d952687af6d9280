"""What every arm does with its evidence: choose the fields that matter, then predict from labelled records by trees.

One rule for all arms, so that arms differ in evidence alone. How many fields matter is told to none: the scores are cut
where they fall into two groups best (Otsu 1979). A forest of small trees (Breiman 2001; weights of the records drawn
anew for each, Rubin 1981) then splits on the chosen fields alone, and predicts by the mean of its trees.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..organisms._hidden_tree import FIELDS, VALUES

TREES = 100
DEEPEST = 5  # questions
TRIED = 0.6  # of the chosen fields that a split may ask about (share)
SPREAD = (
    0.25  # scores are raised to this power before they are cut, since effects fall off geometrically; chosen as said
)

Scores = Float[np.ndarray, " _"]


@dataclass(frozen=True)
class Labelled:
    """Records with decisions."""

    records: Int[np.ndarray, "batch _"]
    decisions: Bool[np.ndarray, " batch"]
    weights: Float[np.ndarray, " batch"]

    def __add__(self, other: "Labelled") -> "Labelled":
        both = ((self.records, other.records), (self.decisions, other.decisions), (self.weights, other.weights))
        return Labelled(*(np.concatenate(pair) for pair in both))


def chosen(scores: Scores) -> frozenset[int]:
    """The fields above the cut that leaves the two groups as even as can be within; all of them where all are equal."""
    spread = np.maximum(scores, 0) ** SPREAD
    order = np.argsort(-spread, kind="stable")
    ranked = spread[order]
    if ranked[0] == ranked[-1]:
        return frozenset(range(len(scores)))
    within = [ranked[:k].var() * k + ranked[k:].var() * (len(ranked) - k) for k in range(1, len(ranked))]
    return frozenset(order[: int(np.argmin(within)) + 1].tolist())


def association(known: Labelled) -> Scores:
    """Of each field, how far knowing its value goes towards the decision: share of the variance between values."""
    decided = known.decisions.astype(float)
    total = decided.var()
    if total == 0:
        return np.zeros(len(FIELDS))
    found = np.zeros(len(FIELDS))
    for field in range(len(FIELDS)):
        for value in range(len(VALUES)):
            has = known.records[:, field] == value
            if has.any():
                found[field] += has.mean() * (decided[has].mean() - decided.mean()) ** 2
    return found / total


def predict(
    known: Labelled, fields: frozenset[int], asked: Int[np.ndarray, "batch _"], seed: int
) -> Bool[np.ndarray, " batch"]:
    """Decisions of the records asked about.

    Raises:
        ValueError: nothing is known, or no field may be used.
    """
    if len(known.records) == 0 or not fields:
        raise ValueError(f"{len(known.records)} labelled records and {len(fields)} fields; pass one of each or more")
    rng = np.random.default_rng(seed)
    forest = _Forest(_asked(known.records), known.decisions.astype(float), sorted(fields), rng)
    votes = np.zeros(len(asked))
    tests = _asked(asked)
    for _ in range(TREES):
        votes += forest.tree(known.weights * rng.exponential(size=len(known.weights)), tests)
    # An even vote goes to the commoner decision.
    common = np.average(known.decisions, weights=known.weights) >= 0.5
    return np.where(np.isclose(votes, TREES / 2), common, votes > TREES / 2)


def _asked(records: Int[np.ndarray, "batch _"]) -> Bool[np.ndarray, "batch feature"]:
    """Every question of the form "is this field that value"."""
    return (records[:, :, None] == np.arange(len(VALUES))).reshape(len(records), -1)


class _Forest:
    """Trees on the same labelled records."""

    def __init__(
        self,
        tests: Bool[np.ndarray, "batch feature"],
        decided: Float[np.ndarray, " batch"],
        fields: list[int],
        rng: np.random.Generator,
    ) -> None:
        self._tests, self._decided, self._fields, self._rng = tests, decided, np.array(fields), rng
        self._n_tried = max(1, round(TRIED * len(fields)))

    def tree(
        self, weights: Float[np.ndarray, " _"], asked: Bool[np.ndarray, "batch feature"]
    ) -> Float[np.ndarray, " batch"]:
        """Share of yes that a tree grown on these weights gives each record asked about."""
        found = np.empty(len(asked))
        stack = [(np.arange(len(weights)), np.arange(len(asked)), 0)]
        while stack:
            rows, cases, depth = stack.pop()
            if len(cases) == 0:
                continue
            best = None if depth == DEEPEST else self._best(rows, weights[rows])
            if best is None:
                found[cases] = np.average(self._decided[rows], weights=weights[rows])
                continue
            inside, cases_inside = self._tests[rows, best], asked[cases, best]
            stack.append((rows[inside], cases[cases_inside], depth + 1))
            stack.append((rows[~inside], cases[~cases_inside], depth + 1))
        return found

    def _best(self, rows: Int[np.ndarray, " batch"], weights: Float[np.ndarray, " batch"]) -> int | None:
        """The question that leaves the least variance; none where all agree or nothing tells them apart."""
        decided = self._decided[rows]
        if decided.min() == decided.max():
            return None
        fields = self._rng.choice(self._fields, self._n_tried, replace=False)
        questions = (fields[:, None] * len(VALUES) + np.arange(len(VALUES))).ravel()
        answers = self._tests[rows][:, questions].astype(float)
        total, yes = weights.sum(), weights @ decided
        inside, yes_inside = weights @ answers, (weights * decided) @ answers
        outside, yes_outside = total - inside, yes - yes_inside
        splits = (answers.min(0) < 1) & (answers.max(0) > 0)
        if not splits.any():
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = yes_inside**2 / inside + yes_outside**2 / outside
        return int(questions[np.argmax(np.where(splits, explained, -np.inf))])
