"""The steps of testing earlier claims again: seal, measure, search the places of what broke, seal and measure again."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..tools import NO_GAP, Measurement, Progress, ToolError
from ._evidence import Prediction, Sample
from ._retest_desk import Earlier, earlier_claims, tested_on
from ._samples import arm_key, judge_all, sample_of
from .comparing.again import asked_again
from .comparing.differences import Loss, Measured, Pairs, answers_lost, corrected, effect_lost, right_on
from .comparing.labels import label_of
from .comparing.search import Candidate, Search, candidates, is_of_parts, proposals, search_for
from .desk import Desk
from .docket import experiments_of
from .ledger import LedgerError
from .planners.interface import Experiment
from .report.schema import Report


class Work:
    """One comparison as far as it has come."""

    def __init__(self, desk: Desk, reports: Sequence[Report], progress: Progress) -> None:
        self.desk, self.reports, self.progress = desk, reports, progress
        self.earlier = earlier_claims(reports, desk.subject)
        self.again = [pair for number, one in enumerate(reports) for pair in asked_again(one, number)]
        self.done: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.searches: dict[str, Search] = {}  # by id of the prediction that broke
        self.elsewhere: dict[str, list[tuple[str, Candidate]]] = {}  # the same: prediction, place
        self.total = len(self.again)

    def test(self) -> None:
        """Seal every claim, then measure; what was asked beside comes last."""
        testable = [one for one in self.earlier if one.prediction is not None]
        for one in testable:
            self._seal(one)
        due = [experiment for one in testable for experiment in experiments_of(one.proposal.prediction)]
        self._measure([*due, *(experiment for experiment, _ in self.again)], len(due))

    def _seal(self, one: Earlier) -> None:
        """As it was sealed for A: not by the docket, which would set its expectation and its controls anew."""
        proposal, bench = one.proposal, self.desk.bench
        name = proposal.prediction.id
        ids = [bench.id_of(e.tool, e.args, e.twin_seed) for e in experiments_of(proposal.prediction)]
        source = {"run": one.report.run, "claim": one.claim.id, "sealed": one.claim.sealed}
        body = {"prediction": name, "measurements": ids, "proposal": proposal.model_dump(mode="json"), "of": source}
        self.desk.ledger.append(f"sealed:{name}", "sealed", body)

    def _measure(self, due: Sequence[Experiment], more: int) -> None:
        self.total += more
        for experiment in due:
            done = len(self.done) + len(self.failed)
            self.progress(done, self.total, f"{experiment.tool}: {experiment.why}")
            outcome = self.desk.run(experiment, lambda event: None)
            (self.failed if outcome.failed else self.done)[experiment.key] = outcome.text

    def search(self) -> None:
        """Look for other places of what broke, seal what was found, and measure it."""
        for one in self._broken():
            assert one.prediction is not None, "what broke was tested"
            found = search_for(one.claim, one.report, self.desk.subject, int(one.prediction.id[1:]))
            if found is not None:
                self.searches[one.prediction.id] = found
        looks = [search.experiment for search in self.searches.values()]
        self._measure(looks, len(looks))
        first = len(self.earlier) + 1
        for one in self.earlier:
            if one.prediction is not None and one.prediction.id in self.searches:
                first = self._seal_elsewhere(one, one.prediction, first)
        chosen = {name for found in self.elsewhere.values() for name, _ in found}
        sealed = [one.prediction for one in self.desk.docket.sealed if one.prediction.id in chosen]
        due = [e for prediction in sealed for e in experiments_of(prediction) if e.key not in self.done]
        self._measure(due, len(due))

    def _broken(self) -> list[Earlier]:
        """Claims whose effect at its place is gone or surely less, though the behaviour is there."""
        sealed = [one for one in self.earlier if one.prediction is not None]
        predictions = [one.proposal.prediction for one in sealed]
        judged = judge_all(predictions, self.desk.docket.arms_measured, self.failed, (), self.desk.seed)
        found = []
        for one, prediction in zip(sealed, predictions, strict=True):
            told = label_of(
                one.claim.judgement.verdict,
                prediction,
                judged.get(prediction.id),
                self.why_not(one),
                self.losses[prediction.id],
                one.claim.judgement.effect,
            )
            # A stream site that still carries has lost nothing to its neighbours, which carry in any case.
            passes_on = prediction.id in judged and judged[prediction.id].verdict == "supported"
            is_weaker = told.label == "weakened" and told.cause != "behaviour"
            searched = is_weaker and (is_of_parts(one.claim) or not passes_on)
            if prediction.direction == "positive" and (told.cause == "mechanism" or searched):
                found.append(one)
        return found

    @cached_property
    def losses(self) -> dict[str, Loss]:
        """What B lost of each supported claim, by prediction; asked for when every claim was measured again."""
        sealed = [one for one in self.earlier if one.prediction is not None]
        sides = [(one.measured, self._on_b(one.proposal.prediction)) for one in sealed]
        both = list(zip(sealed, sides, strict=True))
        effects = corrected([effect_lost(*side, self.desk.seed) if one.is_of_effect else None for one, side in both])
        answers = corrected([answers_lost(*side, self.desk.seed) if one.is_supported else None for one, side in both])
        return {
            one.proposal.prediction.id: Loss(effect, rarer, right_on(*side))
            for (one, side), effect, rarer in zip(both, effects, answers, strict=True)
        }

    def _on_b(self, prediction: Prediction) -> Measured:
        found: dict[str, tuple[Pairs, Sample]] = {}
        for arm in prediction.arms:
            made = self.made(arm_key(prediction, arm))
            if made is not None:
                found[arm.counterfactual_family] = (tested_on(made), sample_of(made, arm.counterfactual_family))
        return found

    def gaps(self, one: Earlier) -> tuple[float | None, float | None]:
        """The gaps that effects on A and on B are shares of, over all pairs (nats)."""
        on_b = self._on_b(one.prediction) if one.prediction else {}
        ours, theirs = (_gap(side) for side in (one.measured, on_b))
        return ours, theirs

    def made(self, key: str) -> Measurement | None:
        """The measurement of an experiment; none where it could not run, or was none."""
        return self.desk.folder.measurement(self.done[key]) if key in self.done else None

    def why_not(self, one: Earlier) -> str:
        """Why a claim could not be tested, where it could not; a gap that is not there before other reasons."""
        if one.prediction is None:
            return one.problem
        whys = [self.failed.get(arm_key(one.prediction, arm), "") for arm in one.prediction.arms]
        return next((why for why in whys if NO_GAP in why), next(filter(None, whys), ""))

    def _seal_elsewhere(self, one: Earlier, prediction: Prediction, first: int) -> int:
        """Seal the other places of a claim; returns the number of the next prediction."""
        search, docket = self.searches[prediction.id], self.desk.docket
        made = self.made(search.experiment.key)
        if made is None:
            return first
        found = candidates(search, made, self._lost(one, prediction), prediction.smallest_effect)
        for candidate, proposal in zip(found, proposals(one.claim, prediction, found, first), strict=True):
            first += 1
            name = self._same_test(proposal.prediction)
            if not name:
                try:
                    docket.seal((proposal,), self.desk.view(self.state))
                except (ToolError, LedgerError) as error:  # half of it was measured for another claim, say
                    docket.refuse(first, proposal, str(error))
                    continue
                name = proposal.prediction.id
            self.elsewhere.setdefault(prediction.id, []).append((name, candidate))
        return first

    def _lost(self, one: Earlier, prediction: Prediction) -> float:
        """What another place has to make up for: of a part what it lost, of the stream the whole effect on A."""
        lost = self.losses[prediction.id].effect
        return lost.found.interval.mean if lost and is_of_parts(one.claim) else one.claim.judgement.effect

    def _same_test(self, prediction: Prediction) -> str:
        """The sealed prediction of another claim that is this one: measured once, it counts once."""
        mine = {(arm.tool, self.desk.bench.id_of(arm.tool, arm.args, None)) for arm in prediction.arms}
        for other in self.desk.docket.sealed:
            theirs = {(arm.tool, self.desk.bench.id_of(arm.tool, arm.args, None)) for arm in other.prediction.arms}
            if mine == theirs and other.prediction.id != prediction.id:
                return other.prediction.id
        return ""

    @property
    def state(self) -> dict[str, Any]:
        """What was measured, as an investigation's state has it."""
        return {"done": [*map(list, self.done.items())], "failed": [*map(list, self.failed.items())]}


def _gap(measured: Measured) -> float | None:
    n = sum(len(sample.effects) for _, sample in measured.values())
    return sum(sample.gap * len(sample.effects) for _, sample in measured.values()) / n if n else None
