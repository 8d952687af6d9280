"""Task data beside a model: prompt families whose answers are known, with the entities to swap and a held-out split."""

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from ._base import Frozen


class Template(Frozen):
    """A prompt with `{slots}`; what it leaves out is the answer."""

    id: str
    text: str

    def fill(self, slots: dict[str, str]) -> str:
        """The prompt for one row."""
        return self.text.format(**slots)

    def match(self, prompt: str) -> dict[str, str] | None:
        """The slots that make this template equal the prompt, or none."""
        literal, names = "", []
        for text, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", self.text):
            literal += re.escape(text)
            if name:
                literal += f"(?P={name})" if name in names else rf"(?P<{name}>\S+?)"
                names.append(name)
        found = re.fullmatch(literal, prompt.strip())
        return found.groupdict() if found else None


class Row(Frozen):
    """One fact: a value for every slot, also for those that no prompt shows."""

    slots: dict[str, str]
    split: Literal["train", "held_out"]


class TaskFamily(Frozen):
    """Prompts of one kind: what is swapped, what lies between, what is answered."""

    name: str
    description: str
    templates: tuple[Template, ...]
    entity: str = Field(description="Slot whose swap changes the answer.")
    mediators: tuple[str, ...] = Field(description="Slots between entity and answer that stand in no prompt.")
    answer: str = Field(description="Slot that is the next token.")
    rows: tuple[Row, ...]

    def match(self, prompt: str) -> tuple[Template, Row] | None:
        """The template and row that make this prompt, or none."""
        for template in self.templates:
            slots = template.match(prompt)
            if slots is None:
                continue
            for row in self.rows:
                if all(row.slots.get(name) == value for name, value in slots.items()):
                    return template, row
        return None


def load_tasks(folder: Path) -> tuple[TaskFamily, ...]:
    """The families described in `tasks.json` of a model's folder; none where the file is absent."""
    path = folder / "tasks.json"
    if not path.is_file():
        return ()
    return tuple(TaskFamily.model_validate(family) for family in json.loads(path.read_text())["families"])


def load_texts(folder: Path) -> tuple[str, ...]:
    """The neutral sentences in `text.json` of a model's folder; none where the file is absent."""
    path = folder / "text.json"
    if not path.is_file():
        return ()
    return tuple(json.loads(path.read_text())["texts"])
