"""Claims of earlier reports, tested again on a model: the same sealed predictions, judged by the same code.

`retest` is a function of reports, a subject and a folder. What is sealed, measured and judged goes into a ledger and a
report of its own, so that each number can be measured again by `vesalius verify`, like those of any investigation:

    seal every claim's prediction as it was sealed for A → measure them on B, controls and B's own re-initialised twin
    included → where one breaks, search its place → seal what was found → measure → judge all together → label

Nothing is changed in a prediction but its number, and pairs that B cannot read. So the effect that has to be replicated
is the one that A's exploration saw, and the bars are A's. What was measured already, as when a comparison was stopped,
is taken from the folder.
"""

from collections.abc import Sequence

from ..tools import Progress, Subject, silent
from ._retest_desk import Earlier, begin, retest_desk, retest_folder
from ._retest_work import Work
from .comparing.again import ASKED, behaviour, circuit, with_falls
from .comparing.differences import Loss
from .comparing.labels import label_of
from .comparing.results import BehaviourAgain, CircuitAgain, ClaimAgain, EarlierClaim, Elsewhere, Retested
from .desk import Desk
from .planners.interface import JudgedClaim
from .report.build import build_report
from .report.render import write_report
from .report.schema import Report
from .runs import RunFolder
from .server.comparing_claims import place_of

__all__ = ["retest", "retest_folder"]

CORRECTION = (
    "Every test of the comparison counts together, places that were searched included: verdicts on B are corrected "
    "over all of them (Benjamini and Hochberg 1995, q at most 0.05); whether effects are less on B over all claims of "
    "effects, whether answers are fewer over all claims, and over all sets of prompts that were asked again."
)


def retest(reports: Sequence[Report], subject: Subject, folder: RunFolder, progress: Progress = silent) -> Retested:
    """Test the claims of some reports again on a model.

    Args:
        reports: of runs about A; their measurements are what B's are set against.
        subject: B.
        folder: made by `retest_folder`; what was measured there already is not measured again.
        progress: called before each experiment; the total grows where a claim's place has to be searched.

    Raises:
        LedgerError: the folder belongs to other reports or weights.
    """
    with retest_desk(folder, subject) as desk:
        begin(desk, reports)
        work = Work(desk, reports, progress)
        work.test()
        work.search()
        desk.judge(work.state, lambda event: None)
        write_report(build_report(desk, desk.view(work.state)), folder.path)
        return _retested(desk, work)


def _retested(desk: Desk, work: Work) -> Retested:
    """What became of every claim, and of what was asked beside."""
    judged = {claim.proposal.prediction.id: claim for claim in desk.docket.claims}
    asked, searched = _again(work)
    return Retested(
        subject=desk.subject.key,
        claims=tuple(_claim_again(one, work, judged) for one in work.earlier),
        behaviours=asked,
        circuits=searched,
        n_tests=desk.docket.units_looked_at,
        report=desk.folder.name,
    )


def _claim_again(one: Earlier, work: Work, judged: dict[str, JudgedClaim]) -> ClaimAgain:
    sealed = one.prediction
    name = sealed.id if sealed else ""
    found = judged.get(name)
    loss = work.losses.get(name, Loss())
    search = work.searches.get(name)
    elsewhere = tuple(
        Elsewhere(
            place=place.site,
            claim=judged[other].id,
            seen=place.seen,
            made_up=place.made_up(judged[other].judgement.effect),
            judgement=judged[other].judgement,
        )
        for other, place in work.elsewhere.get(name, ())
        if other in judged
    )
    told = label_of(
        one.claim.judgement.verdict,
        sealed or one.claim.prediction,
        found.judgement if found else None,
        work.why_not(one),
        loss,
        one.claim.judgement.effect,
        elsewhere,
    )
    gap_a, gap_b = work.gaps(one)
    return ClaimAgain(
        earlier=_as_reported(one),
        label=told.label,
        cause=told.cause,
        reason=told.reason,
        prediction=sealed,
        claim=found.id if found else "",
        judgement=found.judgement if found else None,
        less=loss.effect.found.interval if loss.effect else None,
        q=loss.effect.q if loss.effect else None,
        gap_a=gap_a,
        gap_b=gap_b,
        right=loss.right,
        left_out=one.left_out,
        looked_at=len(search.experiment.args["sites"]) - 1 if search else 0,
        elsewhere=elsewhere,
    )


def _as_reported(one: Earlier) -> EarlierClaim:
    judged = one.claim.judgement
    return EarlierClaim(
        run=one.report.run,
        id=one.claim.id,
        statement=one.claim.hypothesis.statement,
        verdict=judged.verdict,
        effect=judged.effect,
        low=judged.low,
        high=judged.high,
        place=place_of(one.claim),
    )


def _again(work: Work) -> tuple[tuple[BehaviourAgain, ...], tuple[CircuitAgain, ...]]:
    """Prompts and circuits of every report; the first prompts that a run asked are its question's premise."""
    asked: list[BehaviourAgain] = []
    searched: list[CircuitAgain] = []
    for number, report in enumerate(work.reports):
        is_first = True
        for experiment, record in (pair for pair in work.again if pair[0].key.startswith(f"again:{number}:")):
            found, problem = work.made(experiment.key), work.failed.get(experiment.key, "")
            if experiment.tool == ASKED:
                asked.append(behaviour(report, record, found, problem, is_first))
                is_first = False
            else:
                searched.append(circuit(report, record.measurement, found, problem))
    return with_falls(asked), tuple(searched)
