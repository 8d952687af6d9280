"""The protocol planner's sentences: what was claimed, what was not, what prompting alone would have told.

Every figure is a reference that the report fills in; a digit typed here would be refused.
"""

from collections.abc import Iterator, Sequence

from ...tools import NO_GAP
from .._evidence import TWIN
from .._samples import arm_key
from ..report.schema import Sentence
from . import _answered, _described, _mediation, _names, _stand_ins, _steering_question
from ._pairs import MAJORITY, Pool
from ._plain import effect_of, name, number, say, share
from .interface import JudgedClaim, View, Words
from .reading import ABOUT_ANSWERS, PRESUMING

MOST_NAMED = 12  # places in one sentence


class Wording:
    """Words for one judged investigation."""

    def __init__(
        self, view: View, claims: tuple[JudgedClaim, ...], pool: Pool | None, premise: bool | None, seed: int = 0
    ) -> None:
        self.view, self.claims, self.pool, self.premise_holds, self.seed = view, claims, pool, premise, seed

    def words(self) -> Words:
        """Everything the report says in prose."""
        return Words(
            premise_holds=self.premise_holds,
            premise=self._premise(),
            answer=tuple(self._answer()),
            claims={claim.id: self._claim(claim) for claim in self.claims},
            black_box=tuple(self._black_box()),
            not_found=tuple(self._not_found()),
        )

    def _premise(self) -> Sentence:
        task = self.view.task
        asked = self.view.results.get("premise")
        if task.kind in ABOUT_ANSWERS:
            return _answered.premise(self.view)
        if task.kind == "steering":
            return say("The question presumes nothing; the pairs say which answer is steered to.")
        if task.kind == "feature":
            return say(f"Feature {name(task.feature)} was read on the model's own texts.")
        if asked is None:
            return say("The model could not be asked:", name(self.view.failed.get("premise", "not run")) + ".")
        if task.kind == "where":
            return say(
                "The model answers",
                share(asked.id, "accuracy"),
                "of the pairs' prompts as they say;",
                "the premise holds." if self.premise_holds else "the premise does not hold.",
            )
        top = name(asked.result["answers"][0]["top"][0][0].strip())
        if not self.premise_holds and asked.result["answers"][0]["rank"] == 1:
            return say(
                f"The premise does not hold: {top} is the most likely token after this prompt, but its probability is",
                number(asked.id, "answers.0.probability", ".2g") + ": the model spreads its guesses.",
            )
        if self.premise_holds:
            return say(
                f"The model does answer {name(task.answer)}, with probability",
                number(asked.id, "answers.0.probability") + ".",
            )
        return say(
            f"The premise does not hold: after this prompt the model answers {top} (probability",
            number(asked.id, "answers.0.top.0.1") + f"), and {name(task.answer)} is place",
            number(asked.id, "answers.0.rank", "d"),
            "(probability",
            number(asked.id, "answers.0.probability", ".2g") + ").",
        )

    def _answer(self) -> Iterator[Sentence]:
        yield self._premise()
        if self.premise_holds is False:
            return
        if self.view.task.kind in ABOUT_ANSWERS:
            yield from _answered.answer(self.view, self.claims)
            return
        if self.view.task.kind == "steering":
            yield from _steering_question.answer(self.view, self.seed)
            return
        found = Found(self.claims)
        if self.view.task.kind == "feature":
            yield from _described.answer(self.view, tested=bool(self.claims))
        if not found.any:
            if self.view.task.kind != "feature" or self.claims:
                yield say("No claim about the mechanism is supported by the evidence gathered here.")
            return
        if found.variable:
            yield self._variable(found)
            yield from self._before(found)
        yield from self._carried(found)
        if found.components:
            yield self._path(found)
        yield from _stand_ins.sentences(found.stand_ins, self.view)
        yield from _names.confirmed(self.claims)
        for claim in found.other:
            yield say(claim.proposal.hypothesis.statement.rstrip("."), f"(effect {effect_of(claim)}).")
        yield from self._learned(found)

    def _variable(self, found: "Found") -> Sentence:
        pool, first = self.pool, found.variable[0]
        assert pool is not None, "a variable was claimed without prompt pairs"
        shares = _listed([share(claim.id, "judgement.moved_share") for claim in found.variable])
        return say(
            f"On the way it works out the {pool.mediator}: at {pool.place}, {_sites(found.variable)}",
            "holds it" if len(found.variable) == 1 else "hold it",
            f"apart from which {pool.entity} it came from. Exchanging what the {pool.entity} tokens of one "
            f"{pool.mediator} have in common for another's turns the answer into the other's {pool.answer} for",
            shares,
            f"of held-out prompts (effect {effect_of(first)}).",
        )

    def _before(self, found: "Found") -> Iterator[Sentence]:
        """How little the site before the first one moved: seen while exploring, and said to be no more than that."""
        swept = self.view.results.get("variable")
        if swept is None:
            return
        cells = swept.result["cells"]
        first = next(i for i, cell in enumerate(cells) if cell["site"] == _place(found.variable[0])[0])
        claimed = {_place(claim)[0] for claim in self.claims_about_absence()}
        if first > 0 and cells[first - 1]["site"] not in claimed:
            yield say(
                f"One step before, at {name(cells[first - 1]['site'])}, the exchange moved",
                share(swept.id, f"cells.{first - 1}.moved"),
                "of the answers while exploring (observed, not tested).",
            )

    def claims_about_absence(self) -> list[JudgedClaim]:
        """Claims that a site plays no part, whatever their verdict."""
        return [c for c in self.claims if c.proposal.hypothesis.kind == "absence" and _tool(c) == "patch"]

    def _idle(self) -> Iterator[Sentence]:
        """Places that were patched and move next to nothing, but for what claims say of them with others taken out."""
        behind = {_place(claim)[0] for claim in Found(self.claims).stand_ins}
        for key, what in (("components", "blocks"), ("heads", "heads")):
            swept = self.view.results.get(key)
            if swept is None:
                continue
            idle: dict[str, list[str]] = {}
            for cell in swept.result["cells"]:
                if abs(cell["effect"]) < _mediation.GONE and cell["site"] not in behind:
                    idle.setdefault(cell["position"], []).append(name(cell["site"]))
            for position, sites in idle.items():
                where = "the last token" if position == "last" or self.pool is None else self.pool.place
                shown = _listed(sites) if len(sites) <= MOST_NAMED else f"{', '.join(sites[:MOST_NAMED])} and others"
                yield say(f"Patched at {where} and found to move next to nothing, among {what}: {shown}.")

    def _carried(self, found: "Found") -> Iterator[Sentence]:
        pool = self.pool
        if pool is None:
            return
        if found.absent:
            gone = found.absent[0]
            yield say(f"At {_sites(found.absent)} the same exchange does nothing any more (effect {effect_of(gone)}).")
        for claim in found.carriers:
            site, position = _place(claim)
            where = "the last token" if position == "last" else pool.place
            yield say(
                f"What decides the {pool.answer} is carried at {where} in {name(site)}: patching it from another",
                "prompt moves",
                share(claim.id, "judgement.moved_share"),
                f"of the answers on held-out prompts (effect {effect_of(claim)}).",
            )

    def _path(self, found: "Found") -> Sentence:
        parts = [f"{name(_place(claim)[0])} (effect {effect_of(claim)})" for claim in found.components]
        return say("Part of the path are", _listed(parts) + ".")

    def _learned(self, found: "Found") -> Iterator[Sentence]:
        for claim in (*found.variable, *found.carriers, *found.components, *found.other):
            prediction = claim.proposal.prediction
            twins = [self.view.results.get(arm_key(prediction, arm)) for arm in prediction.twin_arms]
            measured = next((m for m in twins if m is not None), None)
            if measured:
                moved = share(measured.id, "cells.0.moved")
                yield say(f"On re-initialised weights the first of these tests moves {moved} of the answers.")
                return

    def _claim(self, claim: JudgedClaim) -> Sentence:
        return say(claim.proposal.hypothesis.statement)

    def _black_box(self) -> Iterator[Sentence]:
        asked = self.view.results.get("black box")
        if asked is None or self.pool is None:
            return
        yield say(
            "Asked alone, the model answers",
            share(asked.id, "accuracy"),
            "of the held-out prompts of this kind as expected.",
            "That tells that it can, not how: prompting sees neither where the answer is worked out nor what lies "
            "between.",
        )
        chosen = self.view.results.get("pairs")
        if chosen is not None:
            yield say(
                "But these prompts had been chosen: of those tried, the model answered",
                share(chosen.id, "accuracy"),
                "as expected, and pairs with another answer were left out before anything was held out. So the share "
                "above says nothing of how often it is right.",
            )

    def _not_found(self) -> Iterator[Sentence]:
        if open_claims := [c for c in self.claims if c.judgement.verdict != "supported"]:
            named = _listed([f"{name(claim.id)} ({claim.judgement.verdict})" for claim in open_claims])
            yield say(f"Tested and not supported: {named}; each claim says why.")
        asked = self.view.results.get("held-out")
        if asked is not None and asked.result["accuracy"] < MAJORITY:
            yield say(
                "Of the rows that training held out the model answers",
                share(asked.id, "accuracy") + ", so confirmation used training rows that exploration had not seen.",
            )
        yield from self._idle()
        yield from _names.unconfirmed(self.claims, self.view)
        yield from self._not_run()
        yield from _answered.not_found(self.view)
        if self.premise_holds is False or self.view.task.kind not in PRESUMING:
            return
        if self.pool is None and self.view.task.kind == "where":
            yield say("Too few pairs are answered as they say to be split into discovery and confirmation.")
        elif self.pool is None:
            yield say(
                "No word was found whose replacement changes the answer in enough prompts, so nothing could be patched."
            )
        if self.view.card.dictionary is None:
            yield say(
                "No dictionary exists for this model, so features were not examined: only heads, blocks and positions.",
                "`vesalius dictionary train` makes one.",
            )
        if self.pool and self.pool.mediator and not any(c.proposal.hypothesis.kind == "variable" for c in self.claims):
            yield from self._unused_mediator(self.pool.mediator, self.pool.entity)

    def _not_run(self) -> Iterator[Sentence]:
        """What could not run; twins that tell no answers apart are named together, as nothing could move in them."""
        twins = [key for key, why in self.view.failed.items() if TWIN in key and NO_GAP in why]
        for key, reason in self.view.failed.items():
            if key not in twins:
                yield say(f"The experiment {name(key)} could not run:", name(reason) + ".")
        if twins:
            named = _listed([*map(name, dict.fromkeys(key.partition(":")[0] for key in twins))])
            yield say(
                f"{TWIN.capitalize()} weights answer both prompts of a pair alike: nothing of {named} could move there."
            )

    def _unused_mediator(self, mediator: str, entity: str) -> Iterator[Sentence]:
        """What a sweep over the mediator says where nothing of it was sealed; nothing where there was no sweep."""
        swept = self.view.results.get("variable")
        if swept is None:
            return
        cells = swept.result["cells"]
        most = max(range(len(cells)), key=lambda i: cells[i]["moved"])
        yield say(
            f"Exchanging the {mediator} at the {entity}'s token moved at most",
            share(swept.id, f"cells.{most}.moved"),
            "of the answers while exploring (observed, not tested).",
            "It may stand there all the same, and be read for other answers.",
        )


class Found:
    """Supported claims by the part they play in an answer."""

    def __init__(self, claims: Sequence[JudgedClaim]) -> None:
        supported = [c for c in claims if c.judgement.verdict == "supported"]
        self.any = bool(supported)
        self.variable = [c for c in supported if c.proposal.hypothesis.kind == "variable"]
        self.absent = [c for c in supported if c.proposal.hypothesis.kind == "absence" and _tool(c) == "patch"]
        mediating = [c for c in supported if c.proposal.hypothesis.kind == "mediation" and _tool(c) == "patch"]
        self.stand_ins = [c for c in mediating if c.proposal.prediction.arms[0].args.get("without")]
        patched = [c for c in mediating if c not in self.stand_ins]
        self.carriers = [c for c in patched if _place(c)[0].startswith("resid")]
        self.components = [c for c in patched if not _place(c)[0].startswith("resid")]
        self.other = [c for c in supported if _tool(c) not in ("patch", _names.TOOL)]


def _tool(claim: JudgedClaim) -> str:
    return claim.proposal.prediction.arms[0].tool


def _place(claim: JudgedClaim) -> tuple[str, str]:
    args = claim.proposal.prediction.arms[0].args
    return "+".join(args["sites"]), args["positions"][0]


def _sites(claims: Sequence[JudgedClaim]) -> str:
    return _listed([name(_place(claim)[0]) for claim in claims])


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
