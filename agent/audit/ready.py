"""Ready batteries: items for any model, one file each, with the pairs of prompts that they need beside it."""

from pathlib import Path

from pydantic import Field, ValidationError

from ...tools import Frozen
from ..runs import UnreadableFile
from .spec import Item
from .spec_lines import Lined

FOLDER = Path(__file__).parent / "batteries"


class Battery(Frozen):
    """Items with what they are for."""

    about: str = Field(description="What it asks.")
    needs: str = Field(description="What a model must have.")
    items: tuple[Item, ...] = Field(min_length=1, description="What is asked.")


def batteries() -> dict[str, Battery]:
    """Every ready battery, by name."""
    return {path.stem: read_battery(path.stem)[0] for path in sorted(FOLDER.glob("*.yaml"))}


def read_battery(name: str) -> tuple[Battery, Lined]:
    """A ready battery, and where each part of it stands.

    Raises:
        UnreadableFile: there is none of this name.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in known:
        raise UnreadableFile(f"There is no battery {name!r}; there are: {', '.join(known)}.")
    path = FOLDER / f"{name}.yaml"
    lined = Lined(path.read_text(encoding="utf-8"), str(path))
    try:
        return Battery.model_validate(lined.data), lined
    except ValidationError as error:
        raise AssertionError(f"battery {name}: {error}") from error
