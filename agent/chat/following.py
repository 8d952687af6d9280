"""The last question with another word: "and for Oakland?", by the task data that came with the model.

The answer is what the data have for that word, not what the question before asked for.
"""

from collections.abc import Iterator, Sequence

from pydantic import Field

from ...tools import Frozen, Row, TaskFamily, Template
from ..planners.reading import why_question

MOST_OFFERED = 6


class Found(Frozen):
    """A question that a word may mean."""

    question: str = Field(description="In a form that the planner reads.")
    because: str = Field(description="How the word was understood.")
    near: bool = Field(description="The same kind of prompt as was asked, with nothing else changed.")


class Asked(Frozen):
    """What was asked before, as far as task data describe it."""

    family: TaskFamily
    template: Template
    row: Row


def places_of(tasks: Sequence[TaskFamily], prompt: str, answer: str) -> list[Asked]:
    """Every family whose data make this prompt, those first whose answer is the one asked about."""
    found = [Asked(family=f, template=made[0], row=made[1]) for f in tasks if (made := f.match(prompt))]
    return sorted(found, key=lambda asked: asked.row.slots[asked.family.answer] != answer)


def questions_for(tasks: Sequence[TaskFamily], word: str, asked: Asked | None) -> list[Found]:
    """What "and for WORD?" may mean, best first, none twice.

    One question where the word can stand where the asked prompt has another of its kind; several where it can stand in
    several places; questions of other families, which are other questions, only where it can stand in none.
    """
    word = _spelling(tasks, word)
    if asked is not None and (found := _unique(_same_family(asked, word))):
        near = [one for one in found if one.near]
        return near or found
    others = [f for f in tasks if asked is None or f.name != asked.family.name]
    return _unique(found for family in others for found in _other_family(family, word, asked))


def _same_family(asked: Asked, word: str) -> Iterator[Found]:
    family, template, slots = asked.family, asked.template, asked.row.slots
    for slot in template.slots:
        for row in family.rows:
            if row.slots.get(slot) != word or row.slots == slots:
                continue
            nothing_else = all(row.slots[other] == slots[other] for other in template.slots if other != slot)
            because = f"{slot} {word} for {slots[slot]}, by the task data `{family.name}`"
            yield Found(question=_question(family, template, row), because=because, near=nothing_else)


def _other_family(family: TaskFamily, word: str, asked: Asked | None) -> Iterator[Found]:
    template = next((t for t in family.templates if asked and t.id == asked.template.id), family.templates[0])
    for row in family.rows:
        if row.slots[family.entity] == word:
            because = f"{word} as {family.entity} of the task data `{family.name}`"
            yield Found(question=_question(family, template, row), because=because, near=False)


def _question(family: TaskFamily, template: Template, row: Row) -> str:
    return why_question(row.slots[family.answer], template.fill(row.slots))


def _spelling(tasks: Sequence[TaskFamily], word: str) -> str:
    """The word as the data spell it; as it is where they have it so, or have it not at all."""
    known = {value for family in tasks for row in family.rows for value in row.slots.values()}
    alike = [other for other in known if other.casefold() == word.casefold()]
    return alike[0] if word not in known and len(alike) == 1 else word


def _unique(found: Iterator[Found]) -> list[Found]:
    kept: dict[str, Found] = {}
    for one in found:
        kept.setdefault(one.question, one)
    return list(kept.values())
