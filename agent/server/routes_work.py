"""Work for the workers: measuring a number again, measuring on demand, and where a job stands."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from ...tools import Frozen, ToolError, get_tool, reference_models
from ..allowing import allowed_model
from .job import Job
from .listing import Listing
from .measuring import JobShown, compared, shown
from .orders import Again, Measure
from .pool import Pool
from .routes_runs import MeasurementName, RunName, record_in
from .shelf import Shelf

Handle = Annotated[str, Path(pattern=r"^j[0-9]{1,20}$", description="Handle of a job.")]
MEND = "Hub ids are for the command line; start the server with the model you want as VESALIUS_MODEL."
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}, "description": "The events."}}
LOOK = 0.1  # seconds between looks at a job
ALIVE = 15.0  # seconds after which a silent stream says that it is there


class Wanted(Frozen):
    """A measurement that is asked for."""

    model: str = Field(default="", max_length=500, description="A model; empty for the server's own.")
    tool: str = Field(max_length=100, description="Instrument; GET /api/tools lists them.")
    args: dict[str, Any] = Field(description="Its arguments.")


class ModelOffered(Frozen):
    """A model that can be asked about."""

    name: str = Field(description="Name or folder.")
    shipped: bool = Field(description="Whether it came with the program.")


class Models(Frozen):
    """The models that can be asked about."""

    models: tuple[ModelOffered, ...] = Field(description="Those that came with the program, then those of runs.")
    default: str = Field(description="The one the server was started with.")


def working_routes(shelf: Shelf, listing: Listing, pool: Pool, own_model: str) -> APIRouter:
    """Everything that the workers do, but messages.

    Args:
        own_model: the model that the server was started with.
    """
    router = APIRouter(prefix="/api", tags=["work"])

    def told(job: Job) -> JobShown:
        if not isinstance(job.order.work, Again):
            return shown(job, pool)
        report = shelf.report(shelf.run(job.order.work.run)).report
        return shown(job, pool, compared(report, job))

    @router.get("/models")
    def models() -> Models:
        """Models that can be asked about."""
        shipped = tuple(reference_models())
        others = [name for name in (own_model, *listing.models()) if name not in shipped]
        offered = (*shipped, *(name for name in dict.fromkeys(others) if _is_allowed(name, own_model)))
        return Models(
            models=tuple(ModelOffered(name=name, shipped=name in shipped) for name in offered), default=own_model
        )

    @router.post("/measurements", status_code=201)
    def measure(wanted: Wanted) -> JobShown:
        """Have an instrument measure; ask for the job until it has ended."""
        model = allowed_model(wanted.model, own_model, MEND)
        tool = get_tool(wanted.tool)
        args = tool.parse(wanted.args).model_dump(mode="json")
        return told(pool.submit(model, Measure(tool=tool.name, args=args)))

    @router.post("/runs/{name}/measurements/{measurement_id}/verify", status_code=202)
    def measure_again(name: RunName, measurement_id: MeasurementName) -> JobShown:
        """Start a measurement of a report once more; one that waits or runs already is not started twice."""
        folder = shelf.run(name)
        work = Again(run=folder.name, measurement=record_in(shelf.report(folder), measurement_id).measurement)
        for job in pool.all():
            if job.order.work == work and not job.ended:
                return told(job)
        return told(pool.submit(work.measurement.subject.model, work))

    @router.get("/jobs/{handle}")
    def job(handle: Handle) -> JobShown:
        """Where a job stands, and what came of it."""
        return told(pool.job(handle))

    @router.post("/jobs/{handle}/stop")
    def stop(handle: Handle) -> JobShown:
        """Tell a job to stop: at once where it waits, else where it next says how far it is."""
        return told(pool.stop(handle))

    @router.get("/jobs/{handle}/events", response_class=StreamingResponse, responses=STREAM)
    def events(
        handle: Handle, after: Annotated[int, Query(ge=0, description="Events that are known already (count).")] = 0
    ) -> StreamingResponse:
        """What happens in a job, as it happens: server-sent events `event`, `step`, `state`, and `end` as the last."""
        return StreamingResponse(_stream(pool, pool.job(handle), after), media_type="text/event-stream")

    return router


def _is_allowed(name: str, own_model: str) -> bool:
    try:
        return bool(allowed_model(name, own_model, MEND))
    except ToolError:
        return False


async def _stream(pool: Pool, job: Job, after: int) -> AsyncIterator[str]:
    """The events of a job as text, until it has ended or the server does; a browser then asks again."""
    step: Any = None
    standing: Any = None
    silent = 0.0
    while not pool.is_leaving:
        is_last = job.ended
        said: list[str] = []
        for event in job.events(after):
            after += 1
            said.append(_sent("event", event, after))
        if job.step is not step:
            step = job.step
            said.append(_sent("step", step))
        now = {"state": job.state, "ahead": pool.ahead(job), "seconds": job.seconds}
        if (now["state"], now["ahead"]) != standing:
            standing = (now["state"], now["ahead"])
            said.append(_sent("state", now))
        if is_last:
            yield "".join([*said, _sent("end", now)])
            return
        silent = 0.0 if said else silent + LOOK
        if said or silent >= ALIVE:
            silent = 0.0
            yield "".join(said) or ": still here\n\n"
        await asyncio.sleep(LOOK)


def _sent(kind: str, data: Any, number: int | None = None) -> str:
    """A server-sent event: one line of JSON, so that no text can end it early."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, ensure_ascii=True)}\n\n"
