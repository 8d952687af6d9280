"""The predictions of one investigation: sealed, then tested by exactly the measurements that were sealed, then judged.

All of it is read from the ledger, so a resumed run, and a report that is built again, see what the first run saw.
"""

from collections.abc import Iterator, Mapping, Sequence

from ..tools import Measurement, ToolError
from ._attempts import COUNTER, attempts_in
from ._evidence import Arm, Judgement, Prediction
from ._samples import arm_key, arms_of, arms_run, judge_all, units_looked_at
from .bench import Bench
from .ledger import Ledger
from .planners.interface import Experiment, JudgedClaim, Proposal, View
from .runs import RunFolder
from .sealing import for_all, sealable_together

TWIN_SEED = 1  # of the re-initialised model that controls are measured on


class Docket:
    """What is sealed in a ledger, and what came of it."""

    def __init__(self, ledger: Ledger, bench: Bench, folder: RunFolder) -> None:
        self.ledger, self.bench, self.folder = ledger, bench, folder

    def seal(self, proposed: Sequence[Proposal], view: View, attempt: str = "") -> list[str]:
        """Write predictions that stand or fall together into the ledger, with their controls: all of them, or none.

        All are checked before the first is written, and what a kill leaves half written is completed when the run goes
        on; returns the keys of what it takes to test them.

        Args:
            attempt: on a claim, that the predictions are made for; empty for a planner's own.

        Raises:
            ToolError: one of them could test nothing, was tested already, or has the name of another prediction.
        """
        explored = tuple(view.results.values())
        proposals = sealable_together(proposed, explored, self.bench.subject, is_attempt=bool(attempt))
        due = [self._due(proposal, proposals) for proposal in proposals]
        keys = []
        for proposal, measurements in zip(proposals, due, strict=True):
            name = proposal.prediction.id
            body = {"prediction": name, "measurements": measurements, "proposal": proposal.model_dump(mode="json")}
            about = {COUNTER: attempt} if attempt else {}
            self.ledger.append(f"sealed:{name}", "sealed", body | about)
            keys += [arm_key(proposal.prediction, arm) for arm in arms_of(proposal.prediction)]
        return keys

    def _due(self, proposal: Proposal, proposals: Sequence[Proposal]) -> list[str]:
        """Ids of the measurements that it takes to test one of several predictions.

        Raises:
            ToolError: one of them ran already, or another prediction has its name.
        """
        prediction = proposal.prediction
        others = [other for other in (*self.sealed, *self.counters, *proposals) if other.prediction.id == prediction.id]
        if any(other != proposal for other in others):
            error = ToolError(f"There is a prediction {prediction.id} already.", mend="Give it another name.")
            raise for_all(proposal, proposals, error)
        due = [self.bench.id_of(e.tool, e.args, e.twin_seed) for e in experiments_of(prediction)]
        if {entry.body["measurement"] for entry in self.ledger.entries("measurement")} & set(due):
            message = f"What would test {prediction.id} was measured already."
            raise for_all(proposal, proposals, ToolError(message, mend="Test it on other prompts."))
        return due

    def refuse(self, number: int, proposed: Proposal, reason: str) -> None:
        """Note that a proposal was not sealed, and why."""
        body = {"refused": proposed.hypothesis.statement, "reason": reason}
        self.ledger.append(f"refused:{number}", "note", body)

    @property
    def sealed(self) -> tuple[Proposal, ...]:
        """Every sealed proposal of the planner, in order."""
        return self._sealed(for_attempts=False)

    @property
    def counters(self) -> tuple[Proposal, ...]:
        """Every sealed counter-prediction, in order."""
        return self._sealed(for_attempts=True)

    def _sealed(self, for_attempts: bool) -> tuple[Proposal, ...]:
        entries = [entry for entry in self.ledger.entries("sealed") if (COUNTER in entry.body) is for_attempts]
        return tuple(Proposal.model_validate(entry.body["proposal"]) for entry in entries)

    @property
    def refused(self) -> tuple[tuple[str, str], ...]:
        """What the planner proposed and code would not seal, each with the reason."""
        notes = [entry.body for entry in self.ledger.entries("note") if "refused" in entry.body]
        return tuple((body["refused"], body["reason"]) for body in notes)

    @property
    def experiments(self) -> Iterator[Experiment]:
        """Everything that the sealed predictions need to have measured, those that try to break claims included."""
        for proposal in (*self.sealed, *self.counters):
            yield from experiments_of(proposal.prediction)

    @property
    def arms_measured(self) -> dict[str, Measurement]:
        """Measurements of sealed arms: those that the ledger confirms, under the very request that was sealed.

        Never by the names that a planner gives its explorations.
        """
        return self.measured(self.sealed)

    def measured(self, proposals: Sequence[Proposal]) -> dict[str, Measurement]:
        """The same of these proposals alone."""
        confirmed = {entry.body["measurement"] for entry in self.ledger.entries("confirmed")}
        experiments = [one for proposal in proposals for one in experiments_of(proposal.prediction)]
        ids = {e.key: self.bench.id_of(e.tool, e.args, e.twin_seed) for e in experiments}
        return {key: self.folder.measurement(wanted) for key, wanted in ids.items() if wanted in confirmed}

    @property
    def explored(self) -> tuple[Measurement, ...]:
        """Everything that was looked at before sealing, once; not what a planner measures last, which chooses nothing.

        Were that counted, effects known to be there could be measured last to lower the q of all others.
        """
        entries = [entry.body for entry in self.ledger.entries("measurement") if entry.body["phase"] == "explore"]
        return tuple(self.folder.measurement(i) for i in dict.fromkeys(body["measurement"] for body in entries))

    @property
    def units_looked_at(self) -> int:
        """Tests that count toward the false discovery rate of each claim (count); attempts to break one come after."""
        tested, measured = [claim.proposal.prediction for claim in self.claims], self.arms_measured
        confirmed = [arm for prediction in tested for arm in arms_run(prediction, measured)]
        return len(units_looked_at(self.explored, confirmed)) + len(tested)

    def judge(self, failed: Mapping[str, str], seed: int) -> Iterator[tuple[Proposal, JudgedClaim | None]]:
        """Judge every sealed prediction and write the verdicts down; no claim where none of its arms ran."""
        sealed = self.sealed
        predictions = [proposal.prediction for proposal in sealed]
        judged = judge_all(predictions, self.arms_measured, failed, self.explored, seed)
        for number, proposal in enumerate(sealed, start=1):
            prediction = proposal.prediction
            if prediction.id not in judged:
                self.ledger.append(f"untested:{prediction.id}", "note", {"prediction": prediction.id})
                yield proposal, None
                continue
            claim = JudgedClaim(id=f"c{number}", proposal=proposal, judgement=judged[prediction.id])
            verdict = {"claim": claim.id, "prediction": prediction.id}
            body = {**verdict, "judgement": claim.judgement.model_dump(mode="json")}
            self.ledger.append(f"verdict:{prediction.id}", "verdict", body)
            yield proposal, claim

    @property
    def claims(self) -> tuple[JudgedClaim, ...]:
        """Every sealed proposal with its verdict, and the attempts to break it."""
        entries = self.ledger.entries()
        verdicts = {entry.body["prediction"]: entry.body for entry in self.ledger.entries("verdict")}
        return tuple(
            JudgedClaim(
                id=verdicts[proposal.prediction.id]["claim"],
                proposal=proposal,
                judgement=Judgement.model_validate(verdicts[proposal.prediction.id]["judgement"]),
                attempts=attempts_in(entries, proposal.prediction, verdicts[proposal.prediction.id]["claim"]),
            )
            for proposal in self.sealed
            if proposal.prediction.id in verdicts
        )


def experiments_of(prediction: Prediction) -> Iterator[Experiment]:
    """Everything that a sealed prediction needs to have measured."""
    return (_experiment(prediction, arm) for arm in arms_of(prediction))


def _experiment(prediction: Prediction, arm: Arm) -> Experiment:
    is_twin, is_confirmation = arm in prediction.twin_arms, arm in prediction.arms
    return Experiment(
        key=arm_key(prediction, arm),
        tool=arm.tool,
        args=arm.args,
        why=f"{prediction.id}, {arm.label}",
        phase="confirm" if is_confirmation else "control",
        twin_seed=TWIN_SEED if is_twin else None,
        prediction=prediction.id,
    )
