"""Prompts on which a supernode's name can fail, kept apart from those that it was named from.

From task data, of which naming may not see everything: some wordings of every family and most entities of every answer
are kept back (`exploring_entities`, `kept_wordings`). An effect is first seen where naming was; it is confirmed in
wordings and on entities that neither has seen. Where nothing is kept back, nothing can be confirmed. Four kinds:

| kind | for | what is compared |
| --- | --- | --- |
| swap | a value between entity and answer, or one of the two | the same wording with another value |
| word | a word of the wordings | prompts with that word; the entity swapped |
| relation | a whole family | its prompts; the entity swapped |
| say | a word that is said next | texts cut off right before the word, and texts cut off before another |
"""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal

from networkx.utils import UnionFind

from ...tools import Row, TaskFamily, Template, exploring_entities, kept_wordings

Phase = Literal["seen", "kept back"]
"""What naming and discovery may see, and what is left to confirm on."""
PairArgs = dict[str, Any]  # fields of the tool's `SupernodePair`
FEWEST_CLUSTERS = 7  # with fewer, sign flips give no p below the judge's .01


@dataclass(frozen=True)
class Setting:
    """The task data around one prompt."""

    families: tuple[TaskFamily, ...]
    asked: TaskFamily
    prompt: str
    seed: int  # that the prompt was probed with

    @cached_property
    def related(self) -> tuple[TaskFamily, ...]:
        """Families that swap the same kind of entity, the prompt's own first."""
        others = (f for f in self.families if f.name != self.asked.name and f.entity == self.asked.entity)
        return (self.asked, *others)

    def templates(self, family: TaskFamily, phase: Phase) -> tuple[Template, ...]:
        """Wordings of one phase; the asked one is seen, whatever was kept."""
        kept = kept_wordings(family, self.seed)
        own = self._matched[0].id if self._matched and family.name == self.asked.name else ""
        return tuple(t for t in family.templates if (t.id in kept and t.id != own) is (phase == "kept back"))

    def rows(self, family: TaskFamily, phase: Phase) -> tuple[Row, ...]:
        """Rows whose entity is of one phase."""
        seen = phase == "seen"
        return tuple(row for row in family.rows if (row.slots[family.entity] in self._exploring) is seen)

    @cached_property
    def _exploring(self) -> frozenset[str]:
        """Entities that naming may see. All that the asked row names is seen, in whatever slot."""
        shown = self._matched[1].slots if self._matched else {}
        return exploring_entities(self.families, self.seed, shown.get(self.asked.entity, "")) | {*shown.values()}

    @cached_property
    def _matched(self) -> tuple[Template, Row] | None:
        return self.asked.match(self.prompt)


def prompts_of_others(setting: Setting, n: int) -> tuple[tuple[str, str], ...]:
    """Prompts with other values than the asked one, each with its answer: whose supernodes are put in instead.

    In the wording of the asked prompt; each of another answer, of entities that explore.
    """
    matched = setting.asked.match(setting.prompt)
    if matched is None:
        return ()
    (template, row), family = matched, setting.asked
    rows = [other for other in setting.rows(family, "seen") if _fits(family, row, other)]
    random.Random(f"{setting.seed} others").shuffle(rows)
    by_answer = {other.slots[family.answer]: _merged(family, row, other) for other in rows}
    return tuple((template.fill(slots), slots[family.answer]) for slots in list(by_answer.values())[:n])


def slot_of(setting: Setting, value: str) -> str:
    """The swapped slot of related families that takes this value, mediators first; empty for none."""
    for family in setting.related:
        for slot in (*family.mediators, family.answer, family.entity):
            if any(row.slots[slot] == value for row in family.rows):
                return slot
    return ""


def swap_pairs(setting: Setting, value: str, others: Sequence[str], phase: Phase, n: int) -> tuple[PairArgs, ...]:
    """Prompts with a value, each once, against the same wording with one of the other values, in turn."""
    slot, rng = slot_of(setting, value), random.Random(f"{setting.seed} swap {value} {phase}")
    made = [
        (family, template, row)
        for family in setting.related
        if _swaps(family, slot)
        for template, row in product(setting.templates(family, phase), setting.rows(family, phase))
        if row.slots[slot] == value
    ]
    pairs: list[PairArgs] = []
    for i, (family, template, row) in enumerate(_some(made, n, rng) if others else ()):
        other = others[i % len(others)]
        source = _counterfactual(setting, family, row, phase, rng, slot, other)
        if source is not None:
            pairs.append(_pair(template, family, row, source) | {"counterpart": other})
    return tuple(pairs)


def word_pairs(setting: Setting, word: str, phase: Phase, n: int, stands: bool = True) -> tuple[PairArgs, ...]:
    """Prompts in which a word stands (or does not), each against the prompt of another entity."""
    cases = [
        (family, template)
        for family in (setting.families if stands else setting.related)
        for template in setting.templates(family, phase)
        if (word in re.sub(r"\{\w+\}", " ", template.text).split()) is stands
    ]
    return _entity_pairs(setting, cases, f"word {word} {stands}", phase, n)


def relation_pairs(setting: Setting, phase: Phase, n: int, asked: bool = True) -> tuple[PairArgs, ...]:
    """Prompts of the asked family (or of all that are not related to it), each against the prompt of another entity."""
    families = [setting.asked] if asked else [f for f in setting.families if f not in setting.related]
    cases = [(family, template) for family in families for template in setting.templates(family, phase)]
    return _entity_pairs(setting, cases, f"relation {asked}", phase, n)


def other_answers(setting: Setting, word: str, phase: Phase, n: int) -> tuple[PairArgs, ...]:
    """Whole prompts of related families that are answered by another word."""
    cases = [(family, template) for family in setting.related for template in setting.templates(family, phase)]
    pairs = _entity_pairs(setting, cases, f"not {word}", phase, 2 * n)
    return tuple(pair for pair in pairs if pair["answer"] != word)[:n]


def say_pairs(setting: Setting, word: str, phase: Phase, n: int) -> tuple[PairArgs, ...]:
    """Texts cut off right before a word, each once, against a text cut off before another."""
    rng = random.Random(f"{setting.seed} say {word} {phase}")
    said: dict[str, str] = {}  # where a text is cut off, and its entity
    unsaid: dict[str, str] = {}  # and what comes next
    for family in setting.related:
        for template, row in product(setting.templates(family, phase), setting.rows(family, phase)):
            for begin, behind in _cuts(f"{template.fill(row.slots)} {row.slots[family.answer]}"):
                if behind == word:
                    said.setdefault(begin, row.slots[family.entity])
                else:
                    unsaid.setdefault(begin, behind)
    others = sorted(begin for begin in unsaid if begin not in said)
    pairs: list[PairArgs] = []
    for begin in _some(sorted(said), n, rng) if others else ():
        other = rng.choice(others)
        pair = {"base": begin, "corrupted": other, "answer": word, "foil": unsaid[other], "cluster": said[begin]}
        pairs.append(pair)
    return tuple(pairs)


def n_clusters(pairs: Iterable[PairArgs]) -> int:
    """Pairs that are independent of each other (count): those of one entity or one prompt are not."""
    joined: UnionFind[str] = UnionFind()
    for pair in pairs:
        joined.union(f"entity {pair['cluster']}", f"prompt {pair['base']}")
    return len(list(joined.to_sets()))


def _entity_pairs(
    setting: Setting, cases: Sequence[tuple[TaskFamily, Template]], what: str, phase: Phase, n: int
) -> tuple[PairArgs, ...]:
    rng = random.Random(f"{setting.seed} {what} {phase}")
    made = [(family, template, row) for family, template in cases for row in setting.rows(family, phase)]
    once = {template.fill(row.slots): (family, template, row) for family, template, row in made}
    pairs: list[PairArgs] = []
    for family, template, row in _some(list(once.values()), n, rng):
        source = _counterfactual(setting, family, row, phase, rng)
        if source is not None:
            pairs.append(_pair(template, family, row, source))
    return tuple(pairs)


def _swaps(family: TaskFamily, slot: str) -> bool:
    return slot in (family.entity, family.answer, *family.mediators)


def _pair(template: Template, family: TaskFamily, row: Row, source: dict[str, str]) -> PairArgs:
    return {
        "base": template.fill(row.slots),
        "corrupted": template.fill(source),
        "answer": row.slots[family.answer],
        "foil": source[family.answer],
        "cluster": row.slots[family.entity],
    }


def _counterfactual(
    setting: Setting,
    family: TaskFamily,
    row: Row,
    phase: Phase,
    rng: random.Random,
    slot: str = "",
    value: str = "",
) -> dict[str, str] | None:
    """The row with the entity, mediators and answer of another one of the phase, of this value if one is named.

    None where none fits.
    """
    fitting = [other for other in setting.rows(family, phase) if not value or other.slots[slot] == value]
    choices = [other for other in fitting if _fits(family, row, other)]
    return _merged(family, row, rng.choice(choices)) if choices else None


def _fits(family: TaskFamily, row: Row, other: Row) -> bool:
    """Whether another row has another answer, and nothing of it stands in the prompt already."""
    staying = {kept for name, kept in row.slots.items() if not _swaps(family, name)}
    swapped = {value for name, value in other.slots.items() if _swaps(family, name)}
    return other.slots[family.answer] != row.slots[family.answer] and not staying & swapped


def _merged(family: TaskFamily, row: Row, other: Row) -> dict[str, str]:
    return {name: other.slots[name] if _swaps(family, name) else kept for name, kept in row.slots.items()}


def _cuts(text: str) -> Iterator[tuple[str, str]]:
    """What stands before each word of a text but the first, and the word."""
    words = text.split()
    return ((" ".join(words[:i]), words[i]) for i in range(1, len(words)))


def _some(items: Sequence[Any], n: int, rng: random.Random) -> list[Any]:
    order = list(items)
    rng.shuffle(order)
    return order[:n]
