"""Reading runs: the list, a report, its measurements, and the report as a file."""

import html
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import Field

from ...tools import Frozen, Measurement
from .._evidence import Tier, Verdict
from ..report.html import render_report_html
from ..report.markdown import render_report_markdown
from ..report.schema import MeasurementRecord, Phase, Report
from ..report.verify import Drift, altered
from ..runs import RunFolder, UnreadableFile
from ..summary import Summary, summary_of
from .listing import MOST_LISTED, Listing, ReviewState, RunList, Wanted
from .problems import NotHere
from .shelf import Shelf, Shelved
from .views import ReportShown, shown

RunName = Annotated[str, Path(description="Name of a run.", max_length=100)]
MeasurementName = Annotated[str, Path(pattern=r"^m-[0-9a-f]{4,64}$", description="Id of a measurement.")]
Format = Literal["html", "json", "md"]
_TYPES: dict[str, str] = {"html": "text/html", "json": "application/json", "md": "text/markdown"}
_OWN_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


class MeasurementShown(Frozen):
    """A measurement whole, with its part in the report and how it compares with the run's record."""

    measurement: Measurement = Field(description="Arguments, subject, result, digest.")
    phase: Phase | None = Field(description="Role in the evidence protocol; none in a run without a report.")
    why: str = Field(description="What it was for; empty in a run without a report.")
    kept: Literal["same", "other", "missing"] = Field(
        description="Whether the run's own file of it says the same as the report."
    )
    altered: tuple[Drift, ...] = Field(description="Signs that the report's is not as it was written.")


def reading_routes(shelf: Shelf, listing: Listing) -> APIRouter:
    """Everything that changes nothing."""
    router = APIRouter(prefix="/api/runs", tags=["runs"])

    @router.get("")
    def list_runs(
        text: Annotated[str, Query(max_length=200, description="What is looked for.")] = "",
        by: Annotated[
            Literal["words", "meaning"],
            Query(description="Words that question, name or model hold; or what question and claims are about."),
        ] = "words",
        model: Annotated[str, Query(max_length=300, description="Model under study.")] = "",
        verdict: Annotated[Verdict | Literal[""], Query(description="Some claim has it.")] = "",
        tier: Annotated[Tier | Literal[""], Query(description="Some claim has it; the one of the verdict.")] = "",
        review: Annotated[ReviewState | Literal[""], Query(description="Where the review stands.")] = "",
        start: Annotated[int, Query(ge=0, description="Runs to leave out at the beginning (count).")] = 0,
        most: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Most to list (count).")] = 50,
    ) -> RunList:
        """Runs, newest first: also those without a report, and those that cannot be read.

        By meaning the nearest come first. Ask again until `reading` says that all have been read.
        """
        return listing.list(Wanted(text, model, verdict, tier, review, by), start, most)

    @router.get("/{name}", response_model=Report)
    def report(name: RunName) -> Response:
        """The report of a run, whole."""
        return Response(shelf.report(shelf.run(name)).json, media_type="application/json")

    @router.get("/{name}/summary")
    def summary(name: RunName) -> Summary:
        """A report in short, as `vesalius ask --json` prints it; where it lies is here where it is served."""
        folder = shelf.run(name)
        places = {kind: f"/api/runs/{folder.name}/export/{kind}" for kind in ("json", "html", "md")}
        return summary_of(shelf.report(folder).report, places)

    @router.get("/{name}/shown")
    def report_shown(name: RunName) -> ReportShown:
        """The report as the review page shows it: figures filled in, results left out."""
        folder = shelf.run(name)
        return shown(shelf.report(folder), folder.name)

    @router.get("/{name}/measurements/{measurement_id}")
    def measurement(name: RunName, measurement_id: MeasurementName) -> MeasurementShown:
        """A measurement of a report; of a run without one, what it has measured so far."""
        folder = shelf.run(name)
        if not (folder.path / "report.json").is_file():
            return _unreported(folder, measurement_id)
        return _reported(folder, record_in(shelf.report(folder), measurement_id))

    @router.get("/{name}/export/{format}", response_class=Response)
    def export(
        name: RunName,
        format: Format,
        view: Annotated[bool, Query(description="To look at here, and not to keep.")] = False,
    ) -> Response:
        """The report as a file, written anew from its data."""
        folder = shelf.run(name)
        shelved = shelf.report(folder)
        text = {
            "html": lambda: render_report_html(shelved.report),
            "md": lambda: render_report_markdown(shelved.report),
            "json": lambda: shelved.json,
        }[format]()
        headers = {"content-disposition": f'attachment; filename="{folder.name}.{format}"'}
        if format == "html":
            headers["content-security-policy"] = _policy_of(text)
            if view:
                del headers["content-disposition"]
        return Response(text, media_type=f"{_TYPES[format]}; charset=utf-8", headers=headers)

    return router


def record_in(shelved: Shelved, measurement_id: str) -> MeasurementRecord:
    """A measurement of a report.

    Raises:
        NotHere: the report has none of that id.
    """
    for record in shelved.report.measurements:
        if record.measurement.id == measurement_id:
            return record
    raise NotHere(f"The report has no measurement {measurement_id}.", mend="Take an id that it names.")


def _reported(folder: RunFolder, record: MeasurementRecord) -> MeasurementShown:
    try:
        kept = folder.kept(record.measurement.id)
        same = kept is not None and kept.digest == record.measurement.digest
    except UnreadableFile:
        kept, same = record.measurement, False
    return MeasurementShown(
        measurement=record.measurement,
        phase=record.phase,
        why=record.why,
        kept="missing" if kept is None else "same" if same else "other",
        altered=tuple(altered(record.measurement)),
    )


def _unreported(folder: RunFolder, measurement_id: str) -> MeasurementShown:
    kept = folder.kept(measurement_id)
    if kept is None:
        raise NotHere(f"Run {folder.name} has no measurement {measurement_id} yet.", mend="Wait until it has ended.")
    return MeasurementShown(measurement=kept, phase=None, why="", kept="same", altered=tuple(altered(kept)))


def _policy_of(page: str) -> str:
    """The page's own policy, which names its scripts by their hash, and an origin of its own.

    A report has scripts that draw, which this server's policy would stop; without this server's origin they, and
    whatever got in among them, can ask it for nothing.
    """
    own = _OWN_POLICY.search(page)
    assert own is not None, "a report names its policy"
    return f"{html.unescape(own[1])}; frame-ancestors 'none'; sandbox allow-scripts allow-modals"
