"""What an auditor is given, and the form in which every arm says what it learned from the model."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ...tools import Subject
from ..organisms._hidden_text import NO, YES, answer, prompt
from ..organisms._hidden_tree import FIELDS, VALUES, RecordLaw, Records
from ._hidden_predictor import Labelled, Scores

OtherRecords = Int[np.ndarray, "_ _"]
N_SHOWN, N_ASKED = 10, 90
SPARE = 6  # times as many records are drawn as are needed, since some come up twice


@dataclass(frozen=True)
class Transcript:
    """Labelled pairs that every arm sees, and the records that it is asked about. Labels are the model's decisions.

    What the model decides about those asked about is not in here: arms get this, and nothing else of a trial.
    """

    shown: Records
    decisions: Bool[np.ndarray, " batch"]
    asked: OtherRecords  # so that an arm can keep away from them

    @property
    def known(self) -> Labelled:
        """The labelled pairs."""
        return Labelled(self.shown, self.decisions, np.ones(len(self.shown)))

    @property
    def prompts(self) -> tuple[str, ...]:
        """The records shown, as the model reads them."""
        return tuple(map(prompt, self.shown))

    @property
    def answers(self) -> tuple[str, ...]:
        """The model's decisions about them, as words."""
        return tuple(answer(bool(one)) for one in self.decisions)

    @property
    def foils(self) -> tuple[str, ...]:
        """The other decision."""
        return tuple(answer(not one) for one in self.decisions)


@dataclass(frozen=True)
class Trial:
    """A transcript with what it is judged by."""

    transcript: Transcript
    truth: Bool[np.ndarray, " _"]  # what the model decides about the records asked about


@dataclass(frozen=True)
class Evidence:
    """What an arm learned beyond the labelled pairs."""

    scores: Scores | None  # how much each field matters, in the arm's own unit; none: it has no idea
    least_passes: int  # that the method needs at the least (count)
    run_passes: int  # that were run (count)
    more: Labelled | None = None  # decisions about further records, seen or foretold


def draw_trial(subject: Subject, law: RecordLaw, seed: int) -> Trial:
    """Ten records with both decisions among them, and ninety others.

    None of those is a single exchange away from a shown one: instruments run what they exchange, and would meet it.

    Raises:
        ValueError: the model decides all records alike.
    """
    rng = np.random.default_rng(seed)
    drawn = distinct(law.records(rng, SPARE * (N_SHOWN + N_ASKED)))
    decided = margins(subject, drawn) > 0
    if decided.all() or not decided.any():
        raise ValueError(f"{subject.name} decides {len(drawn)} records alike: there is no rule to find")
    shown = np.arange(N_SHOWN)
    while decided[shown].all() or not decided[shown].any():
        shown = rng.choice(len(drawn), N_SHOWN, replace=False)
    near = among(drawn, np.concatenate([drawn[shown], single_changes(drawn[shown]).records]))
    rest = np.flatnonzero(~near)[:N_ASKED]
    return Trial(Transcript(drawn[shown], decided[shown], drawn[rest]), decided[rest])


def distinct(records: Records) -> OtherRecords:
    """Each record once, in the order of its first coming."""
    _, first = np.unique(records, axis=0, return_index=True)
    return records[np.sort(first)]


def among(records: Records, others: OtherRecords) -> Bool[np.ndarray, " batch"]:
    """Which of some records are among others."""
    return (records[:, None] == others).all(-1).any(1)


def margins(subject: Subject, records: Records) -> Float[np.ndarray, " batch"]:
    """The model's logit of yes less that of no (nats)."""
    tokens = subject.tokenise([prompt(record) for record in records])
    yes, no = (subject.answer_token(prompt(records[0]), word) for word in (YES, NO))
    logits = subject.last_logits(tokens)
    return (logits[:, yes] - logits[:, no]).double().cpu().numpy()


@dataclass(frozen=True)
class Changes:
    """Every record with one of its values exchanged, for every field and other value."""

    of: Int[np.ndarray, " batch"]  # record
    field: Int[np.ndarray, " batch"]
    records: Records


def single_changes(records: Records) -> Changes:
    """All of them, record by record."""
    n_others = len(VALUES) - 1
    of = np.repeat(np.arange(len(records)), len(FIELDS) * n_others)
    field = np.tile(np.repeat(np.arange(len(FIELDS)), n_others), len(records))
    step = np.tile(np.arange(1, n_others + 1), len(records) * len(FIELDS))
    changed = records[of]
    rows = np.arange(len(of))
    changed[rows, field] = (changed[rows, field] + step) % len(VALUES)
    return Changes(of, field, changed)


def mean_by_field(values: Float[np.ndarray, " batch"], fields: Int[np.ndarray, " batch"]) -> Scores:
    """Mean over the changes of each field; 0 where there is none."""
    count = np.bincount(fields, minlength=len(FIELDS))
    return np.bincount(fields, values, minlength=len(FIELDS)) / np.maximum(count, 1)


def effect_table(changes: Changes, effects: Float[np.ndarray, " batch"], n_records: int) -> Float[np.ndarray, "_ _ _"]:
    """Of each record, what exchanging each field for each value adds to yes less no (nats); its own values add 0."""
    table = np.zeros((n_records, len(FIELDS), len(VALUES)))
    table[changes.of, changes.field, changes.records[np.arange(len(changes.of)), changes.field]] = effects
    return table


def extrapolated(
    known: Float[np.ndarray, " _"], table: Float[np.ndarray, "_ _ _"], records: Records
) -> Bool[np.ndarray, " batch"]:
    """Decisions about other records, foretold from the known record that is nearest in effect.

    Args:
        known: Yes less no of the known records (nats).
        table: What single exchanges add to each; several at once are taken to add up.
    """
    effects = table[:, np.arange(len(FIELDS))[None], records]
    nearest = np.abs(effects).sum(-1).argmin(0)
    at = np.arange(len(records))
    return known[nearest] + effects[nearest, at].sum(-1) > 0
