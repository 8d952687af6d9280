"""Reviewing: who decided what."""

from fastapi import APIRouter
from pydantic import Field

from ...tools import Frozen
from ..reviews import Decision, Review, Standing, keep_review, read_reviews, record_digest, standing
from ..runs import RunFolder
from .routes_runs import RunName
from .shelf import Shelf


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


def _reviews(shelf: Shelf, folder: RunFolder) -> Reviews:
    shelved = shelf.report(folder)
    kept = read_reviews(folder.path)
    return Reviews(
        report=shelved.digest,
        standing=standing(kept, [claim.id for claim in shelved.report.claims], shelved.digest),
        reviews=kept,
        record=record_digest(kept),
    )
