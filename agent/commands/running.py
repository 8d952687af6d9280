"""`vesalius run TOOL`: any instrument from the command line, its options made from its own argument model."""

import json
import re
import shutil
import sys
import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any, NoReturn

from pydantic_core import to_jsonable_python

from ...tools import Tool, ToolError, get_tool, load_tools
from ..settings import Settings
from .examples import example_of, may_hold
from .measured import print_measurement
from .output import print_json
from .progress import shown

WIDEST_HELP = 120  # columns


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ToolError(f"{message}.", mend=f"See `{self.prog} --help`.")


def run_command(settings: Settings, name: str, arguments: list[str]) -> None:
    """Run one instrument, print what it found in short or all of it as JSON, and keep what is not printed."""
    if name in ("--help", "-h"):
        sys.stdout.write("Usage: vesalius run TOOL [ARGUMENTS]; `vesalius run TOOL --help` lists a tool's arguments.\n")
        sys.stdout.write(f"Tools: {', '.join(load_tools())}\n")
        return
    tool = get_tool(name)
    given = _parser(tool, settings).parse_args(arguments)
    raw = {
        field: _given(tool, field, getattr(given, field))
        for field in tool.args_model.model_fields
        if getattr(given, field) is not None
    }
    if given.args:
        raw = {**_object(given.args), **raw}
    try:
        args = tool.parse(raw)  # before the model is loaded
    except ToolError as error:
        mend = f"{error.mend} `vesalius run {name} --help` shows what each is."
        raise ToolError(error.message, mend=mend) from error
    from ...tools import load_subject

    subject = load_subject(given.model, given.device)
    with shown(name) as progress:
        measurement = tool.measure(subject, args, progress)
    if given.json:
        print_json(measurement.model_dump(mode="json"))
    else:
        print_measurement(measurement, given.home)


def _parser(tool: Tool[Any, Any], settings: Settings) -> ArgumentParser:
    parser = _Parser(
        prog=f"vesalius run {tool.name}",
        description=_description(tool),
        formatter_class=RawDescriptionHelpFormatter,
        epilog=_epilog(tool),
    )
    parser.add_argument("--model", default=settings.model, help="reference name, folder, or hub id")
    parser.add_argument("--device", default=settings.device, help="auto, cpu, cuda or mps")
    parser.add_argument("--args", default="", help="all arguments as one JSON object; options override it")
    parser.add_argument("--home", type=Path, default=settings.home, help="folder that the measurement is kept in")
    parser.add_argument("--json", action="store_true", help="print the whole measurement as JSON, and keep no file")
    for field, info in tool.args_model.model_fields.items():
        default = (
            "required"
            if info.is_required()
            else f"default {json.dumps(to_jsonable_python(info.get_default(call_default_factory=True)))}"
        )
        help_text = f"{info.description} ({default})".replace("%", "%%")
        parser.add_argument(f"--{field.replace('_', '-')}", dest=field, default=None, help=help_text)
    return parser


def _description(tool: Tool[Any, Any]) -> str:
    """What an instrument measures and what it refuses, in plain words: its docstring without the names of sections."""
    about, _, raised = tool.description.partition("\n\nRaises:\n")
    refused = [re.sub(r"^\s*\w+: ", "", entry) for entry in re.split(r"\n(?=    \w+: )", raised) if entry.strip()]
    said = [*about.split("\n\n"), *(f"It refuses, and says how to mend it: {entry}" for entry in refused)]
    width = min(shutil.get_terminal_size().columns, WIDEST_HELP)
    return "\n\n".join(textwrap.fill(" ".join(part.split()), width) for part in said)


def _epilog(tool: Tool[Any, Any]) -> str:
    """The shape of every argument that is a list or an object, and what its objects may hold beside."""
    shapes: list[str] = []
    for field in tool.args_model.model_fields:
        if shape := example_of(tool.args_model, field):
            shapes.append(f"  --{field.replace('_', '-')} '{shape}'")
            if optional := may_hold(tool.args_model, field):
                shapes.append(f"      also, where wanted: {', '.join(optional)}")
    listed = (
        "\n".join(["Lists and objects are given as JSON of this shape, or as @FILE that holds it:", *shapes, ""])
        if shapes
        else ""
    )
    return f"{listed}Printed is what was found and the strongest of it, and where the whole measurement is kept."


def _given(tool: Tool[Any, Any], field: str, given: str) -> Any:
    """An argument: JSON where it is JSON, else the text itself; of a file that `@FILE` names, JSON alone."""
    if not (given.startswith("@") and example_of(tool.args_model, field)):
        try:
            return _parsed(given, f"`--{field.replace('_', '-')}`")
        except json.JSONDecodeError:
            return given
    try:
        return _parsed(Path(given[1:]).read_text(encoding="utf-8"), given[1:])
    except json.JSONDecodeError as error:
        raise ToolError(
            f"{given[1:]} is no JSON: {error}.", mend=f"Write it as {example_of(tool.args_model, field)}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(f"{given[1:]} cannot be read: {error}.", mend="Name a JSON file as `@FILE`.") from error


def _object(text: str) -> dict[str, Any]:
    try:
        value = _parsed(text, "`--args`")
    except json.JSONDecodeError as error:
        raise ToolError(f"`--args` is no JSON: {error}.", mend='Pass an object such as \'{"prompt": "…"}\'.') from error
    if not isinstance(value, dict):
        raise ToolError("`--args` is no JSON object.", mend='Pass an object such as \'{"prompt": "…"}\'.')
    return value


def _parsed(text: str, what: str) -> Any:
    """
    Raises:
        JSONDecodeError: no JSON.
        ToolError: JSON that Python does not read: thousands of brackets or digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise ToolError(
            f"{what} holds JSON that cannot be read: {error}.", mend="Nest less, and write fewer digits."
        ) from error
