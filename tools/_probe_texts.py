"""Probe prompts for concepts, made without a language model other than the subject: the same words in other contexts.

Three sources, in turn, until a concept has its probes: templates of the model's task families filled with rows and
their answers (held-out rows are left for confirmation), sentences of the model's own texts, and where these do not
suffice the model's own continuations. A text that the model cannot read without an unknown token is left out, and so is
one that a concept was found in: a probe is to tell something new.
"""

import random
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Literal, TypeVar

import torch
from pydantic import Field

from ._base import Frozen, ToolError
from ._positions import token_positions
from ._probe_tokens import FunctionWords, content_words, has_word, words_in
from ._readable import can_read
from ._reader import Tokens
from ._subject import Subject
from ._tasks import Row, TaskFamily, Template, exploring_entities, kept_wordings

Role = Literal["entity", "mediator", "answer", "slot", "word", "swap", "context", "given"]
Source = Literal["template", "text", "continuation", "given"]
Item = TypeVar("Item")
ATTEMPTS = 3  # continuations drawn per probe still missing


class Concept(Frozen):
    """A word whose features are looked for."""

    label: str = Field(description="The word.")
    role: Role = Field(
        description="Swapped entity of the task, mediator that no prompt shows, answer, another slot, a content word "
        "of the prompt, another entity put in the entity's place, a word at which the chosen features peak in the "
        "model's texts, or one that the caller gave."
    )


class Probe(Frozen):
    """A text with a concept in it. A caller who gives one needs text and concept; what a maker adds is found again."""

    text: str = Field(description="The text that is run.")
    concept: str = Field(description="The word in it that it is about.")
    category: str = Field(default="", description="What kind of thing the concept is; empty where nobody said.")
    held_out: bool | None = Field(
        default=None, description="Whether it is kept back from naming, to test the names; none to have that drawn."
    )
    position: int | None = Field(
        default=None, description="Index of the concept's last token in the text, special tokens included."
    )
    source: Source = Field(default="given", description="Where it came from.")
    template: str = Field(default="", description="FAMILY/TEMPLATE where it was made by one; else empty.")


Candidate = tuple[str, Source, str]
"""Text, where it came from, and its template."""


@dataclass
class ProbeMaker:
    """Finds one prompt's concepts and makes their probes; equal seeds give equal probes."""

    subject: Subject
    prompt: str
    target: str
    seed: int
    grammar: FunctionWords
    per_concept: int
    n_new: int  # tokens of a continuation
    split_as: str = ""  # prompt that decides what is kept back, where it is not this one
    seen: frozenset[str] = frozenset()  # texts that are no probes
    refused: set[str] = field(default_factory=set, init=False)

    @cached_property
    def task(self) -> tuple[TaskFamily, Template, Row] | None:
        """The task family, template and row that make the prompt, or none."""
        return self._matched(self.prompt)

    @cached_property
    def split_task(self) -> tuple[TaskFamily, Template, Row] | None:
        """The same of the prompt that decides what is kept back.

        Raises:
            ToolError: a prompt that is in no task.
        """
        if not self.split_as:
            return self.task
        found = self._matched(self.split_as)
        if found is None:
            raise ToolError(
                f"`split_as` is {self.split_as[:60]!r}, which no task of the model has, so it keeps nothing back.",
                mend="Pass a prompt that task data make, or leave it empty.",
            )
        return found

    def _matched(self, prompt: str) -> tuple[TaskFamily, Template, Row] | None:
        found = ((family, family.match(prompt)) for family in self.subject.tasks)
        return next(((family, *match) for family, match in found if match), None)

    def concepts(self, swaps: int, contexts: Iterable[str] = ()) -> tuple[Concept, ...]:
        """Slots of the task, the target, content words of the prompt, entities to swap in, then the contexts given."""
        found: dict[str, Role] = {}
        if self.task:
            family, template, row = self.task
            roles: dict[str, Role] = {family.entity: "entity"}
            for name in family.mediators:
                roles[name] = "mediator"
            for slot, value in row.slots.items():
                if (slot in roles or slot in template.slots) and value != self.target:
                    found.setdefault(value, roles.get(slot, "slot"))
        found.setdefault(self.target, "answer")
        for word in content_words(self.prompt, self.grammar):
            found.setdefault(word, "word")
        for label in self._other_entities()[:swaps]:
            found.setdefault(label, "swap")
        for label in contexts:
            found.setdefault(label, "context")
        return tuple(Concept(label=label, role=role) for label, role in found.items())

    def probes(self, concepts: Iterable[Concept]) -> tuple[Probe, ...]:
        """Up to `per_concept` probes for each concept, by concept, no text twice."""
        made: dict[str, Probe] = {}
        sought = {one.label: self._new(one.label, made) for one in concepts}
        # In turn, so that one concept does not take the texts that it shares with another.
        for _ in range(self.per_concept):
            for label, candidates in sought.items():
                found = next(candidates, None)
                if found is not None:
                    made[found[0]] = self._probe(label, *found)
        order = list(sought)
        return tuple(sorted(made.values(), key=lambda probe: order.index(probe.concept)))

    def _probe(self, label: str, text: str, source: Source, template: str) -> Probe:
        position = token_positions(self.subject, text, "entity", label)[-1]
        return Probe(text=text, concept=label, position=position, source=source, template=template)

    def _new(self, label: str, made: Collection[str]) -> Iterator[Candidate]:
        """Texts that have the word and are not made yet; continuations only where the others do not suffice."""
        groups = [[one for one in group if has_word(one[0], label)] for group in self._written_before]
        found = 0
        for one in _in_turn(groups):
            if one[0] not in made and self._readable(one[0]):
                found += 1
                yield one
        if found < self.per_concept:
            for text in self._continuations(label, ATTEMPTS * (self.per_concept - found)):
                fresh = text not in made and self._may_be_probe(text)
                if fresh and has_word(text, label) and self._readable(text):
                    yield text, "continuation", ""

    @cached_property
    def _written_before(self) -> list[list[Candidate]]:
        """Every template's texts and the model's own, in seeded order; the prompt itself first."""
        groups: list[list[Candidate]] = []
        for family in self.subject.tasks:
            own = self.task[2] if self.task and family is self.task[0] else None
            for template in family.templates:
                name = f"{family.name}/{template.id}"
                # Another order for each template, so that one concept's contexts differ in their entities too.
                rows = self._shuffled([row for row in family.rows if row.split == "train" and row != own], name)
                first = own is not None and self.task is not None and template == self.task[1]
                asked = [own] if own is not None else []
                made: list[Candidate] = [
                    (f"{template.fill(row.slots)} {row.slots[family.answer]}", "template", name)
                    for row in ([*asked, *rows] if first else [*rows, *asked])
                ]
                groups.insert(0 if first else len(groups), made)
        groups.append([(text, "text", "") for text in self._shuffled(list(dict.fromkeys(self.subject.texts)), "texts")])
        return [[one for one in group if self._may_be_probe(one[0])] for group in groups]

    def _may_be_probe(self, text: str) -> bool:
        if text in self.seen or text.startswith(self.kept_prompts):
            return False
        return self.kept_back.isdisjoint(words_in(text))

    @cached_property
    def kept_prompts(self) -> tuple[str, ...]:
        """Every prompt of the wordings that are kept for confirmation, but for the asked one."""
        if not self.split_task:
            return ()
        asked, own = self.split_task[0], self.split_task[1]
        return tuple(
            template.fill(row.slots)
            for family in self.subject.tasks
            for template in family.templates
            if template.id in kept_wordings(family, self.seed) and not (family is asked and template == own)
            for row in family.rows
        )

    @cached_property
    def kept_back(self) -> set[str]:
        """Entities that explore in no family: what a later confirmation must not have seen."""
        if not self.split_task:
            return set()
        family, _, asked = self.split_task
        families = self.subject.tasks
        exploring = exploring_entities(families, self.seed, asked.slots[family.entity])
        return {row.slots[one.entity] for one in families for row in one.rows} - exploring - set(asked.slots.values())

    def _other_entities(self) -> list[str]:
        """Entities with another answer that may be used for discovery, in seeded order."""
        if not self.task:
            return []
        family, _, asked = self.task
        rows = [
            r
            for r in family.rows
            if r.slots[family.entity] not in self.kept_back and r.slots[family.answer] != asked.slots[family.answer]
        ]
        names = dict.fromkeys(row.slots[family.entity] for row in self._shuffled(rows, family.name))
        return [name for name in names if name not in asked.slots.values()]

    def _shuffled(self, items: list[Item], name: str) -> list[Item]:
        order = list(items)
        random.Random(f"{self.seed} {name}").shuffle(order)
        return order

    def _readable(self, text: str) -> bool:
        if text in self.refused:
            return False
        if not can_read(self.subject, text):
            self.refused.add(text)
            return False
        return True

    def _continuations(self, label: str, n: int) -> Iterator[str]:
        """What the model writes after the word, in the prompt and alone: the likeliest first, then drawn ones."""
        ends = [found.end() for found in re.finditer(rf"(?<!\w){re.escape(label)}(?!\w)", self.prompt)]
        asked = [self.prompt[: ends[-1]]] if ends else [f"{self.prompt} {label}"] if label == self.target else []
        yield from _in_turn([self._written(start, n) for start in [*asked, label] if self._readable(start)])

    def _written(self, start: str, n: int) -> list[str]:
        """Distinct texts of whole words that begin with `start`, the likeliest first."""
        subject, generator = self.subject, torch.Generator().manual_seed(self.seed)
        ids = subject.tokenise([start]).ids
        before, rows = ids.shape[1], ids.expand(n, -1)
        for _ in range(min(self.n_new + 1, subject.shape.n_ctx - before)):
            logits = subject.last_logits(Tokens(rows, (rows.shape[1],) * n)).cpu()
            new = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            new[0] = logits[0].argmax()
            rows = torch.cat([rows, new.to(rows)], dim=1)
        texts = [self._whole(row, before) for row in rows.tolist()]
        return [text for text in dict.fromkeys(texts) if len(text) > len(start)]

    def _whole(self, ids: list[int], before: int) -> str:
        """The text of a continuation without its last token, which only tells whether a word was cut in two."""
        special = self.subject.reader.special_ids
        end = next((i for i in range(before, len(ids)) if ids[i] in special), len(ids))
        text, longer = (
            self.subject.tokenizer.decode(ids[:k], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for k in (min(end, before + self.n_new), end)
        )
        cut = re.match(r"\w", longer[len(text) :])
        return (re.sub(r"\w+$", "", text) if cut else text).strip()


def _in_turn(groups: Iterable[Iterable[Item]]) -> Iterator[Item]:
    """The first of each group, then the second of each, and so on."""
    for round_ in zip_longest(*groups):
        yield from (one for one in round_ if one is not None)
