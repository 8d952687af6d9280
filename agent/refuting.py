"""Tries to break every supported claim about a place, by sealed predictions that its effect is gone on other prompts.

Code takes the wordings from task data and texts, or a language model writes them; words, answers, place, controls and
verdict are by code either way. Each attempt goes the way of any prediction: the subject is asked first, and pairs that
it does not answer as they say are dropped; then the prediction enters the ledger, with its controls, and runs once; and
the same judge judges it, among every unit looked at. So an attempt that was chosen badly wastes its turn and breaks
nothing. What was decided is in the ledger at once, so that a run that is taken up again, and a report that is built
again, see the same attempts.

Claims are not judged anew with the attempts among the units looked at: their verdicts were given before any attempt
was chosen, and else a refuter could undo a claim by the number of its attempts alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..tools import ToolError, differing_positions, token_positions
from ._attempts import COUNTER, REFUTED, Refuting, asked_key, in_words, outcome_of
from ._evidence import Arm, Hypothesis, Prediction
from ._samples import arm_key, judge_all
from .docket import experiments_of
from .holdout import prompts_of
from .judge import FEWEST_CLUSTERS
from .planners._contrasts import as_said
from .planners._counter_prompts import Material, PairArgs, material_of, pairs_for, short_texts
from .planners._pairs import matched_task
from .planners.interface import ContrastPair, Experiment, JudgedClaim, Proposal
from .planners.llm_refuting import MOST_TRIES, Tried, consultation, problem_of, wordings_of
from .planners.llm_turns import Consultation, Turn, terms_of

ARM = "other prompts"  # of an attempt; its wordings stand beside it as what a language model wrote

if TYPE_CHECKING:
    from .desk import Desk, Emit

MOST_PAIRS = 24
TURNS_OF_ATTEMPTS = 120  # of the graph, for one attempt on each claim: asking, test and twin of twenty, and tries
IN_OTHER_WORDINGS = "in wordings that it was not tested in"
BEHIND_A_SENTENCE = "behind a sentence that has nothing to do with them"


class Refuter:
    """The attempts of one investigation."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk

    @cached_property
    def _planned(self) -> Refuting:
        planned = self._desk.folder.info.planned
        return Refuting(by=planned.advised_by if planned.refute == "llm" else "", most=planned.attempts)

    @property
    def turns(self) -> int:
        """Most turns of the investigation's graph that the attempts take, by a generous count."""
        planned = self._desk.folder.info.planned
        return 0 if planned.refute == "off" else TURNS_OF_ATTEMPTS * planned.attempts

    @property
    def is_due(self) -> bool:
        """Whether attempts are wanted, and not all made."""
        return self._desk.folder.info.planned.refute != "off" and self._desk.ledger.find(REFUTED) is None

    def next(self, state: Mapping[str, Any], emit: "Emit") -> Consultation | Experiment | None:
        """What the attempts need next; none where all are made, or no budget is left."""
        if self._stopped(state, emit):
            return None
        for claim in self._desk.docket.claims:
            if _is_about_a_place(claim):
                for number in range(1, self._planned.most + 1):
                    if (due := self._due(f"{claim.id}.{number}", claim, state, emit)) is not None:
                        return due
        return None

    def judge(self, state: Mapping[str, Any], emit: "Emit") -> None:
        """Let code judge every counter-prediction, each among everything that was looked at."""
        docket, ledger = self._desk.docket, self._desk.ledger
        predictions = [proposal.prediction for proposal in (*docket.sealed, *docket.counters)]
        arms = docket.arms_measured | docket.measured(docket.counters)
        judged = judge_all(predictions, arms, dict(state["failed"]), docket.explored, self._desk.seed)
        claims = {claim.id: claim for claim in docket.claims}
        for name in (proposal.prediction.id for proposal in docket.counters):
            found = judged.get(name)
            why = "" if found else "None of its arms ran."
            body = {COUNTER: name, "judgement": found and found.model_dump(mode="json"), "why": why}
            ledger.append(f"attempted:{name}", "note", body)
            claim = claims[name.partition(".")[0]]
            outcome = outcome_of(claim.proposal.prediction, found)[0] if found else "undecided"
            emit({"event": "attempted", "attempt": name, "outcome": outcome})
        stopped = ledger.find("refuting stopped")
        told = self._planned.model_copy(update={"stopped": stopped.body["why"] if stopped else ""})
        ledger.append(REFUTED, "note", {REFUTED: told.model_dump(mode="json")})

    def _stopped(self, state: Mapping[str, Any], emit: "Emit") -> bool:
        ledger = self._desk.ledger
        if ledger.find("refuting stopped") is None and (
            why := self._desk.out_of_rest(state, asking=bool(self._planned.by))
        ):
            ledger.append("refuting stopped", "note", {"why": why})
            emit({"event": "notice", "text": f"Not all attempts are made: {why}."})
        return ledger.find("refuting stopped") is not None

    def _due(
        self, name: str, claim: JudgedClaim, state: Mapping[str, Any], emit: "Emit"
    ) -> Consultation | Experiment | None:
        """What one attempt needs next; none where it has all, or was given up."""
        ledger, docket = self._desk.ledger, self._desk.docket
        if ledger.find(f"given up:{name}") is not None:
            return None
        if ledger.find(f"prompts:{name}") is None and (asked := self._choose(name, claim, state)) is not None:
            return asked
        prompts = ledger.find(f"prompts:{name}")
        assert prompts is not None, f"no prompts were noted for {name}"
        said = prompts.body["prompts"]
        if said["why"]:
            return self._give_up(name, said["why"])
        results, failed = dict(state["done"]), dict(state["failed"])
        asking = _asking(name, said["pairs"])
        if asking.key in failed:
            return self._give_up(name, failed[asking.key])
        if asking.key not in results:
            return asking
        if ledger.find(f"sealed:{name}") is None:
            if why := self._seal(name, claim, said, results, state):
                return self._give_up(name, why)
            emit({"event": "sealed", "prediction": name, "statement": _statement(claim)})
        prediction = next(one.prediction for one in docket.counters if one.prediction.id == name)
        return next((e for e in experiments_of(prediction) if e.key not in results and e.key not in failed), None)

    def _give_up(self, name: str, why: str) -> None:
        self._desk.ledger.append(f"given up:{name}", "note", {COUNTER: name, "why": why})

    def _choose(self, name: str, claim: JudgedClaim, state: Mapping[str, Any]) -> Consultation | None:
        """Note the prompts of an attempt, or say what has to be asked of a language model first."""
        material = self._material(claim, state)
        chosen: tuple[str, Sequence[str], Sequence[str]]  # way, wordings, sentences in front
        turns, why = self._turns(), ""
        if self._planned.by:
            tried = [turn for turn in turns if turn.is_try]
            usable = next((turn for turn in tried if not problem_of(turn, material)), None)
            if usable is None and len(tried) < MOST_TRIES:
                return self._consultation(claim, material, turns)
            wordings = wordings_of(usable, material) if usable else ()
            why = "" if usable else f"The language model gave no wordings: {problem_of(tried[-1], material)}"
            chosen = ("in the language model's wordings: " + "; ".join(wordings), wordings, ())
        else:
            chosen = self._of_code(int(name.partition(".")[2]), name, material)
        way, wordings, texts = chosen
        # A code-made attempt starts behind every one before it, as each is measured before the next is chosen.
        pairs = pairs_for(material, wordings, texts, self._measured(state), f"{self._desk.seed} {name}")
        readable = [pair for pair in pairs if self._is_readable(pair, claim)]
        if not why and len(readable) < FEWEST_CLUSTERS:
            why = f"Only {len(readable)} pairs of prompts could be made; at least {FEWEST_CLUSTERS} are due."
        body = {"by": self._planned.by, "way": way, "pairs": readable, "why": why}
        last = max((turn.number for turn in turns), default=0)
        self._desk.ledger.append(f"prompts:{name}", "note", {COUNTER: name, "prompts": body, "turns_up_to": last})
        return None

    def _of_code(self, number: int, name: str, material: Material) -> tuple[str, Sequence[str], Sequence[str]]:
        """The first attempt takes other wordings, where there are any; all others put sentences in front."""
        if number == 1 and material.unused:
            return IN_OTHER_WORDINGS, material.unused, ()
        texts = short_texts(self._desk.subject.texts, f"{self._desk.seed} {name}")
        return BEHIND_A_SENTENCE, material.wordings if texts else (), texts

    def _material(self, claim: JudgedClaim, state: Mapping[str, Any]) -> Material:
        matched = matched_task(self._desk.task, self._desk.card)
        return material_of(claim.proposal.prediction.arms[0].args, matched[0] if matched else None)

    def _turns(self) -> list[Turn]:
        """What it said for the attempt that is due: since the last one whose prompts were noted."""
        notes = [entry.body for entry in self._desk.ledger.entries("note")]
        before = max((note["turns_up_to"] for note in notes if "turns_up_to" in note), default=0)
        return [turn for turn in self._desk.advice.turns if turn.role == "refuter" and turn.number > before]

    def _consultation(self, claim: JudgedClaim, material: Material, mine: Sequence[Turn]) -> Consultation:
        turns = self._desk.advice.turns
        terms = terms_of(turns)
        notes = [entry.body for entry in self._desk.ledger.entries("note") if "prompts" in entry.body]
        ways = {note[COUNTER]: note["prompts"]["way"] for note in notes}
        here = {name: way for name, way in ways.items() if name.startswith(f"{claim.id}.")}
        return consultation(
            claim.proposal.hypothesis.statement,
            material,
            self._desk.card.words,
            [Tried(prompts=way, came_out=self._came_out(name, claim)) for name, way in here.items()],
            [way for name, way in ways.items() if name not in here],
            mine,
            1 + sum(turn.role == "refuter" for turn in turns),
            self._desk.seed,
            terms,
            terms.room(self._desk.folder.info.planned.room),
        )

    def _came_out(self, name: str, claim: JudgedClaim) -> str:
        """What came of an attempt, as measured: it is judged once all are made, so this is no verdict."""
        docket = self._desk.docket
        if (given_up := self._desk.ledger.find(f"given up:{name}")) is not None:
            return f"It was not tested: {given_up.body['why']}"
        counter = next(one for one in docket.counters if one.prediction.id == name)
        measured = docket.measured([counter]).get(arm_key(counter.prediction, counter.prediction.arms[0]))
        own, claimed = claim.judgement.effect, claim.proposal.prediction
        return in_words(claimed, own, measured.result["cells"][0]) if measured else "It could not be measured."

    def _measured(self, state: Mapping[str, Any]) -> set[str]:
        """Prompts that an instrument looked into the subject on."""
        return {prompt for _, found in state["done"] for prompt in prompts_of(self._desk.folder.measurement(found))}

    def _is_readable(self, pair: PairArgs, claim: JudgedClaim) -> bool:
        """Whether the subject can read a pair, and has the claim's place in it."""
        subject = self._desk.subject
        (position,) = claim.proposal.prediction.arms[0].args["positions"]
        try:
            subject.answer_token(pair["base"], pair["answer"])
            subject.answer_token(pair["corrupted"], pair["foil"])
            if position == "differs":
                differing_positions(subject, pair["base"], pair["corrupted"])
            else:
                token_positions(subject, pair["base"], position, pair["base_entity"])
                token_positions(subject, pair["corrupted"], position, pair["source_entity"])
        except ToolError:
            return False
        return True

    def _seal(
        self, name: str, claim: JudgedClaim, said: dict[str, Any], done: Mapping[str, str], state: Mapping[str, Any]
    ) -> str:
        """Seal the counter-prediction about the pairs that are answered as they say; returns why it cannot be."""
        asked = self._desk.folder.measurement(done[asked_key(name)])
        usable = list(_answered(said["pairs"], as_said([(_contrast(p), "") for p in said["pairs"]], asked)))
        clusters = {pair["cluster"] for pair in usable}
        if len(clusters) < FEWEST_CLUSTERS:
            return (
                f"Of {len(said['pairs'])} pairs the subject answers {len(usable)} as they say, of {len(clusters)} "
                f"words; at least {FEWEST_CLUSTERS} words are due."
            )
        proposal = counter_proposal(name, claim, usable[:MOST_PAIRS], said["way"])
        try:
            self._desk.docket.seal([proposal], self._desk.view(state), attempt=name)
        except ToolError as error:
            return error.message
        return ""


def counter_proposal(name: str, claim: JudgedClaim, pairs: Sequence[PairArgs], way: str) -> Proposal:
    """The prediction that nothing happens at a claim's place on these prompts."""
    claimed = claim.proposal.prediction
    kept = {key: value for key, value in claimed.arms[0].args.items() if key not in ("pairs", "random_draws")}
    hypothesis = Hypothesis(
        id=f"{name}h",
        statement=_statement(claim),
        kind="absence",
        alternatives=(),
        refuted_if="the same intervention moves the answer there by more than the region of no interest",
    )
    arm = Arm(label=ARM, counterfactual_family=ARM, tool="patch", args={**kept, "pairs": list(pairs)})
    prediction = Prediction(
        id=name,
        hypothesis=hypothesis.id,
        kind="absence",
        direction="none",
        arms=(arm,),
        chance=claimed.chance,
        # Facts come back in other words here; what they say of the claim is said by its own prediction.
        holds_out_entities=False,
        holds_out_template=False,
    )
    return Proposal(hypothesis=hypothesis, prediction=prediction)


def _statement(claim: JudgedClaim) -> str:
    args = claim.proposal.prediction.arms[0].args
    return (
        f"On other prompts than those of {claim.id}, nothing happens at `{args['sites'][0]}`, {args['positions'][0]}."
    )


def _is_about_a_place(claim: JudgedClaim) -> bool:
    arms = claim.proposal.prediction.arms
    return claim.judgement.verdict == "supported" and all(arm.tool == "patch" for arm in arms)


def _asking(name: str, pairs: Sequence[PairArgs]) -> Experiment:
    args = {
        "prompts": [pair["base"] for pair in pairs] + [pair["corrupted"] for pair in pairs],
        "answers": [pair["answer"] for pair in pairs] + [pair["foil"] for pair in pairs],
    }
    why = "which of the prompts to try the claim on does the model answer as they say?"
    return Experiment(key=asked_key(name), tool="next_token", args=args, why=why, phase="control")


def _contrast(pair: PairArgs) -> ContrastPair:
    return ContrastPair(clean=pair["base"], corrupted=pair["corrupted"], answer=pair["answer"], foil=pair["foil"])


def _answered(pairs: Sequence[PairArgs], usable: Sequence[tuple[ContrastPair, str]]) -> Iterator[PairArgs]:
    told = {(pair.clean, pair.corrupted) for pair, _ in usable}
    return (pair for pair in pairs if (pair["base"], pair["corrupted"]) in told)
