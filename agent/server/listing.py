"""The list of runs: what each is about in short, and which of them a reader wants to see.

For the list only a few fields of a report are read, so that a thousand reports are listed in seconds; whether the rest
of one is sound is found, and said, when it is opened.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...tools import Frozen
from .._attempts import Attempt, tier_of
from .._evidence import Judgement, Tier, Verdict
from ..report.schema import SCHEMA_VERSION
from ..reviews import ReviewError, RunState, read_reviews, report_digest, standing
from ..runs import RunFolder, UnreadableFile, runs_of
from .meaning import Meaning, Near, Reading
from .problems import without_home
from .shelf import Remembered

MOST_SUMMARIES = 20_000
MOST_LISTED = 200

State = Literal["finished", "unfinished", "broken"]
ReviewState = RunState | Literal["broken"]


class ClaimInShort(Frozen):
    """A claim's verdict."""

    id: str = Field(description="The claim.")
    verdict: Verdict = Field(description="Of the judge, which is code.")
    tier: Tier = Field(description="How strong the evidence is.")


class RunSummary(Frozen):
    """A run in short."""

    name: str = Field(description="Names the run.")
    state: State = Field(description="Whether it has a report, and one that can be read.")
    problem: str = Field(default="", description="Why it, or its review, cannot be read; empty where both can.")
    question: str = Field(default="", description="As the report has it.")
    asked: str = Field(default="", description="The user's own words, where they are others.")
    model: str = Field(default="", description="The model under study.")
    created: str = Field(default="", description="When it was begun (ISO 8601).")
    claims: tuple[ClaimInShort, ...] = Field(default=(), description="Every claim of its report.")
    review: ReviewState = Field(default="untouched", description="Where its review stands.")
    reviewers: tuple[str, ...] = Field(default=(), description="Who has decided anything about it.")
    near: Near | None = Field(default=None, description="How near it is to what was looked for by meaning.")


class RunList(Frozen):
    """A stretch of the list: newest first, or nearest first where it was searched by meaning."""

    total: int = Field(description="Runs there are (count).")
    matched: int = Field(description="Runs that the filters leave (count).")
    models: tuple[str, ...] = Field(description="Models of all runs, by name.")
    runs: tuple[RunSummary, ...] = Field(description="The stretch that was asked for.")
    reading: Reading | None = Field(default=None, description="How it was searched by meaning; none where it was not.")


class Wanted(NamedTuple):
    """Which runs are wanted; what is empty leaves all."""

    text: str = ""
    model: str = ""
    verdict: str = ""
    tier: str = ""
    review: str = ""
    by: str = "words"  # how the text is looked for; by meaning it leaves out no run, and puts the nearest first

    @property
    def by_meaning(self) -> bool:
        """Whether runs are ranked by what they are about."""
        return self.by == "meaning" and bool(self.text.strip())

    def takes(self, run: RunSummary) -> bool:
        """Whether a run is wanted; verdict and tier must belong to one and the same claim."""
        told = f"{run.name}\n{run.question}\n{run.asked}\n{run.model}".casefold()
        if not self.by_meaning and not all(word in told for word in self.text.casefold().split()):
            return False
        if self.model not in ("", run.model) or self.review not in ("", run.review):
            return False
        if self.review and run.state != "finished":
            return False
        return not (self.verdict or self.tier) or any(
            self.verdict in ("", claim.verdict) and self.tier in ("", claim.tier) for claim in run.claims
        )


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Claim(_Part):
    id: str
    judgement: Judgement
    attempts: tuple[Attempt, ...] = ()


class _Key(_Part):
    model: str


class _Subject(_Part):
    key: _Key


class _Asked(_Part):
    words: str


class _Report(_Part):
    """What the list shows of a report."""

    schema_version: str
    question: str
    asked: _Asked | None = None
    created: str
    subject: _Subject
    claims: tuple[_Claim, ...] = ()


class _InShort(NamedTuple):
    summary: RunSummary
    digest: str


class Listing:
    """The list of a home's runs.

    Args:
        home: folder of runs and memory.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._read: Remembered[_InShort] = Remembered(MOST_SUMMARIES)
        self._meaning = Meaning(home)

    def list(self, wanted: Wanted, start: int, most: int) -> RunList:
        """The runs that are wanted, newest or nearest first, from a place on.

        Raises:
            ToolError: they are to be ranked by meaning, and what ranks them cannot be used.
        """
        folders = runs_of(self._home)
        everything = [self.summary(folder) for folder in folders]
        matched = [run for run in everything if wanted.takes(run)]
        found = self._meaning.search(wanted.text, folders) if wanted.by_meaning else None
        if found is not None:
            matched = _nearest_first(matched, found.near)
        return RunList(
            total=len(everything),
            matched=len(matched),
            models=tuple(sorted({run.model for run in everything} - {""})),
            runs=tuple(matched[start : start + most]),
            reading=found.reading if found else None,
        )

    def models(self) -> tuple[str, ...]:
        """Models of all runs, by name."""
        return self.list(Wanted(), 0, 0).models

    def summary(self, folder: RunFolder) -> RunSummary:
        """One run; what cannot be read of it is told in `problem`."""
        path = folder.path / "report.json"
        try:
            if path.is_file():
                return self._reviewed(folder, self._read.get(path, _in_short))
            info = folder.info
        except UnreadableFile as error:
            return self._broken(folder, str(error))
        except OSError as error:
            return self._broken(folder, f"It cannot be read ({error.strerror}).")
        return RunSummary(
            name=folder.name,
            state="unfinished",
            question=info.question,
            asked=info.put.words if info.put else "",
            model=info.model,
            created=info.created,
        )

    def _reviewed(self, folder: RunFolder, found: _InShort) -> RunSummary:
        if found.summary.state == "broken":
            return found.summary.model_copy(update={"problem": without_home(found.summary.problem, self._home)})
        try:
            reviews = read_reviews(folder.path)
        except ReviewError as error:
            return found.summary.model_copy(update={"review": "broken", "problem": str(error)})
        stands = standing(reviews, [claim.id for claim in found.summary.claims], found.digest)
        who = tuple(sorted({review.reviewer for review in reviews}))
        return found.summary.model_copy(update={"review": stands.state, "reviewers": who})

    def _broken(self, folder: RunFolder, why: str) -> RunSummary:
        return RunSummary(name=folder.name, state="broken", problem=without_home(why, self._home))


def _nearest_first(runs: Iterable[RunSummary], near: Mapping[str, Near]) -> list[RunSummary]:
    ranked = [run.model_copy(update={"near": near[run.name]}) for run in runs if run.name in near]
    return sorted(ranked, key=lambda run: -near[run.name].similarity)  # equals stay newest first


def _in_short(path: Path) -> _InShort:
    raw = path.read_bytes()
    name, digest = path.parent.name, report_digest(raw)
    try:
        report = _Report.model_validate_json(raw)
    except ValidationError as error:
        return _InShort(RunSummary(name=name, state="broken", problem=_why(path, error)), digest)
    if report.schema_version != SCHEMA_VERSION:
        problem = f"{path} has schema version {report.schema_version!r}; this program reads {SCHEMA_VERSION!r}."
        return _InShort(RunSummary(name=name, state="broken", problem=problem), digest)
    summary = RunSummary(
        name=name,
        state="finished",
        question=report.question,
        asked=report.asked.words if report.asked else "",
        model=report.subject.key.model,
        created=report.created,
        claims=tuple(_claims(report.claims)),
    )
    return _InShort(summary, digest)


def _claims(claims: Iterable[_Claim]) -> Iterable[ClaimInShort]:
    for claim in claims:
        yield ClaimInShort(id=claim.id, verdict=claim.judgement.verdict, tier=tier_of(claim))


def _why(path: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{path} is no report: {where}: {first['msg']}." if where else f"{path} is no report: {first['msg']}."
