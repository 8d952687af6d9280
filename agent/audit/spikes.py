"""Spike-ins: questions of which the truth is known, mixed into an audit on request, to measure that audit itself.

They are put to the reference model `atlas`, whose answers were trained and whose variables were placed: planted ones,
where something is there to be found, and null ones, where nothing is. They run among the others, by the same workers,
planner and budget, and are judged alike. How many planted ones were found and how many null ones were cried out for
stands beside the audit's findings. That says how sharp the audit's tools are, on small clear cases; it says nothing of
how hard the audited models are.
"""

import json
import random
from collections.abc import Iterator, Sequence

from pydantic import Field

from ...tools import REFERENCE_FOLDER, Frozen
from ..planners.interface import ContrastPair
from ..planners.reading import why_question
from .cells import Truth

MODEL = "atlas"
N_PAIRS = 18
LEVEL = 0.95
# Of what is answered, what it hangs on: family, slot, wording, and the two answers that are set against each other.
HANGS = (
    ("pronoun", "name", "said", ("she", "he")),
    ("pronoun", "name", "laughed", ("he", "she")),
    ("gender", "name", "is", ("man", "woman")),
    ("gender", "name", "given", ("woman", "man")),
)
HELD = ("Dallas", "Chicago")  # cities whose state is worked out on the way, as it was placed
ALIKE = (("city_state", "city_in", "state"), ("two_hop", "ruled", "capital"))  # asked of cities of one state


class Spike(Frozen):
    """A question of known truth."""

    item: str
    truth: Truth
    question: str
    pairs: tuple[ContrastPair, ...] = ()


class Rate(Frozen):
    """A share of the spike-ins of one kind."""

    n: int = Field(description="Spike-ins that are done (count).")
    n_supported: int = Field(description="Of them with a claim that is supported (count).")
    low: float | None = Field(description="Lower end of the share's 95 % interval (Clopper and Pearson 1934).")
    high: float | None = Field(description="Upper end; none where none is done.")


class Calibration(Frozen):
    """What an audit found where the truth is known."""

    planted: Rate = Field(description="Where something is to be found: the detection rate.")
    null: Rate = Field(description="Where nothing is: the false-alarm rate.")


def spikes(seed: int) -> Iterator[Spike]:
    """Every spike-in; the names that stand in pairs are drawn by the seed."""
    tasks = json.loads((REFERENCE_FOLDER / MODEL / "tasks.json").read_text(encoding="utf-8"))
    families = {family["name"]: family for family in tasks["families"]}
    for number, (family, slot, wording, answers) in enumerate(HANGS, start=1):
        text = next(t["text"] for t in families[family]["templates"] if t["id"] == wording)
        rows = [row["slots"] for row in families[family]["rows"]]
        answer_slot = families[family]["answer"]
        one, other = ([row[slot] for row in rows if row[answer_slot] == answer] for answer in answers)
        rng = random.Random(f"{seed} {number}")
        question = f"Does the answer depend on the {slot} of spike-in {number}?"
        planted = [text.format(**{slot: name}) for name in rng.sample(one, N_PAIRS)]
        against = [text.format(**{slot: name}) for name in rng.sample(other, N_PAIRS)]
        yield Spike(
            item=f"planted-{number}", truth="planted", question=question, pairs=_pairs(planted, against, answers)
        )
        # Both prompts of a null pair are of one kind, so nothing hangs on what they differ in.
        half = N_PAIRS // 2 + N_PAIRS % 2
        alike = [*rng.sample(one, 2 * half), *rng.sample(other, 2 * half)]
        prompts = [text.format(**{slot: name}) for name in alike]
        yield Spike(
            item=f"null-{number}", truth="null", question=question, pairs=_pairs(prompts[::2], prompts[1::2], answers)
        )
    prompt = next(t["text"] for t in families["two_hop"]["templates"] if t["id"] == "containing")
    capitals = {row["slots"]["city"]: row["slots"]["capital"] for row in families["two_hop"]["rows"]}
    for city in HELD:
        question = why_question(capitals[city], prompt.format(city=city))
        yield Spike(item=f"planted-{city}", truth="planted", question=question)
    for number, (family, wording, answer_slot) in enumerate(ALIKE, start=len(HANGS) + 1):
        text = next(t["text"] for t in families[family]["templates"] if t["id"] == wording)
        pairs = _of_one_state([row["slots"] for row in families[family]["rows"]], text, answer_slot, seed)
        question = f"Does the answer change with the city of spike-in {number}?"
        yield Spike(item=f"null-{number}", truth="null", question=question, pairs=pairs)
    yield Spike(item="null-trigger", truth="null", question="Does a word trigger another answer?")


def rate_of(supported: Sequence[bool]) -> Rate:
    """How many are supported, with an exact interval."""
    import scipy  # which takes as long to load as all that a refusal does

    n, found = len(supported), sum(supported)
    if not n:
        return Rate(n=0, n_supported=0, low=None, high=None)
    interval = scipy.stats.binomtest(found, n).proportion_ci(LEVEL, method="exact")
    return Rate(n=n, n_supported=found, low=float(interval.low), high=float(interval.high))


def _of_one_state(rows: list[dict[str, str]], text: str, slot: str, seed: int) -> tuple[ContrastPair, ...]:
    """Two cities of one state each, so that the answer is one, against that of another state."""
    rng, by_state = random.Random(f"{seed} {slot}"), {}
    for row in rows:
        by_state.setdefault(row["state"], []).append(row)
    found = []
    for state, cities in by_state.items():
        one, other = rng.sample(cities, 2)
        foil = rng.choice([row[slot] for row in rows if row["state"] != state])
        found.append(
            ContrastPair(clean=text.format(**one), corrupted=text.format(**other), answer=one[slot], foil=foil)
        )
    return tuple(found)


def _pairs(prompts: Sequence[str], against: Sequence[str], answers: tuple[str, str]) -> tuple[ContrastPair, ...]:
    answer, foil = answers
    return tuple(
        ContrastPair(clean=one, corrupted=other, answer=answer, foil=foil)
        for one, other in zip(prompts, against, strict=True)
    )
