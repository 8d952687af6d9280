"""Task data beside a model: prompt families whose answers are known, with the entities to swap and a held-out split."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from string import Formatter
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from ._base import Frozen, ToolError

# Entities of one answer. Seven confirm: with six no p is below .016, and the judge asks for one below .01; .0078 is
# enough as what is confirmed counts once among all that was looked at. Three are seen: features that are named from two
# often do much less on others.
FEWEST_TO_CONFIRM = 7
FEWEST_EXPLORING = 3
SLOT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")

Content = TypeVar("Content", bound=BaseModel)


class Template(Frozen):
    """A prompt with `{slots}`; what it leaves out is the answer."""

    id: str
    text: str

    def fill(self, slots: dict[str, str]) -> str:
        """The prompt for one row."""
        return self.text.format(**slots)

    def plain_slots(self) -> set[str]:
        """Names of its slots; a slot that asks for more than its value is refused."""
        found: set[str] = set()
        for _, name, form, conversion in Formatter().parse(self.text):
            if form or conversion:
                raise ValueError(f"template {self.id!r}: slot {name!r} has a format; write it as {{name}}")
            found |= set() if name is None else {name}
        return found

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that a prompt of it shows."""
        return tuple(dict.fromkeys(re.findall(r"\{(\w+)\}", self.text)))


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

    @model_validator(mode="after")
    def _is_complete(self) -> "TaskFamily":
        due = {self.entity, self.answer, *self.mediators}
        for template in self.templates:
            due |= template.plain_slots()
        # Slots are named in sentences of reports; what a file calls them must not pass for anything else there.
        odd = sorted(name for name in due if not SLOT.fullmatch(name))
        if odd:
            raise ValueError(f"slots of family {self.name!r} are not plain words: {', '.join(map(repr, odd))}")
        for row in self.rows:
            if lacking := sorted(due - set(row.slots)):
                raise ValueError(f"a row of family {self.name!r} lacks {', '.join(lacking)}")
        return self

    def match(self, prompt: str) -> tuple[Template, Row] | None:
        """The template and row that make this prompt, or none."""
        text = prompt.strip()
        made = ((template, row) for template in self.templates for row in self.rows)
        return next(((template, row) for template, row in made if template.fill(row.slots) == text), None)


def exploring_entities(families: Sequence[TaskFamily], seed: int, asked: str = "") -> frozenset[str]:
    """Entities that naming and discovery may see; the others are kept back to confirm.

    Of each answer's entities half, or fewer, so that enough are left to judge by: the asked one first, those that
    training held out last. A family with one entity per answer keeps none back, and gives back none that another family
    keeps. Which entity is asked may change the list, so whoever reads several prompts for one question passes that
    question's entity for all of them.
    """
    held_out = {row.slots[f.entity] for f in families for row in f.rows if row.split == "held_out"}
    kept: set[str] = set()
    for family in families:
        for answer in sorted({row.slots[family.answer] for row in family.rows}):
            entities = sorted({r.slots[family.entity] for r in family.rows if r.slots[family.answer] == answer})
            # Seeded by the list, so that families about the same entities keep the same ones back.
            random.Random(f"{seed} {entities}").shuffle(entities)
            entities.sort(key=lambda entity: (entity != asked, entity in held_out))
            kept.update(entities[n_exploring(len(entities)) :])
    return frozenset({row.slots[f.entity] for f in families for row in f.rows} - kept | ({asked} - {""}))


def n_exploring(n: int) -> int:
    """How many of so many entities with one answer may be seen before confirmation."""
    return 1 if n == 1 else min(n // 2, max(FEWEST_EXPLORING, n - FEWEST_TO_CONFIRM))


def kept_wordings(family: TaskFamily, seed: int) -> frozenset[str]:
    """Ids of the templates that neither naming nor discovery may see: a third, at least one of two, never the first."""
    names = [template.id for template in family.templates[1:]]
    random.Random(f"{seed} {family.name} {names}").shuffle(names)
    return frozenset(names[: max(1, len(family.templates) // 3)]) if names else frozenset()


class _Tasks(BaseModel):
    families: tuple[TaskFamily, ...]


class _Texts(BaseModel):
    texts: tuple[str, ...]


def load_tasks(folder: Path) -> tuple[TaskFamily, ...]:
    """The families described in `tasks.json` of a model's folder; none where the file is absent.

    Raises:
        ToolError: a file that does not describe any.
    """
    found = _read(folder / "tasks.json", _Tasks)
    return found.families if found else ()


def load_texts(folder: Path) -> tuple[str, ...]:
    """The neutral sentences in `text.json` of a model's folder; none where the file is absent.

    Raises:
        ToolError: a file that holds none.
    """
    found = _read(folder / "text.json", _Texts)
    return found.texts if found else ()


def _read(path: Path, kind: type[Content]) -> Content | None:
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ToolError(
            f"{path} cannot be read: {where} {problem['msg']}.",
            mend=f"Write it as the {path.name} of a reference model, or remove it.",
        ) from error
