"""Decisions about a report and where they leave it. No file is opened here; `reviews.py` says what they are for."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ..tools import Frozen
from .report._text import visible

LONGEST_NAME, LONGEST_COMMENT = 80, 4000  # characters

Act = Literal["accept", "reject", "comment", "sign_off"]
ClaimState = Literal["undecided", "accepted", "rejected"]
RunState = Literal["untouched", "begun", "decided", "signed", "outdated"]
ClaimId = Annotated[str, Field(pattern=r"^c[0-9]{1,6}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_STATE_AFTER: dict[str, ClaimState] = {"accept": "accepted", "reject": "rejected"}


class Decision(Frozen):
    """What a reviewer decided."""

    decision: Act = Field(description="Accept, reject or comment on a claim, or sign off the report.")
    claim: ClaimId | None = Field(default=None, description="The claim; none for a sign-off.")
    reviewer: str = Field(min_length=1, max_length=LONGEST_NAME, description="Who decided, as they call themselves.")
    comment: str = Field(default="", max_length=LONGEST_COMMENT, description="Why, or the comment itself.")
    report: Sha256 = Field(description="SHA-256 of the report.json that it is about.")

    @field_validator("reviewer", "comment", mode="before")
    @classmethod
    def _is_trimmed(cls, text: object) -> object:
        return text.strip() if isinstance(text, str) else text

    @field_validator("reviewer")
    @classmethod
    def _can_be_seen(cls, name: str) -> str:
        if visible(name) != name:
            raise ValueError("a name has visible characters only, on one line")
        return name

    @model_validator(mode="after")
    def _is_about_something(self) -> "Decision":
        if (self.decision == "sign_off") != (self.claim is None):
            raise ValueError("accept, reject and comment name a claim, and a sign-off names none")
        if self.decision == "comment" and not self.comment:
            raise ValueError("a comment says something")
        return self


class Review(Decision):
    """A decision as it was kept."""

    at: str = Field(description="When it was kept (UTC, ISO 8601).")
    hash: str = Field(default="", description="Its hash in the chain; it stands for all decisions so far.")

    @field_validator("at")
    @classmethod
    def _is_a_time(cls, at: str) -> str:
        if datetime.fromisoformat(at).tzinfo is None:
            raise ValueError("a time without its zone")
        return at


class ClaimStanding(Frozen):
    """Where a claim stands."""

    claim: str = Field(description="The claim.")
    state: ClaimState = Field(description="After the last decision about it.")
    by: str = Field(default="", description="Who made that decision; empty where none did.")
    at: str = Field(default="", description="When (UTC, ISO 8601).")
    comment: str = Field(default="", description="Why, in that reviewer's words.")
    about_earlier: bool = Field(default=False, description="That decision is about an earlier version of the report.")
    comments: int = Field(default=0, description="Decisions and comments with words on it (count).")


class Standing(Frozen):
    """Where a whole report stands."""

    state: RunState = Field(
        description="Untouched; begun; decided: every claim accepted or rejected; signed off, with no decision since; "
        "outdated: all decisions are about an earlier version of the report."
    )
    claims: tuple[ClaimStanding, ...] = Field(description="Every claim of the report, in its order.")
    signed_by: str = Field(default="", description="Who signed this version off last; empty where none did.")
    signed_at: str = Field(default="", description="When (UTC, ISO 8601).")


def standing(reviews: Sequence[Review], claims: Sequence[str], report: str) -> Standing:
    """Where a report stands after decisions in the order they were made.

    Args:
        reviews: all decisions about the run.
        claims: of the report, in its order.
        report: SHA-256 of its report.json.
    """
    each = tuple(_standing_of(claim, reviews, report) for claim in claims)
    current = [review for review in reviews if review.report == report]
    signed, is_last = _signature(current)
    if signed is not None and is_last:
        state: RunState = "signed"
    elif not current:
        state = "outdated" if reviews else "untouched"
    else:
        decided = [one.state != "undecided" and not one.about_earlier for one in each]
        state = "decided" if each and all(decided) else "begun"
    return Standing(
        state=state,
        claims=each,
        signed_by=signed.reviewer if signed else "",
        signed_at=signed.at if signed else "",
    )


def _signature(current: Sequence[Review]) -> tuple[Review | None, bool]:
    """The last sign-off of a version, and whether nothing was decided after it; a comment decides nothing."""
    weighty = [review for review in current if review.decision != "comment"]
    signed = next((review for review in reversed(weighty) if review.decision == "sign_off"), None)
    return signed, bool(weighty) and weighty[-1] is signed


def _standing_of(claim: str, reviews: Sequence[Review], report: str) -> ClaimStanding:
    mine = [review for review in reviews if review.claim == claim]
    comments = sum(bool(review.comment) for review in mine)
    last = next((review for review in reversed(mine) if review.decision in _STATE_AFTER), None)
    if last is None:
        return ClaimStanding(claim=claim, state="undecided", comments=comments)
    return ClaimStanding(
        claim=claim,
        state=_STATE_AFTER[last.decision],
        by=last.reviewer,
        at=last.at,
        comment=last.comment,
        about_earlier=last.report != report,
        comments=comments,
    )


def undecided(reviews: Sequence[Review], claims: Collection[str], report: str) -> list[str]:
    """Claims that nobody has accepted or rejected in this version of the report."""
    each = [_standing_of(claim, reviews, report) for claim in claims]
    return [one.claim for one in each if one.state == "undecided" or one.about_earlier]
