"""A language model's wording of the answer: asked for, and held to rules, sentence by sentence.

A sentence is shown only if every figure in it is a reference that resolves, it cites a claim or a measurement of the
report, no word is stronger than the weakest of what it cites, names between backticks are names of the report, and it
gives no claim another verdict than the judge did. What it means is for a reader to see, so it stands beside the answer
by code and never in its place.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..tools import ToolError
from ._attempts import TIERS, is_broken, tier_of
from ._evidence import Tier, Verdict
from .headlines import headline
from .judge import check_wording
from .planners.llm_endpoint import first_of
from .planners.llm_turns import Consultation, Turn, terms_of
from .planners.llm_wording import MOST_TRIES, consultation, sentences_of
from .planners.llm_words import quoted, without_figures
from .report._sentence import Piece, Sentence, UnboundFigure, number_at
from .report._worded import LeftOut, Worded

if TYPE_CHECKING:
    from .desk import Desk
    from .report.schema import Claim, Report

WORDED = "worded"  # key of the note that ends it
MOST_SENTENCES = 8
MOST_FINDINGS = 40  # measurements that it is told of
LONGEST_NAME = 80  # characters between backticks
VERDICT_WORDS: dict[Verdict, tuple[str, ...]] = {
    "supported": ("supported", "confirmed", "held"),
    "refuted": ("refuted", "not shown"),
    "inconclusive": ("undecided", "inconclusive", "not shown"),
}
DENIED = re.compile(
    r"(?:\b(?:not|never|hardly|longer|without being)|n['’]t)\s+(?:\w+\s+)?(?:undecided|inconclusive|refuted)\b"
)
PLACE = re.compile(r"[a-z_]+\.\d+(?:\.\d+)?")
NUMBER_WORDS = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy"
    r"|eighty|ninety|hundreds?|thousands?|millions?|dozens?|half|halves|thirds?|quarters?|fifths?|tenths?|twice|thrice"
    r"|doubl\w+|tripl\w+|percent|per cent|(?:two|three|four|five|ten)fold)\b",
    re.IGNORECASE,
)


class Writer:
    """The wording of one investigation."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk

    @property
    def is_due(self) -> bool:
        """Whether a wording is wanted, and not there."""
        return self._desk.folder.info.planned.writer != "off" and self._desk.ledger.find(WORDED) is None

    def next(self, state: Mapping[str, Any], report: "Report") -> Consultation | None:
        """What it is to be asked next; none once a reply could be used, or no more are asked for."""
        turns = turns_of(self._desk)
        tried = [turn for turn in turns if turn.is_try]
        stopped = self._desk.out_of_rest(state, asking=True)
        if stopped or len(tried) >= MOST_TRIES or (tried and checked(tried[-1], report).sentences):
            why = "" if tried else f"It was not asked: {stopped}."
            self._desk.ledger.append(WORDED, "note", {WORDED: {"why": why}})
            return None
        refused = [(turn, _why_not(checked(turn, report))) for turn in turns]
        terms = terms_of(self._desk.advice.turns)
        room = terms.room(self._desk.folder.info.planned.room)
        return consultation(findings_of(report), refused, len(turns) + 1, self._desk.seed, terms, room)


def turns_of(desk: "Desk") -> list[Turn]:
    """What the writer said, in order."""
    return [turn for turn in desk.advice.turns if turn.role == "writer"]


def worded_in(desk: "Desk", report: "Report") -> Worded | None:
    """The wording that a ledger has, held to the report; none where none was asked for."""
    noted = desk.ledger.find(WORDED)
    if noted is None:
        return None
    tried = [turn for turn in turns_of(desk) if turn.is_try]
    if not tried:
        return Worded(by=desk.folder.info.planned.advised_by, sentences=(), problem=noted.body[WORDED]["why"])
    return checked(tried[-1], report)


def findings_of(report: "Report") -> dict[str, Any]:
    """What the writer may speak of, with references in place of figures."""
    claims = [
        {
            "id": claim.id,
            "claim": claim.sentence.text,
            "verdict": claim.judgement.verdict,
            "tier": tier_of(claim),
            "broken_on_other_prompts": is_broken(claim),
            "figures": [f"{{{{{claim.id}:judgement.{name}}}}}" for name in ("effect", "low", "high", "moved_share")],
        }
        for claim in report.claims
    ]
    explored = [record.measurement for record in report.measurements if record.phase == "explore"]
    return {
        "question": report.question,
        "answer_by_code": [sentence.text for sentence in report.answer],
        "claims": claims,
        "measurements": [{"id": m.id, "found": headline(m).text} for m in explored[:MOST_FINDINGS]],
        "not_found": [sentence.text for sentence in report.not_found],
    }


def checked(turn: Turn, report: "Report") -> Worded:
    """A reply, held to the rules."""
    try:
        written = sentences_of(turn)
    except ToolError as error:
        return Worded(by=turn.model, sentences=(), problem=error.message)
    rules = Rules(report)
    shown: list[Sentence] = []
    left_out: list[LeftOut] = []
    for text in written:
        why = rules.refusal_of(text) if len(shown) < MOST_SENTENCES else "it is one too many"
        if why:
            left_out.append(LeftOut(text=quoted(text), why=without_figures(why)))  # it may repeat the sentence
        else:
            shown.append(Sentence(text=text))
    problem = "" if shown else "None of its sentences keeps to the rules."
    return Worded(by=turn.model, sentences=tuple(shown), left_out=tuple(left_out), problem=problem)


class Rules:
    """What a sentence has to keep to, as far as one report goes."""

    def __init__(self, report: "Report") -> None:
        self._report = report

    @cached_property
    def _data(self) -> dict[str, dict[str, Any]]:
        return self._report.data

    @cached_property
    def _names(self) -> frozenset[str]:
        return names_of(self._report)

    def refusal_of(self, text: str) -> str:
        """Which rule a sentence breaks; empty where it keeps them all."""
        try:
            sentence = Sentence(text=text)
            for reference in sentence.references:
                if reference.id not in self._data:
                    return f"the report holds no {reference.id}"
                number_at(self._data[reference.id], reference)
        except ValidationError as error:
            return first_of(error).removeprefix("`text`: ").removeprefix("Value error, ").partition(", in: ")[0]
        except UnboundFigure as error:
            return str(error)
        prose = " ".join(piece.text for piece in sentence.pieces if piece.kind == "prose")
        if found := NUMBER_WORDS.search(prose):
            return f"{found[0]!r} is a figure in words: refer to the measurement"
        literal = [piece for piece in sentence.pieces if piece.kind in ("code", "quote")]
        if odd := next((piece.text for piece in literal if not _is_name(piece, self._names)), None):
            return f"{odd[:LONGEST_NAME]!r} is no name of this report"
        return self._against_the_verdicts(sentence, prose)

    def _against_the_verdicts(self, sentence: Sentence, prose: str) -> str:
        """What a sentence says of the claims it cites that the judge did not."""
        report = self._report
        known = {record.measurement.id for record in report.measurements} | {claim.id for claim in report.claims}
        literal = {piece.text for piece in sentence.pieces if piece.kind == "code"}
        cited = {reference.id for reference in sentence.references} | (literal & known)
        if not cited:
            return "it cites no claim and no measurement"
        claims = [claim for claim in report.claims if cited & {claim.id, *claim.measurements}]
        if stray := _stray(literal, sentence, claims, self._data):
            return f"it names `{stray}`, which no claim that it cites is about, and no figure of it stands beside"
        barred = check_wording(prose, _weakest(cited, claims))
        if barred:
            return f"its evidence does not bear {', '.join(map(repr, barred))}"
        return _misjudged(prose.casefold(), {claim.judgement.verdict for claim in claims})


def _stray(
    named: Collection[str], sentence: Sentence, claims: Sequence["Claim"], data: Mapping[str, dict[str, Any]]
) -> str:
    """A place that a sentence names and shows nothing of; empty where there is none."""
    arms = [arm.args for claim in claims for arm in claim.prediction.arms]
    told = {site for args in arms for field in ("sites", "without") for site in args.get(field, ())}
    for reference in sentence.references:
        parts = reference.path.split(".")
        if parts[0] == "cells" and len(parts) > 1 and parts[1].isdigit():
            told.update(str(data[reference.id]["cells"][int(parts[1])].get("site", "")).split("+"))
    return next((name for name in sorted(named) if PLACE.fullmatch(name) and name not in told), "")


def _misjudged(said: str, verdicts: set[Verdict]) -> str:
    """Where a sentence gives another verdict than those of the claims it cites; empty where it does not."""
    if DENIED.search(said):
        return "it denies a verdict"
    for verdict in sorted(verdicts - {"supported"}):
        if not any(_has(said, word) for word in VERDICT_WORDS[verdict]):
            return f"it cites a claim that is {verdict}, and does not say so"
    right = {word for verdict in verdicts for word in VERDICT_WORDS[verdict]}
    others = {word: verdict for verdict in VERDICT_WORDS.keys() - verdicts for word in VERDICT_WORDS[verdict]}
    wrong = sorted(word for word in others.keys() - right if _has(said, word))
    return f"it says {wrong[0]!r}, and no claim that it cites is {others[wrong[0]]}" if wrong else ""


def _weakest(cited: set[str], claims: Sequence["Claim"]) -> Tier:
    """The tier that a sentence may speak at: what only explored is observed, whatever stands beside it."""
    tiers: list[Tier] = [tier_of(one) if one.judgement.verdict == "supported" else TIERS[0] for one in claims]
    told = {name for claim in claims for name in (claim.id, *claim.measurements)}
    return min([*tiers, *([TIERS[0]] if cited - told else [])], key=TIERS.index)


def names_of(report: "Report") -> frozenset[str]:
    """What may stand between backticks: names that code put there, ids and places."""
    code = {piece.text for sentence in report.sentences for piece in sentence.pieces if piece.kind == "code"}
    cells = [cell for r in report.measurements for cell in r.measurement.result.get("cells", ()) if "site" in cell]
    places = {part for cell in cells for part in str(cell["site"]).split("+")}
    ids = {record.measurement.id for record in report.measurements} | {claim.id for claim in report.claims}
    # Words of planner and user come back in code's sentences too, and could hold any figure.
    plain = {name for name in code if not any(c.isdigit() for c in name)}
    return frozenset({*plain, *places, *ids, *re.findall(r"[^\W\d_]+", report.question)})


def _is_name(piece: Piece, names: frozenset[str]) -> bool:
    text = piece.text.strip('"“”') if piece.kind == "quote" else piece.text
    return len(text) <= LONGEST_NAME and text in names


def _has(said: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", said) is not None


def _why_not(worded: Worded) -> str:
    return "; ".join([worded.problem, *(f"{one.text!r}: {one.why}" for one in worded.left_out)])
