"""The spec of an audit: which models are asked what, what that may cost, and what makes the audit fail."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ...tools import Frozen
from ..runs import UnreadableFile
from .spec_lines import Lined

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
Text = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00]+$")]
Seed = Annotated[int, Field(ge=0)]
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./+-]{0,99}$")]
Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_*?\[\].-][A-Za-z0-9_*?\[\]./-]{0,199}$")]
Values = Annotated[tuple[str | int, ...], Field(min_length=1)]
Matrix = dict[Name, Values] | tuple[dict[Name, str | int], ...]
Found = Literal[
    "supported",
    "refuted",
    "inconclusive",
    "unclaimed",
    "weak",
    "held",
    "weakened",
    "moved",
    "broke",
    "undecided",
    "not_testable",
    "changed",
    "premise_holds",
    "premise_fails",
    "unanswerable",
    "failed",
]
FOUND: dict[Found, str] = {
    "supported": "a claim is supported, counted over the whole audit",
    "refuted": "a claim is refuted",
    "inconclusive": "a claim could be neither supported nor refuted",
    "unclaimed": "nothing was claimed",
    "weak": "steering is fragile: a limit of its rule is broken",
    "held": "an earlier claim holds here too",
    "weakened": "the effect of an earlier claim, or what it is about, is less here",
    "moved": "an earlier claim holds at another layer or head",
    "broke": "an earlier claim, or the behaviour it is about, is gone",
    "undecided": "an earlier claim is neither held nor gone",
    "not_testable": "an earlier claim cannot be asked of this model",
    "changed": "what was not supported earlier has another verdict here",
    "premise_holds": "the model does what the question says",
    "premise_fails": "the model does not do what the question says",
    "unanswerable": "the question cannot be put to this model",
    "failed": "its worker died, or we made a mistake",
}
"""What can come of an item; several at a time."""


def _several(given: Any) -> Any:
    """One may stand without brackets."""
    return (given,) if isinstance(given, str) else given


class AuditedModel(Frozen):
    """A model, or several versions or checkpoints of it."""

    model: Text = Field(
        description="A reference name, the folder of a model (from the spec's own folder), or a hub id."
    )
    revision: Annotated[tuple[Revision, ...], BeforeValidator(_several)] = Field(
        default=(), description="Of a hub id: a branch, a tag or a commit, or several, each a model of its own."
    )
    checkpoints: Pattern | None = Field(
        default=None, description="Which folders in `model` are models of their own, as step-*."
    )
    label: Name | Literal[""] = Field(default="", description="Names it in the table; by default the end of `model`.")

    @property
    def name(self) -> str:
        """Names it in the table."""
        plain = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(self.model).name)
        return self.label or plain.strip("._-")[:40] or "model"

    @model_validator(mode="after")
    def _is_told_apart_in_one_way(self) -> "AuditedModel":
        if self.checkpoints is not None and self.revision:
            raise ValueError("give `revision` of a hub id or `checkpoints` of a folder, not both")
        if self.checkpoints is not None and ".." in Path(self.checkpoints).parts:
            raise ValueError("`checkpoints` lie in the folder `model`, not above it")
        return self


class Item(Frozen):
    """A question, or one for each row or combination of a matrix."""

    id: Name = Field(description="Names it in the table.")
    question: Text | None = Field(default=None, description="In a form that `vesalius ask` reads.")
    feature: Annotated[str, Field(pattern=r"^\d{1,4}/\d{1,9}$")] | None = Field(
        default=None, description="LAYER/FEATURE to be described, in place of a question."
    )
    claims: Text | None = Field(
        default=None,
        description="Run, report.json or model whose claims are tested again; {baseline} is the spec's.",
    )
    pairs: Text | None = Field(default=None, description="File of contrast pairs (from the spec's own folder).")
    matrix: Matrix | None = Field(
        default=None,
        min_length=1,
        description="Values for {NAME} in question and pairs: every combination of lists, or a row for each.",
    )
    budget: str | None = Field(default=None, description="What a run of it may spend; by default the audit's.")
    fails_if: tuple[Found, ...] | None = Field(default=None, description="By default the policy's.")

    @property
    def asks(self) -> str:
        """What it asks, in words."""
        if self.claims is not None:
            return f"which claims of {self.claims} hold?"
        return self.question or f"what does feature {self.feature} stand for?"

    @model_validator(mode="after")
    def _asks_one_thing(self) -> "Item":
        if sum(one is not None for one in (self.question, self.feature, self.claims)) != 1:
            raise ValueError("give one of `question`, `feature` and `claims`")
        return self


class Controls(Frozen):
    """What is done against false claims beyond the controls that every claim carries, which nothing switches off."""

    refute: Literal["off", "protocol", "llm"] | None = Field(
        default=None, description="Who tries to break supported claims; by default as `vesalius ask` is set."
    )
    refute_attempts: Annotated[int, Field(ge=1, le=20)] | None = Field(
        default=None, description="Most attempts on each claim (count)."
    )
    blind: Literal["off", "arms", "names", "both"] | None = Field(
        default=None, description="What is hidden from a language model that plans."
    )
    probes: Literal["protocol", "llm"] | None = Field(default=None, description="Who writes probe prompts.")


class Policy(Frozen):
    """What makes the audit fail."""

    fails_if: tuple[Found, ...] = Field(
        default=("failed", "unanswerable"), description="An item of which one of these is found fails."
    )


class Spec(Frozen):
    """An audit as a person wrote it."""

    audit: Name = Field(description="Names the audit, and its folder.")
    subjects: tuple[AuditedModel, ...] = Field(min_length=1, max_length=1000, description="Models.")
    items: tuple[Item, ...] = Field(default=(), max_length=10_000, description="What each of them is asked.")
    batteries: tuple[Name, ...] = Field(
        default=(), description="Ready batteries that each of them is asked too: vesalius audit batteries."
    )
    baseline: Text | None = Field(
        default=None, description="Model, run or report that the battery release-diff holds the others against."
    )
    calibrate: bool = Field(
        default=False, description="Whether questions of known truth are mixed in, to measure this audit itself."
    )
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, max_length=100, description="Each asks everything.")
    planner: Literal["protocol", "llm"] = Field(default="protocol", description="Who plans.")
    budget: str = Field(default="", description="What each run may spend, as calls=60,seconds=600.")
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Wall time of one `run` of the audit; items that were not begun by then wait."
    )
    tokens: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Tokens that language models may be sent and write in the whole audit; beyond, no cell is begun.",
    )
    controls: Controls = Field(default=Controls(), description="Against false claims, beyond what all carry.")
    policy: Policy = Field(default=Policy(), description="What makes the audit fail.")

    @model_validator(mode="after")
    def _names_are_one_things(self) -> "Spec":
        if not self.items and not self.batteries:
            raise ValueError("nothing is asked; give `items` or `batteries`")
        for what, names in (
            ("batteries", list(self.batteries)),
            ("items", [item.id for item in self.items]),
            ("seeds", list(map(str, self.seeds))),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {', '.join(twice)} more than once")
        return self


def read_spec(path: Path) -> tuple[Spec, Lined]:
    """A spec, and where each part of it stands.

    Raises:
        UnreadableFile: not there, no YAML, or not such a spec; the message says the line.
    """
    try:
        lined = Lined(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}.") from error
    try:
        return Spec.model_validate(lined.data), lined
    except ValidationError as error:
        told = [f"{lined.place(_in_file(one['loc']))}: {_said(one)}." for one in error.errors()[:5]]
        raise UnreadableFile("\n".join(told)) from error


def _in_file(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Without what pydantic adds about which of several types it tried."""
    return tuple(step for step in loc if not (isinstance(step, str) and (":" in step or "[" in step or step == "str")))


def _said(error: object) -> str:
    assert isinstance(error, dict)
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    said = str(error["msg"]).removeprefix("Value error, ")
    given = error["input"]
    return f"{said}, got {given!r}" if isinstance(given, str | int | float | bool) else said
