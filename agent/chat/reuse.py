"""Measurements of a chat's earlier runs, for the exploration of a new one.

What confirms a sealed prediction, or controls it, is measured anew even where an earlier run has the same request. The
number will be the same: instruments are deterministic. But DESIGN's protocol lets a prediction be confirmed by what is
measured after it was sealed, and a value that lies in an earlier run was there to be seen: by the person who chose the
new question knowing that run's report, and by a language model that plans, which is told of findings that are
remembered. Measured anew, the ledger's entry of a confirmation stands for something that happened after the seal, and
costs seconds. Measuring anew does not make the prompts unseen either: `shared_confirmations` says which predictions of
two runs were confirmed by the same requests, because these are one piece of evidence and not two.

Exploration and the black-box arm support no claim, so that nothing rests on when they were measured.
"""

from collections.abc import Callable, Iterable, Sequence

from ...tools import Measurement
from ..bench import Bench
from ..ledger import Ledger
from ..planners.interface import Experiment
from ..report.schema import Report
from ..runs import RunFolder, UnreadableFile


class Earlier:
    """Finds requests among earlier runs, for a run's bench; what is taken from where stands in its ledger.

    Args:
        sealed: everything that the sealed predictions of the run need to have measured, as of now.
    """

    def __init__(
        self, bench: Bench, ledger: Ledger, sealed: Callable[[], Iterable[Experiment]], runs: Sequence[RunFolder]
    ) -> None:
        self._bench, self._ledger, self._sealed = bench, ledger, sealed
        mine = bench.folder
        # Another device rounds otherwise; what it measured is not what would be measured here.
        self._runs = [run for run in runs if run.name != mine.name and run.info.device == mine.info.device]

    def find(self, wanted: str) -> Measurement | None:
        """The measurement of that id, unless it is to confirm something."""
        for run in self._runs:
            if (found := _kept(run, wanted)) is None:
                continue
            if wanted in {self._bench.id_of(one.tool, one.args, one.twin_seed) for one in self._sealed()}:
                return None
            self._ledger.append(f"reused:{wanted}", "note", {"reused": wanted, "from": run.name})
            return found
        return None


def _kept(run: RunFolder, wanted: str) -> Measurement | None:
    try:
        return run.kept(wanted)
    except UnreadableFile:  # changed since: as good as not there, for it can be measured
        return None


def shared_confirmations(report: Report, others: Sequence[Report]) -> dict[str, list[str]]:
    """By earlier run on the same weights, the measurements that confirm in both."""
    mine = _confirming(report)
    found = {
        other.run: [one for one in _confirming(other) if one in mine]
        for other in others
        if other.run != report.run and other.subject.key == report.subject.key
    }
    return {run: shared for run, shared in found.items() if shared}


def _confirming(report: Report) -> list[str]:
    return [record.measurement.id for record in report.measurements if record.phase == "confirm"]
