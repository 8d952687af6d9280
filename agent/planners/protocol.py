"""The deterministic planner: seven forms of question, one fixed course of experiments for each.

It drives the same graph that a language model drives, needs no endpoint, and repeats exactly: what it does next is a
pure function of the view.
"""

from collections.abc import Iterator

from ...tools import Row, TaskFamily, Template
from . import _answer_question, _feature_question, _features, _mediation, _stand_ins, _steering_question
from ._circuits import circuit_experiment
from ._clusters import clustered
from ._contrasts import WordSwap, are_aligned, as_said
from ._naming import Naming
from ._pairs import MAJORITY, Pool, held_out_rows, matched_task, pool_from_pairs, pool_from_task
from ._plain import name
from ._wording import Wording
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
from .reading import ABOUT_ANSWERS, PRESUMING, read_question, refuse_without_prompts

LEAST_SURE = 0.1  # probability below which the model does not so much answer as spread its guesses
MIN_PAIRS = 6  # below this neither exploration nor confirmation can say anything


class ProtocolPlanner:
    """Plans without a language model; one may write its probes.

    Args:
        probes_by: that one's name; empty where probes are made without one.
    """

    name = "protocol"

    def __init__(self, seed: int = 0, probes_by: str = "") -> None:
        self.seed, self._naming = seed, Naming(seed, probes_by)
        self._drawn: tuple[SubjectCard, tuple[str, ...], Pool] | None = (
            None  # asked for at every step, and never changes
        )
        if probes_by:
            self.name = f"protocol, probes by {probes_by}"

    def read(self, question: str, pairs: tuple[ContrastPair, ...], card: SubjectCard) -> Task:
        """The task, or `CannotRead` with the forms that can be read."""
        task = read_question(question, pairs)
        refuse_without_prompts(task, bool(card.tasks))
        return task

    def next_experiment(self, view: View) -> Experiment | Inquiry | None:
        """The first of the course that has neither run nor failed, or that nobody has been asked yet."""
        return _first_open(self._course(view), view)

    def setting_up(self, view: View) -> Experiment | Inquiry | None:
        """What is still due before prompt pairs can be had: the premise, and pairs that the model answers."""
        return _first_open(self._set_up(view), view)

    def propose(self, view: View) -> tuple[Proposal, ...]:
        """Predictions about held-out prompts."""
        if premise_holds(view) is False:
            return ()
        if view.task.kind == "feature":
            return _feature_question.proposals(view)
        if view.task.kind == "steering":
            return ()
        if view.task.kind in ABOUT_ANSWERS:
            return _answer_question.proposals(view, self.seed)
        pool = self.pool(view)
        if pool is None:
            return ()
        seen = _mediation.proposals(pool, view)
        hidden = _mediation.numbered(tuple(_stand_ins.drafts(pool, view)), first=len(seen) + 1)
        about_places = (*seen, *hidden)
        return (*about_places, *self._naming.proposals(view, first=len(about_places) + 1))

    def closing(self, view: View) -> tuple[Experiment, ...]:
        """The black-box arm: the same held-out prompts, asked and nothing else."""
        pool = self.pool(view)
        return (self._black_box(pool),) if pool else ()

    def word(self, view: View, claims: tuple[JudgedClaim, ...]) -> Words:
        """The answer, with every figure a reference."""
        words = Wording(view, claims, self.pool(view), premise_holds(view), self.seed).words()
        return words.model_copy(update={"not_found": (*words.not_found, *self._naming.unwritten(view))})

    def _course(self, view: View) -> Iterator[Experiment | Inquiry]:
        """All experiments of the investigation as far as the results so far determine them, in order."""
        if view.task.kind == "feature":
            yield from _feature_question.explorations(view)
            return
        if view.task.kind == "steering":
            yield from _steering_question.explorations(view, self.seed)
            return
        if view.task.kind in ABOUT_ANSWERS:
            yield from _answer_question.explorations(view, self.seed)
            return
        yield from self._set_up(view)
        pool = self.pool(view)
        if pool is None:
            return
        yield from _mediation.explorations(pool, view.card)
        if view.task.kind == "where" and (found := circuit_experiment(view, pool.discovery.swap, self.seed)):
            yield found
            yield from _stand_ins.explorations(view, pool)
        if view.task.kind == "why":
            yield from _features.explorations(view, pool, self._naming)

    def _set_up(self, view: View) -> Iterator[Experiment | Inquiry]:
        if view.task.kind not in PRESUMING:
            return
        yield self._premise(view.task)
        if premise_holds(view) is True:
            yield from self._naming.inquiries(view)
            yield from self._pair_making(view)

    def _premise(self, task: Task) -> Experiment:
        if task.kind == "why":
            args = {"prompts": [task.prompt], "answers": [task.answer]}
            return Experiment(key="premise", tool="next_token", args=args, why="does the model answer that at all?")
        prompts, answers = [p.clean for p in task.pairs], [p.answer for p in task.pairs]
        args = {"prompts": prompts, "answers": answers, "foils": [p.foil for p in task.pairs]}
        return Experiment(
            key="premise", tool="next_token", args=args, why="does the model answer the pairs as they say?"
        )

    def _pair_making(self, view: View) -> Iterator[Experiment]:
        """Where no task data describe the prompt, find words that its answer hangs on, and check what swapping does."""
        task = view.task
        if task.kind == "where":
            yield self._check("pairs", [(pair, "") for pair in task.pairs])
        elif found := matched_task(task, view.card):
            yield from self._held_out_check(found[0], found[1])
        else:
            args = {"prompt": task.prompt, "answer": task.answer, "seed": self.seed}
            yield Experiment(key="words", tool="substitutions", args=args, why="which words does the answer hang on?")
            swap = self._swap(view)
            if swap and swap.exists:
                yield self._check("pairs", swap.candidates())

    def _check(self, key: str, pairs: list[tuple[ContrastPair, str]]) -> Experiment:
        args = {
            "prompts": [p.clean for p, _ in pairs] + [p.corrupted for p, _ in pairs],
            "answers": [p.answer for p, _ in pairs] + [p.foil for p, _ in pairs],
        }
        return Experiment(key=key, tool="next_token", args=args, why="which pairs does the model answer as they say?")

    def _black_box(self, pool: Pool) -> Experiment:
        pairs = pool.confirmation.swap
        args = {"prompts": [p["base"] for p in pairs], "answers": [p["answer"] for p in pairs]}
        why = "what prompting alone tells: does it answer prompts of this kind that were held out?"
        return Experiment(key="black box", tool="next_token", args=args, why=why, phase="black_box")

    def pool(self, view: View) -> Pool | None:
        """Prompt pairs for discovery and confirmation; none as long as, or if, they cannot be had."""
        if view.task.kind not in PRESUMING or premise_holds(view) is not True:
            return None
        found = matched_task(view.task, view.card)
        if found:
            family, template, row = found
            asked = view.results.get("held-out")
            if asked is None and held_out_rows(family):
                return None
            answered = asked is not None and asked.result["accuracy"] >= MAJORITY
            return self._from_task(view.card, family, template, row, answered)
        if "pairs" not in view.results:
            return None
        if view.task.kind == "where":
            return self._pool_of(view, [(pair, "") for pair in clustered(view.task.pairs)], "the tokens that differ")
        swap = self._swap(view)
        assert swap is not None, "pairs were checked before words were found"
        return self._pool_of(view, swap.candidates(), f"the word {name(swap.word)}")

    def _from_task(self, card: SubjectCard, family: TaskFamily, template: Template, row: Row, answered: bool) -> Pool:
        entity = row.slots[family.entity]
        key = family.name, template.id, entity, str(answered)
        if self._drawn is None or self._drawn[0] is not card or self._drawn[1] != key:
            made = pool_from_task(card.tasks, family, template, self.seed, use_held_out=answered, asked=entity)
            self._drawn = card, key, made
        return self._drawn[2]

    def _pool_of(self, view: View, pairs: list[tuple[ContrastPair, str]], place: str) -> Pool | None:
        usable = as_said(pairs, view.results["pairs"])
        if len(usable) < MIN_PAIRS:
            return None
        replacements = [new for _, new in usable] if usable[0][1] else None
        pool = pool_from_pairs(
            [pair for pair, _ in usable],
            replacements,
            place,
            answer="answer",
            aligned=are_aligned(view.results["pairs"]),
            seed=self.seed,
        )
        return pool if min(len(pool.discovery.swap), len(pool.confirmation.swap)) >= MIN_PAIRS // 2 else None

    def _swap(self, view: View) -> WordSwap | None:
        found = view.results.get("words")
        return WordSwap(view.task.prompt, view.task.answer, found) if found else None

    def _held_out_check(self, family: TaskFamily, template: Template) -> Iterator[Experiment]:
        """Rows that training held out can confirm only what the model does on them; asked in the question's wording,
        which confirmation does not use where the family has others."""
        rows = held_out_rows(family)
        if rows:
            args = {
                "prompts": [template.fill(r.slots) for r in rows],
                "answers": [r.slots[family.answer] for r in rows],
            }
            why = "does the model answer the task's held-out rows, so that they can confirm?"
            yield Experiment(key="held-out", tool="next_token", args=args, why=why)


def _first_open(course: Iterator[Experiment | Inquiry], view: View) -> Experiment | Inquiry | None:
    """The first that has neither run nor failed, or that nobody has been asked yet."""
    for wanted in course:
        if isinstance(wanted, Inquiry):
            if wanted.key not in view.written:
                return wanted
        elif wanted.key not in view.results and wanted.key not in view.failed:
            return wanted
    return None


def premise_holds(view: View) -> bool | None:
    """Whether the model answers as the question says; none before it was asked, or where nothing is presumed."""
    if view.task.kind == "trigger":
        return _answer_question.is_asked(view)
    asked = view.results.get("premise")
    if asked is None:
        return None
    answers = asked.result["answers"]
    sure = [answer["rank"] == 1 and answer["probability"] >= LEAST_SURE for answer in answers]
    return sum(sure) >= MAJORITY * len(answers)
