"""Decision trees over named fields: how one is drawn, what it decides, and which of its fields decide anything.

A record has ten fields with one of three values each. A split sends some of its field's values one way and the rest the
other. Some fields are noisy copies of others, so a field that decides nothing can still go along with the decision.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

FIELDS = ("size", "age", "weight", "height", "speed", "price", "noise", "heat", "depth", "light")
VALUES = ("low", "mid", "high")
N_COPIES = 3  # fields that copy another
COPIED = 0.75  # how often a copy takes its source's value; else it is drawn (share)
SPLITS_AGAIN = 0.4  # how often a branch beside the longest one goes on (share)
LEAST_CLASS = 0.3  # rarest decision (share of records)
LEAST_MOVED = 0.05  # of records, by exchanging the value of a field that stands in the tree (share)
# Parity rules are excluded, in which no single field says anything: models of this size do not learn them.
LEAST_ALONE = 0.2  # how far the best single field moves the share of yes (share)
JUDGED_ON = 2048  # records that a drawn tree is judged on (count)
MOST_DRAWS = 5000

Records = Int[np.ndarray, "batch field"]
Decisions = Bool[np.ndarray, " batch"]


@dataclass(frozen=True)
class Split:
    """A question about one field, with what follows from either answer."""

    field: int
    values: frozenset[int]  # that go to `inside`
    inside: "Split | bool"
    outside: "Split | bool"


Tree = Split | bool


def decide(tree: Tree, records: Records) -> Decisions:
    """The decision of each record."""
    if isinstance(tree, bool):
        return np.full(len(records), tree)
    goes_in = np.isin(records[:, tree.field], sorted(tree.values))
    return np.where(goes_in, decide(tree.inside, records), decide(tree.outside, records))


def path(tree: Tree, record: Int[np.ndarray, " field"]) -> tuple[int, ...]:
    """The fields that are asked about one record, from the root on."""
    asked: list[int] = []
    while not isinstance(tree, bool):
        asked.append(tree.field)
        tree = tree.inside if int(record[tree.field]) in tree.values else tree.outside
    return tuple(asked)


def fields_of(tree: Tree) -> frozenset[int]:
    """Every field that the tree asks about."""
    if isinstance(tree, bool):
        return frozenset()
    return frozenset({tree.field}) | fields_of(tree.inside) | fields_of(tree.outside)


def depth_of(tree: Tree) -> int:
    """Questions on the longest way down (count)."""
    return 0 if isinstance(tree, bool) else 1 + max(depth_of(tree.inside), depth_of(tree.outside))


def moved_share(tree: Tree, records: Records) -> Float[np.ndarray, " field"]:
    """Of each field, how often another value in its place changes the decision (share of records and values)."""
    before, moved = decide(tree, records), np.zeros(len(FIELDS))
    for field in range(len(FIELDS)):
        for step in range(1, len(VALUES)):
            other = records.copy()
            other[:, field] = (other[:, field] + step) % len(VALUES)
            moved[field] += np.mean(decide(tree, other) != before) / (len(VALUES) - 1)
    return moved


@dataclass(frozen=True)
class RecordLaw:
    """How records come about: which field copies which."""

    copies: tuple[tuple[int, int], ...]  # (copy, source)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "RecordLaw":
        """Three pairs of different fields."""
        order = rng.permutation(len(FIELDS))[: 2 * N_COPIES].tolist()
        return cls(tuple(zip(order[:N_COPIES], order[N_COPIES:], strict=True)))

    def records(self, rng: np.random.Generator, n: int) -> Records:
        """Draw so many."""
        drawn = rng.integers(len(VALUES), size=(n, len(FIELDS)))
        for copy, source in self.copies:
            drawn[:, copy] = np.where(rng.random(n) < COPIED, drawn[:, source], drawn[:, copy])
        return drawn

    def misleads(self, tree: Tree) -> bool:
        """Whether some field outside the tree goes along with one inside."""
        inside = fields_of(tree)
        return any((copy in inside) != (source in inside) for copy, source in self.copies)


def draw_tree(rng: np.random.Generator, depth: int, law: RecordLaw) -> Split:
    """A tree of exactly this depth whose every field matters.

    Raises:
        ValueError: no such depth, or none found.
    """
    if not 1 <= depth <= len(FIELDS):
        raise ValueError(f"`depth` is {depth}; a tree has 1..{len(FIELDS)} questions on its longest way down")
    records = law.records(rng, JUDGED_ON)
    for _ in range(MOST_DRAWS):
        tree = _grow(rng, depth, frozenset(), longest=True)
        assert isinstance(tree, Split)
        if is_fit(tree, records) and law.misleads(tree):
            return tree
    raise ValueError(f"no fitting tree of depth {depth} in {MOST_DRAWS} draws; take another seed")


def is_fit(tree: Split, records: Records) -> bool:
    """Whether both decisions are common, every field of the tree changes some, and one of them says something alone."""
    decided = decide(tree, records)
    if not LEAST_CLASS <= decided.mean() <= 1 - LEAST_CLASS:
        return False
    moved = moved_share(tree, records)
    if min(moved[field] for field in fields_of(tree)) < LEAST_MOVED:
        return False
    return max(_alone(records[:, field], decided) for field in fields_of(tree)) >= LEAST_ALONE


def _alone(values: Int[np.ndarray, " batch"], decided: Decisions) -> float:
    shares = [decided[values == value].mean() for value in range(len(VALUES))]
    return float(max(shares) - min(shares))


def _grow(rng: np.random.Generator, depth: int, used: frozenset[int], longest: bool) -> Tree:
    """A branch: the longest one goes to the bottom, others stop now and then; two leaves side by side differ."""
    free = [field for field in range(len(FIELDS)) if field not in used]
    field = int(rng.choice(free))
    values = frozenset({int(rng.integers(len(VALUES)))})
    if depth == 1:
        decision = bool(rng.integers(2))
        return Split(field, values, decision, not decision)
    first_is_longest = bool(rng.integers(2))
    branches: list[Tree] = []
    for is_longest in (longest and first_is_longest, longest and not first_is_longest):
        goes_on = is_longest or (rng.random() < SPLITS_AGAIN)
        branches.append(_grow(rng, depth - 1, used | {field}, is_longest) if goes_on else bool(rng.integers(2)))
    if isinstance(branches[0], bool) and branches[0] is branches[1]:
        branches[1] = not branches[0]
    return Split(field, values, branches[0], branches[1])


def plain(tree: Tree) -> object:
    """As JSON has it."""
    if isinstance(tree, bool):
        return tree
    values = [VALUES[value] for value in sorted(tree.values)]
    return {"field": FIELDS[tree.field], "values": values, "inside": plain(tree.inside), "outside": plain(tree.outside)}


def from_plain(content: object) -> Tree:
    """The tree that was written so.

    Raises:
        ValueError: no tree.
    """
    if isinstance(content, bool):
        return content
    if not isinstance(content, dict) or content.get("field") not in FIELDS:
        raise ValueError(f"{content!r} is no tree: a decision, or a split with field, values, inside and outside")
    try:
        values = frozenset(VALUES.index(value) for value in content["values"])
        return Split(
            FIELDS.index(content["field"]), values, from_plain(content["inside"]), from_plain(content["outside"])
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{content!r} is no tree: {error!r}") from error


def lines(tree: Tree, indent: str = "") -> Iterator[str]:
    """For a reader."""
    if isinstance(tree, bool):
        yield f"{indent}{'yes' if tree else 'no'}"
        return
    values = " or ".join(VALUES[value] for value in sorted(tree.values))
    yield f"{indent}if {FIELDS[tree.field]} is {values}:"
    yield from lines(tree.inside, indent + "  ")
    yield f"{indent}else:"
    yield from lines(tree.outside, indent + "  ")
