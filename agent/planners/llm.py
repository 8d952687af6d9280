"""A language model plans: it chooses what to measure and what to predict, and code does everything else.

It is consulted once the premise is measured and prompt pairs are there. Each turn it calls instruments, opens further
ones, makes predictions or finishes (`llm_functions.py`). What it cannot do: choose the prompts that confirm, the
controls, the bars or the words of a claim. A prediction is a form (`prediction_about`) and a place; so a planner that
is wrong, or lies, can waste turns and have sealed what then fails. Its own words come back as quotations alone.

After a number of turns that lead to nothing the deterministic planner finishes the investigation (`llm_course.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...tools import canonical
from ._mediation import Draft, moves
from ._pairs import Pool
from .interface import (
    ContrastPair,
    Experiment,
    Inquiry,
    JudgedClaim,
    Proposal,
    SubjectCard,
    Task,
    View,
    Words,
)
from .llm_blinding import TOLD, Blind
from .llm_course import Course, course_of
from .llm_prompt import conversation
from .llm_refusals import asked_otherwise
from .llm_room import longest_reply
from .llm_turns import Consultation, Planning, terms_of
from .llm_words import quoted
from .protocol import ProtocolPlanner

PROMPTS = ("pairs", "reference")
ROOM = 90_000  # characters: about 22,000 tokens, which leaves a model of 32,000 room to answer


class LLMPlanner:
    """Plans by consulting a language model; questions about features, which have one course, are not for it.

    Args:
        model: its name.
        seed: asked for, and that of the deterministic planner's draws.
        probes_by: language model that writes probes, should the deterministic planner finish.
        room: longest conversation (characters).
        blind: what is hidden from it until its predictions are sealed.
    """

    def __init__(self, model: str, seed: int = 0, probes_by: str = "", room: int = ROOM, blind: Blind = "off") -> None:
        self.model, self.seed, self.room = model, seed, room
        self.blind: Blind = blind
        self.name = f"language model {model}"
        self._protocol = ProtocolPlanner(seed, probes_by)

    def read(self, question: str, pairs: tuple[ContrastPair, ...], card: SubjectCard) -> Task:
        """The task, or `CannotRead` with the forms that can be read."""
        return self._protocol.read(question, pairs, card)

    def next_experiment(self, view: View) -> Experiment | Inquiry | Consultation | None:
        """What it asked for, or what it is to be asked; none when it has finished."""
        if (first := self._protocol.setting_up(view)) is not None:
            return first
        pool = self._protocol.pool(view)
        if pool is None:
            return None
        course = course_of(view, pool, self.blind, self.seed)
        due = (one for one in course.experiments if one.key not in view.results and one.key not in view.failed)
        if (pending := next(due, None)) is not None:
            return pending
        if course.finished is not None or view.stopped:
            return None
        if course.given_up:
            return self._protocol.next_experiment(view)
        return self._consultation(view, pool, course)

    def propose(self, view: View) -> tuple[Proposal, ...]:
        """What it predicted; beside it what the deterministic planner would, where that one had to finish."""
        pool = self._protocol.pool(view)
        if pool is None:
            return self._protocol.propose(view)
        course = course_of(view, pool, self.blind, self.seed)
        drafts = (_with_working_values(draft, view) for draft in course.drafts.values())
        mine = [draft.numbered(i) for i, draft in enumerate(drafts, start=1)]
        if not course.given_up or course.finished is not None:
            return tuple(mine)
        known = {_place(proposal) for proposal in mine}
        others = [one for one in self._protocol.propose(view) if _place(one) not in known]
        return (*mine, *(_renamed(one, i) for i, one in enumerate(others, start=len(mine) + 1)))

    def closing(self, view: View) -> tuple[Experiment, ...]:
        """The black-box arm."""
        return self._protocol.closing(view)

    def word(self, view: View, claims: tuple[JudgedClaim, ...]) -> Words:
        """The answer in the deterministic planner's words, and how the planning went."""
        return self._protocol.word(view, claims).model_copy(update={"planning": self._planning(view)})

    def _consultation(self, view: View, pool: Pool, course: Course) -> Consultation:
        mine = sum(turn.role == "planner" for turn in view.turns)
        terms = terms_of(view.turns)
        room = terms.room(self.room)
        told = conversation(view, pool, course, terms.mode, room)
        return Consultation(
            number=mine + 1,
            **terms.asked,
            longest_reply=longest_reply(room),
            messages=told.messages,
            functions=told.functions,
            # A turn that failed is asked anew with another seed; one that was answered goes on.
            seed=self.seed + mine,
        )

    def _planning(self, view: View) -> Planning | None:
        pool = self._protocol.pool(view)
        if pool is None:
            return None
        course = course_of(view, pool, self.blind, self.seed)
        return Planning(
            model=self.model,
            turns=sum(turn.role == "planner" for turn in view.turns),
            blinded=TOLD[self.blind],
            useless=course.in_vain,
            tokens=sum(turn.tokens for turn in view.turns),
            estimated=any(turn.estimated for turn in view.turns),
            asked_otherwise=asked_otherwise(terms_of(view.turns).left_out),
            ended=_ended(course, view),
            finished_by_protocol=course.given_up and course.finished is None,
        )


def _with_working_values(draft: Draft, view: View) -> Draft:
    """A prediction that nothing happens, tested with those values that were seen to do something elsewhere."""
    if draft.direction == "none":
        patches = [m for m in view.results.values() if m.tool == "patch" and m.subject.reinit_seed is None]
        working = [_prompts(m.args["reference"]) for m in patches if any(map(moves, m.result["cells"]))]
        draft.arms = [arm for arm in draft.arms if _prompts(arm[2]) in working] or draft.arms
    return draft


def _prompts(reference: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(one["prompt"] for one in reference)


def _ended(course: Course, view: View) -> str:
    if course.finished is not None:
        return f"the language model finished, in its words: {quoted(course.finished)}"
    if course.given_up:
        return "too many of its turns led to nothing, and the deterministic planner finished"
    return view.stopped or "it was not asked to the end"


def _place(proposal: Proposal) -> str:
    """By what two predictions are the same: their kind, and all that their first arm asks but its prompts."""
    arm = proposal.prediction.arms[0]
    asked = {name: value for name, value in arm.args.items() if name not in PROMPTS}
    return canonical([proposal.prediction.kind, arm.tool, asked])


def _renamed(proposal: Proposal, number: int) -> Proposal:
    """The proposal under another number of this investigation."""
    hypothesis = proposal.hypothesis.model_copy(update={"id": f"h{number}"})
    prediction = proposal.prediction.model_copy(update={"id": f"p{number}", "hypothesis": hypothesis.id})
    return Proposal(hypothesis=hypothesis, prediction=prediction)
