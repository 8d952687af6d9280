"""The contract of an instrument: typed arguments in, a typed result and a repeatable measurement out.

An instrument is a function `(subject, args, progress) -> result`, marked with `@tool`, alone in its file. The same
definition serves Python, the command line and a planner's function schema, so the decorator refuses one that a reader
could not understand: no docstring, or a field without a description.
"""

import hashlib
import importlib
import inspect
import json
import pkgutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from ._subject import Subject

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""

DISPLAY_ID_DIGITS = 8
NO_GAP = "There is no effect to share out"
"""How an instrument says that clean and corrupted answers do not differ: on a twin a finding, elsewhere a mistake."""


def silent(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


class ToolError(Exception):
    """A request that cannot be measured as asked: what was got, what is allowed, and the mend."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(f"{message} {mend}")
        self.message = message
        self.mend = mend


class Frozen(BaseModel):
    """A value: never changed after it is made, and no field that its reader does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolArgs(Frozen):
    """What a caller asks of an instrument. Every field has a description; defaults live here and nowhere else."""

    model_config = ConfigDict(allow_inf_nan=False)


class ToolResult(Frozen):
    """What an instrument found. Numbers carry their unit, sample size and control in their field descriptions."""


class SubjectKey(Frozen):
    """Which weights were measured: enough to load them again and to notice that they changed."""

    model: str = Field(description="Path, hub id, or the name of a reference model.")
    fingerprint: str = Field(description="SHA-256 over weights, configuration and tokenizer.")
    reinit_seed: int | None = Field(None, description="Seed of the re-initialised twin; none for the model itself.")


class Measurement(Frozen):
    """One run of one instrument, with all that is needed to run it again."""

    id: str = Field(description="Names the request: tool, arguments and subject. Equal requests have equal ids.")
    tool: str = Field(description="Instrument that ran.")
    subject: SubjectKey = Field(description="The weights it ran on.")
    args: dict[str, Any] = Field(description="Arguments as executed, defaults filled in.")
    result: dict[str, Any] = Field(description="What was found.")
    digest: str = Field(description="SHA-256 of the result in canonical JSON.")
    seconds: float = Field(description="Wall time of the run (seconds); no part of the digest.")


Args = TypeVar("Args", bound=ToolArgs)
Result = TypeVar("Result", bound=ToolResult)


class Tool(Generic[Args, Result]):
    """An instrument by name, with the models of its arguments and result."""

    def __init__(self, run: "Callable[[Subject, Args, Progress], Result]") -> None:
        self.run = run
        self.name = run.__name__
        self.description = inspect.getdoc(run) or ""
        parameters = inspect.signature(run).parameters
        if list(parameters) != ["subject", "args", "progress"]:
            raise TypeError(f"tool {self.name}: parameters are {list(parameters)}, not subject, args, progress")
        self.args_model: type[Args] = run.__annotations__["args"]
        self.result_model: type[Result] = run.__annotations__["return"]
        self._refuse_what_no_reader_could_use()

    def __call__(self, subject: "Subject", args: Args, progress: Progress = silent) -> Result:
        return self.run(subject, args, progress)

    @property
    def summary(self) -> str:
        """First line of the docstring: what it measures, in plain words."""
        return self.description.splitlines()[0]

    def parse(self, raw: dict[str, Any]) -> Args:
        """Arguments from plain data, or a `ToolError` that says which field is wrong and what it may be."""
        try:
            return self.args_model.model_validate(raw)
        except ValidationError as error:
            problems = "; ".join(f"`{'.'.join(map(str, e['loc']))}`: {e['msg']}" for e in error.errors())
            fields = ", ".join(self.args_model.model_fields)
            raise ToolError(f"{self.name} cannot run: {problems}.", mend=f"It takes: {fields}.") from error

    def measure(self, subject: "Subject", args: Args, progress: Progress = silent) -> Measurement:
        """Run once and keep everything needed to run it again."""
        started = time.perf_counter()
        result = self.run(subject, args, progress).model_dump(mode="json")
        plain_args = args.model_dump(mode="json")
        return Measurement(
            id=measurement_id(self.name, plain_args, subject.key),
            tool=self.name,
            subject=subject.key,
            args=plain_args,
            result=result,
            digest=digest(result),
            seconds=time.perf_counter() - started,
        )

    def _refuse_what_no_reader_could_use(self) -> None:
        if not self.description:
            raise TypeError(f"tool {self.name}: no docstring")
        for model in (self.args_model, self.result_model):
            for field, info in model.model_fields.items():
                if not info.description:
                    raise TypeError(f"tool {self.name}: field {model.__name__}.{field} has no description")


_TOOLS: dict[str, Tool[Any, Any]] = {}


def tool(run: "Callable[..., Result]") -> Tool[Any, Result]:
    """Register an instrument under the name of its function."""
    made: Tool[Any, Result] = Tool(run)
    _TOOLS[made.name] = made
    return made


def load_tools() -> dict[str, Tool[Any, Any]]:
    """Every instrument, by name: each file of this folder without a leading underscore holds one."""
    package = __package__
    assert package is not None
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith("_") and not module.ispkg:
            importlib.import_module(f"{package}.{module.name}")
    return dict(sorted(_TOOLS.items()))


def get_tool(name: str) -> Tool[Any, Any]:
    """The instrument of that name.

    Raises:
        ToolError: no such instrument; the mend lists those that exist.
    """
    if name not in _TOOLS:  # a run asks for tools hundreds of times, and looking through the folder takes its time
        load_tools()
    if name not in _TOOLS:
        raise ToolError(f"There is no tool `{name}`.", mend=f"Tools: {', '.join(sorted(_TOOLS))}.")
    return _TOOLS[name]


def canonical(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of plain data in canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def measurement_id(tool_name: str, args: dict[str, Any], subject: SubjectKey) -> str:
    """The id a request has before it runs: what is asked of which weights."""
    key = {"tool": tool_name, "args": args, "fingerprint": subject.fingerprint, "reinit_seed": subject.reinit_seed}
    return f"m-{digest(key)[:DISPLAY_ID_DIGITS]}"
