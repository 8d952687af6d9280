"""Reviewing: who decided what, and measuring a number again before deciding."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from ...tools import Frozen
from ..reviews import Decision, Review, Standing, keep_review, read_reviews, record_digest, standing
from ..runs import RunFolder
from .measuring import JobShown, Remeasuring
from .routes_runs import MeasurementName, RunName, record_in
from .shelf import Shelf

Handle = Annotated[str, Path(pattern=r"^j[0-9]{1,9}$", description="Handle of a job.")]


class Reviews(Frozen):
    """All decisions about a run, and where they leave its report."""

    report: str = Field(
        description="SHA-256 of report.json as it is; decisions that name another are of an earlier one."
    )
    standing: Standing = Field(description="Where the report and each claim stand.")
    reviews: tuple[Review, ...] = Field(description="Every decision, oldest first.")
    record: str = Field(description="Hash of the last decision: it stands for all of them.")


def reviewing_routes(shelf: Shelf) -> APIRouter:
    """The record of decisions."""
    router = APIRouter(prefix="/api/runs", tags=["reviews"])

    @router.get("/{name}/reviews")
    def reviews(name: RunName) -> Reviews:
        """Who decided what, when, about which version of the report."""
        return _reviews(shelf, shelf.run(name))

    @router.post("/{name}/reviews", status_code=201)
    def decide(name: RunName, decision: Decision) -> Reviews:
        """Keep a decision; none is ever changed or taken back, a later one counts instead."""
        folder = shelf.run(name)
        shelved = shelf.report(folder)
        keep_review(folder.path, decision, shelved.digest, [claim.id for claim in shelved.report.claims])
        return _reviews(shelf, folder)

    return router


def measuring_routes(shelf: Shelf, remeasuring: Remeasuring) -> APIRouter:
    """Measuring again."""
    router = APIRouter(prefix="/api", tags=["measuring again"])

    @router.post("/runs/{name}/measurements/{measurement_id}/verify", status_code=202)
    def measure_again(name: RunName, measurement_id: MeasurementName) -> JobShown:
        """Start a measurement of a report once more; ask for the job until it has ended."""
        folder = shelf.run(name)
        shelved = shelf.report(folder)
        return remeasuring.start(folder.name, shelved.report, record_in(shelved, measurement_id).measurement)

    @router.get("/jobs/{handle}")
    def job(handle: Handle) -> JobShown:
        """Where a job stands, and what came of it."""
        return remeasuring.job(handle)

    @router.post("/jobs/{handle}/stop")
    def stop(handle: Handle) -> JobShown:
        """Tell a job to stop."""
        return remeasuring.stop(handle)

    return router


def _reviews(shelf: Shelf, folder: RunFolder) -> Reviews:
    shelved = shelf.report(folder)
    kept = read_reviews(folder.path)
    return Reviews(
        report=shelved.digest,
        standing=standing(kept, [claim.id for claim in shelved.report.claims], shelved.digest),
        reviews=kept,
        record=record_digest(kept),
    )
