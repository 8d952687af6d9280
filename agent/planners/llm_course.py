"""What came of the turns of a language model that plans: a pure function of what it said and of what was measured.

Read from the first turn on each time, so that a resumed run, and one that was never stopped, take the same course.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ...tools import ToolError, canonical, get_tool, parse_site
from .._parts import PARTS, can_be_taken_out
from ._mediation import Draft, prediction_about
from ._pairs import Pool
from .interface import Experiment, SubjectCard, View
from .llm_blinding import Blind, Blinding
from .llm_calls import calls_of
from .llm_functions import (
    MOST_OPEN,
    OPEN_AT_FIRST,
    WORDS,
    Finish,
    Open,
    Predict,
    arguments_of,
    catalogue,
    schema_of,
    wanted_of,
    word_of,
)
from .llm_limits import kept_back
from .llm_turns import Call, Turn
from .llm_words import quoted

MOST_PREDICTIONS = 12  # each is one more unit that every claim is corrected for
MOST_MEASUREMENTS = 60  # an investigation has room for as many, and for all that confirms
USELESS_IN_A_ROW, USELESS_IN_ALL = 4, 10  # turns after which the deterministic planner finishes
UNANSWERED = 2  # useless turns that one without an answer counts for: all its tries were waited for
STREAM = ("resid_pre", "resid_mid", "resid_post")


@dataclass(frozen=True)
class Answered:
    """A call, and what it gets: a measurement that is to be made, or a text at once."""

    call: Call
    experiment: Experiment | None = None
    text: str = ""


@dataclass
class Course:
    """Everything that the turns so far add up to."""

    pool: Pool
    card: SubjectCard
    answered: list[tuple[Turn, tuple[Answered, ...]]] = field(default_factory=list)
    opened: list[str] = field(default_factory=lambda: list(OPEN_AT_FIRST))
    drafts: dict[tuple[str, ...], Draft] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)  # key of an experiment by what it asks
    finished: str | None = None  # the reason given
    useless: int = 0  # turns that led to nothing; one without any answer counts twice
    in_vain: int = 0  # the same turns, each once
    useless_in_a_row: int = 0
    blinding: Blinding = field(default_factory=Blinding)

    @property
    def given_up(self) -> bool:
        """Whether too many turns led to nothing."""
        return self.useless_in_a_row >= USELESS_IN_A_ROW or self.useless >= USELESS_IN_ALL

    @cached_property
    def _kept(self) -> frozenset[str]:
        return kept_back(self.pool)

    @property
    def experiments(self) -> Iterator[Experiment]:
        """All that was asked for, in order."""
        return (one.experiment for _, answered in self.answered for one in answered if one.experiment)

    def take(self, turn: Turn, failed: Mapping[str, str]) -> None:
        """Go on by one turn."""
        before, useful = len(self.asked), False
        answered: list[Answered] = []
        for number, call in enumerate(calls_of(turn), start=1):
            try:
                one = self._answer(call, f"turn {turn.number}.{number}")
                useful = True
            except ToolError as error:
                one = Answered(call, text=f"Refused: {error}")
            answered.append(one)
            if self.finished is not None:
                break
        self.answered.append((turn, tuple(answered)))
        ran = [one.experiment.key for one in answered if one.experiment]
        if len(self.asked) > before and all(key in failed for key in ran) and len(ran) == len(answered):
            useful = False  # what could not run taught nothing
        lost = 0 if useful else UNANSWERED if turn.unanswered else 1
        self.useless_in_a_row = self.useless_in_a_row + lost if lost else 0
        self.useless += lost
        self.in_vain += bool(lost)

    def _answer(self, call: Call, key: str) -> Answered:
        """What a call gets.

        Raises:
            ToolError: it cannot be done as asked.
        """
        if call.name not in WORDS:
            return self._measured(call, key)
        word = word_of(call)
        match word:
            case Open():
                return Answered(call, text=self._open(word.instrument))
            case Predict():
                return Answered(call, text=self._predict(word))
            case Finish():
                self.finished = word.reason
                return Answered(call, text="Your predictions are sealed now.")
            case _:
                raise AssertionError(f"no such word: {word}")

    def _measured(self, call: Call, key: str) -> Answered:
        if len(self.asked) >= MOST_MEASUREMENTS:
            raise ToolError(f"You have asked for {MOST_MEASUREMENTS} measurements: no more are made.", mend="Finish.")
        wanted = wanted_of(self._unblinded(call), self.pool, self._kept)
        self.blinding.refuse(wanted.tool)
        same = canonical([wanted.tool, wanted.args])
        if same in self.asked:
            raise ToolError(
                f"This very measurement was made before, as {self.asked[same]}.", mend="Ask for another, or finish."
            )
        self.asked[same] = key
        why = f"{quoted(wanted.aim.why)} (would change its mind: {quoted(wanted.aim.would_change)})"
        return Answered(call, experiment=Experiment(key=key, tool=wanted.tool, args=wanted.args, why=why))

    def _unblinded(self, call: Call) -> Call:
        """The call with the names that places have, where they go by others."""
        if self.blinding.kind == "off":
            return call
        return call.model_copy(update={"arguments": json.dumps(self.blinding.true_args(arguments_of(call)))})

    def _open(self, name: str) -> str:
        if name not in (known := catalogue()):
            raise ToolError(f"There is no instrument {name[:60]!r}.", mend=f"There are: {', '.join(known)}.")
        self.blinding.refuse(name)
        if name in self.opened:
            raise ToolError(f"{name} is open already.", mend="Call it.")
        self.opened = [*self.opened, name][-MOST_OPEN:]
        tool = get_tool(name)
        return canonical({"manual": tool.description, "parameters": schema_of(tool)})

    def _predict(self, word: Predict) -> str:
        if len(self.drafts) >= MOST_PREDICTIONS:
            message = f"You have made {MOST_PREDICTIONS} predictions, and every one makes it harder for the others."
            raise ToolError(message, mend="Finish.")
        site, *out = map(self._site, (word.site, *word.without))
        self._refuse_mismatch(word, site, out)
        position = self.pool.entity_position if word.at == "entity" else "last"
        if position is None:
            raise ToolError("The swapped words cannot be aligned here.", mend="Predict something at `last`.")
        draft = prediction_about(self.pool, word.claim, site, position, tuple(dict.fromkeys(out)))
        place = (draft.kind, draft.site, draft.position, *sorted(draft.without))
        if place in self.drafts:
            raise ToolError("You predicted that already.", mend="Predict something else, or finish.")
        if not draft.arms:
            raise ToolError("There are no prompts to test that with.", mend="Predict something else.")
        draft.alternatives = (*draft.alternatives, f"in the planner's words: {quoted(word.alternative)}")
        self.drafts[place] = draft
        return f"Noted as prediction number {len(self.drafts)}: {draft.statement}"

    def _site(self, name: str) -> str:
        """A site under its own name."""
        heads = self.card.n_heads
        return str(parse_site(self.blinding.true_site(name), self.card.n_layers, heads, heads))

    def _refuse_mismatch(self, word: Predict, site: str, out: Sequence[str]) -> None:
        kind = site.split(".")[0]
        allowed = PARTS if word.claim == "part_of_path" else STREAM
        if kind not in allowed:
            raise ToolError(f"`{word.claim}` is not said of {site}.", mend=f"Sites for it: {', '.join(allowed)}.")
        if out and (word.claim != "part_of_path" or site in out or not all(map(can_be_taken_out, out))):
            raise ToolError(
                "Nothing can be predicted so with that taken out.",
                mend='With claim="part_of_path", name other parts to take out: head.LAYER.HEAD or mlp_out.LAYER.',
            )
        if word.claim.endswith("variable"):
            if not self.pool.reference:
                raise ToolError(
                    "No task data name a variable between input and answer here.",
                    mend="Predict `carries` or `part_of_path`.",
                )
            if word.at != "entity":
                raise ToolError("The variable is tested where the entity stands.", mend='Pass at="entity".')


def course_of(view: View, pool: Pool, blind: Blind = "off", seed: int = 0) -> Course:
    """The course that the turns of a planner took.

    Args:
        blind: what is hidden from it.
        seed: of what is drawn to hide it.
    """
    blinding = Blinding(blind, seed, view.card.n_layers, view.card.n_heads)
    opened = [name for name in OPEN_AT_FIRST if blinding.allows(name)]
    course = Course(pool, view.card, opened=opened, blinding=blinding)
    for turn in view.turns:
        if turn.role == "planner" and course.finished is None and turn.is_try:
            course.take(turn, view.failed)
    return course
