"""Prompt pairs for discovery and for confirmation, kept apart before anything is measured.

Two ways to the same pool: from task data that came with the model (entities and templates with a held-out split), or
from contrast pairs (found by replacing words, or given by the user), split by cluster.
"""

import random
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from ...tools import Frozen, Row, TaskFamily, Template
from ._clusters import forward, some
from .interface import ContrastPair, SubjectCard, Task

PairArgs = dict[str, Any]  # fields of the patch tool's `Pair`

MAJORITY = 0.5  # of prompts answered as said, from which a behaviour is there
AS_ASKED = "as asked"  # cluster of the question's own prompt
DISCOVERY_PAIRS = 24
CONFIRMATION_PAIRS = 40
REFERENCE_PER_CLASS = 8
LONGEST_ABBREVIATION = 2  # letters


class Split(Frozen):
    """Pairs of one phase, by counterfactual family."""

    swap: tuple[PairArgs, ...] = Field(description="The entity swapped in the same prompt.")
    other: tuple[PairArgs, ...] = Field(
        default=(), description="The same pairs, values taken from a differently worded prompt."
    )
    one_hop: tuple[PairArgs, ...] = Field(
        default=(), description="The same pairs, values from a prompt that asks the mediator."
    )


class Pool(Frozen):
    """All pairs of an investigation."""

    entity: str = Field(description="What is swapped, in a word.")
    place: str = Field(description="Where it stands, in words.")
    mediator: str | None = Field(description="What lies between entity and answer; none where nothing is known.")
    answer: str = Field(description="What is answered, in words.")
    discovery: Split
    confirmation: Split
    reference: tuple[PairArgs, ...] = Field(
        default=(), description="Labelled prompts of the discovery split: same question."
    )
    reference_one_hop: tuple[PairArgs, ...] = Field(
        default=(), description="Labelled prompts that ask the mediator itself."
    )
    classes: int = Field(default=0, description="Values that the mediator can take (count).")
    entity_position: str | None = Field(description="Position of the swapped words; none where they cannot be aligned.")
    other_name: str = Field(default="another wording", description="What the family `other` is, in words.")
    holds_out_entities: bool
    holds_out_template: bool

    @property
    def swaps_last_token(self) -> bool:
        """Whether what is swapped is the last word of some prompt, so that one token holds both."""
        return any(_last_word(p["base"]) != _last_word(p["corrupted"]) for p in self.discovery.swap)


def matched_task(task: Task, card: SubjectCard) -> tuple[TaskFamily, Template, Row] | None:
    """The family, template and row of task data that make the question's prompt with the asked answer, or none."""
    return matched_row(card.tasks, task.prompt, task.answer) if task.kind == "why" else None


def matched_row(families: Sequence[TaskFamily], prompt: str, answer: str) -> tuple[TaskFamily, Template, Row] | None:
    """The family, template and row that make a prompt with its answer, or none."""
    for family in families:
        matched = family.match(prompt)
        if matched and matched[1].slots[family.answer] == answer:
            return family, *matched
    return None


def pool_from_task(
    families: Sequence[TaskFamily],
    family: TaskFamily,
    template: Template,
    seed: int,
    use_held_out: bool = True,
    asked: str = "",
) -> Pool:
    """Pairs from task data: no entity and, where there are enough, no template of discovery comes back in confirmation.

    Args:
        families: all families of the subject; one of them may ask the mediator itself.
        family: the one that the question's prompt belongs to.
        template: of that prompt.
        seed: seed of every draw.
        use_held_out: whether to confirm on the rows that training held out; without, or where there are none, the
            training rows are halved.
        asked: the question's own entity: it was looked at first, so it never confirms.
    """
    mine = [template, *(t for t in family.templates if t.id != template.id)]
    # The question's own template leads discovery; confirmation gets templates that discovery never sees.
    seen, unseen = (mine[:2], mine[2:]) if len(mine) > 2 else (mine[:1], mine[1:])
    rng = random.Random(seed)
    train, held_out = _phases(family, use_held_out, asked, rng)
    mediator = family.mediators[0] if family.mediators else None
    entity = _in_words(family.entity, "swapped word")
    one_hop = next((f for f in families if mediator and f.entity == family.entity and f.answer == mediator), None)
    return Pool(
        entity=entity,
        place=f"the {entity}'s token",
        mediator=mediator,
        answer=_in_words(family.answer, "answer"),
        discovery=_split(family, seen, train, one_hop, DISCOVERY_PAIRS, rng),
        confirmation=_split(family, unseen or seen, held_out, one_hop, CONFIRMATION_PAIRS, rng),
        reference=_reference(family, seen, train, mediator, rng) if mediator else (),
        reference_one_hop=_reference(one_hop, one_hop.templates, train, mediator, rng) if one_hop and mediator else (),
        classes=len({row.slots[mediator] for row in train}) if mediator else 0,
        entity_position="entity",
        holds_out_entities=True,
        holds_out_template=bool(unseen),
    )


def _in_words(slot: str, otherwise: str) -> str:
    """What a slot is called in a sentence; an abbreviation says nothing to a reader."""
    return slot if len(slot) > LONGEST_ABBREVIATION else otherwise


def _last_word(prompt: str) -> str:
    words = prompt.split()
    return words[-1] if len(words) > 1 else prompt[-1:]


def held_out_rows(family: TaskFamily) -> list[Row]:
    """Rows that training held out."""
    return [row for row in family.rows if row.split == "held_out"]


def _phases(family: TaskFamily, use_held_out: bool, asked: str, rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Rows to explore and rows to confirm on; entities of one are not entities of the other."""
    train = [row for row in family.rows if row.split == "train"]
    held_out = [row for row in held_out_rows(family) if row.slots[family.entity] != asked] if use_held_out else []
    if held_out:
        return train, held_out
    explored = {*_halves_of_each(family, train, rng), asked}
    halves = ([row for row in train if (row.slots[family.entity] in explored) is phase] for phase in (True, False))
    explore, confirm = halves
    return explore, confirm


def _halves_of_each(family: TaskFamily, rows: Sequence[Row], rng: random.Random) -> list[str]:
    """Half of the entities of every value between entity and answer, so that no value is left without examples.

    Of values with one entity each, half of the values: there is nothing else to halve.
    """
    by_value: dict[str, set[str]] = {}
    for row in rows:
        value = row.slots[family.mediators[0]] if family.mediators else ""
        by_value.setdefault(value, set()).add(row.slots[family.entity])
    groups = [sorted(by_value[value]) for value in sorted(by_value)]
    alone = sorted(one for group in groups if len(group) == 1 for one in group)
    halved = [*(group for group in groups if len(group) > 1), alone]
    return [one for group in halved for one in rng.sample(group, len(group) // 2)]


def _split(
    family: TaskFamily,
    templates: Sequence[Template],
    rows: Sequence[Row],
    one_hop: TaskFamily | None,
    n_pairs: int,
    rng: random.Random,
) -> Split:
    mediator = family.mediators[0] if family.mediators else family.answer
    drawn = [rows[i % len(rows)] for i in range(n_pairs)] if len(rows) < n_pairs else rng.sample(list(rows), n_pairs)
    swap: list[PairArgs] = []
    other: list[PairArgs] = []
    hop: list[PairArgs] = []
    for i, row in enumerate(drawn):
        counter = _counterfactual(family, row, rows, rng)
        template = templates[i % len(templates)]
        elsewhere = _other_wording(family, templates, template, i)
        pair: PairArgs = {
            "base": template.fill(row.slots),
            "corrupted": template.fill(counter),
            "answer": row.slots[family.answer],
            "foil": counter[family.answer],
            "base_entity": row.slots[family.entity],
            "source_entity": counter[family.entity],
            "base_label": row.slots[mediator],
            "source_label": counter[mediator],
            "cluster": row.slots[family.entity],
        }
        swap.append(pair)
        if elsewhere:
            other.append({**pair, "source": elsewhere.fill(counter)})
        if one_hop:
            asking = one_hop.templates[i % len(one_hop.templates)]
            hop.append({**pair, "source": asking.fill(counter)})
    return Split(swap=tuple(swap), other=tuple(other), one_hop=tuple(hop))


def _other_wording(family: TaskFamily, templates: Sequence[Template], template: Template, turn: int) -> Template | None:
    """Another template to take values from, of the same phase where it has one; none in a family of one."""
    here = [t for t in templates if t.id != template.id]
    choices = here or [t for t in family.templates if t.id != template.id]
    return choices[turn % len(choices)] if choices else None


def _counterfactual(family: TaskFamily, row: Row, rows: Sequence[Row], rng: random.Random) -> dict[str, str]:
    """Another row with another answer; slots that are neither entity, mediator nor answer stay as they are."""
    swapped = {family.entity, family.answer, *family.mediators}
    staying = {value for name, value in row.slots.items() if name not in swapped}
    choices = [
        r
        for r in rows
        # A value that stands elsewhere in the prompt already would make another prompt of it, not a swapped one.
        if r.slots[family.answer] != row.slots[family.answer] and not staying & {r.slots[name] for name in swapped}
    ]
    if not choices:
        raise ValueError(f"family {family.name} has one answer only: nothing can be swapped")
    chosen = rng.choice(choices)
    return {name: chosen.slots[name] if name in swapped else value for name, value in row.slots.items()}


def _reference(
    family: TaskFamily, templates: Sequence[Template], rows: Sequence[Row], mediator: str, rng: random.Random
) -> tuple[PairArgs, ...]:
    by_class: dict[str, list[Row]] = {}
    for row in rows:
        by_class.setdefault(row.slots[mediator], []).append(row)
    drawn = [
        row for members in by_class.values() for row in rng.sample(members, min(len(members), REFERENCE_PER_CLASS))
    ]
    return tuple(
        {
            "prompt": templates[i % len(templates)].fill(row.slots),
            "entity": row.slots[family.entity],
            "label": row.slots[mediator],
        }
        for i, row in enumerate(drawn)
    )


def pool_from_pairs(
    pairs: Sequence[ContrastPair], replacements: Sequence[str] | None, place: str, answer: str, aligned: bool, seed: int
) -> Pool:
    """Pairs split by cluster into discovery and confirmation; the second family is each pair the other way round.

    Where replacements are known, they are split too, and pairs that cross the two splits are left out.

    Args:
        pairs: contrast pairs that the model answers as said.
        replacements: per pair, what was put in place of the prompt's own word; none where unknown.
        place: where the pairs differ, in words.
        answer: what is answered, in words.
        aligned: whether prompt and counterfactual have equally many tokens in every pair.
        seed: seed of the split.
    """
    rng = random.Random(seed)
    # The question's own prompt was looked at while words were tried, so it explores and never confirms.
    seen_clusters = {*some({pair.cluster for pair in pairs}, rng), AS_ASKED}
    seen_replacements = some(set(replacements or ()), rng)
    splits_replacements = len(set(replacements or ())) > 1
    named = list(zip(pairs, replacements or [""] * len(pairs), strict=True))

    def split(discovery: bool) -> Split:
        mine = [
            pair
            for pair, new in named
            if (pair.cluster in seen_clusters) is discovery
            and (not splits_replacements or (new in seen_replacements) is discovery)
        ]
        swap = tuple(map(forward, dict.fromkeys(mine)))
        told = {(pair["base"], pair["corrupted"]) for pair in swap}
        # A file may hold a pair in both directions: its other way round is no second kind of counterfactual then.
        other = tuple(p for p in map(_reverse, dict.fromkeys(mine)) if (p["base"], p["corrupted"]) not in told)
        return Split(swap=swap, other=other)

    return Pool(
        entity="prompt",
        place=place,
        mediator=None,
        answer=answer,
        discovery=split(True),
        confirmation=split(False),
        entity_position="differs" if aligned else None,
        other_name="the pair the other way round",
        holds_out_entities=splits_replacements or replacements is None,
        holds_out_template=False,  # contexts of one prompt, or pairs of one kind, are no new template
    )


def _reverse(pair: ContrastPair) -> PairArgs:
    return {
        "base": pair.corrupted,
        "corrupted": pair.clean,
        "answer": pair.foil,
        "foil": pair.answer,
        "cluster": pair.cluster,
    }
