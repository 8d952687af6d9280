"""Prompts to try a claim on that it was not tested on: the same words and answers, in other wordings or contexts.

Only wordings are free. What is swapped, and what is answered then, are the facts of the claim's own prompts or of the
task data, and code fills them in; so an attempt can change the ways in which the subject is asked, and neither what is
asked nor which token is meant. Whether the subject answers so is measured before anything is made of it.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from ...tools import Frozen, TaskFamily, Template, ToolError
from ..holdout import plain
from ._pairs import PairArgs

MOST_ASKED = 48  # pairs
MOST_TEXTS = 8  # sentences that prompts are put behind
LONGEST_TEXT = 8  # words
WORD = "word"  # slot for what is swapped


class Fact(Frozen):
    """A word with the answer that goes with it."""

    word: str
    answer: str
    label: str = Field(default="", description="What lies between the two; empty where nothing is known.")
    beside: dict[str, str] = Field(default_factory=dict, description="What stands in the other slots of a wording.")


class Material(Frozen):
    """What attempts on one claim may be made of."""

    facts: tuple[Fact, ...]
    wordings: tuple[str, ...] = Field(description="Known ones, with {word} for what is swapped.")
    unused: tuple[str, ...] = Field(description="Those of them that the claim was not tested in.")
    ends_in_word: bool = Field(description="Whether the claim's own prompts may end in what is swapped.")

    @property
    def slots(self) -> tuple[str, ...]:
        """What a wording may leave open beside the word."""
        return tuple(dict.fromkeys(slot for fact in self.facts for slot in fact.beside))


def material_of(args: dict[str, Any], family: TaskFamily | None) -> Material:
    """What is known about the prompts of a claim.

    Args:
        args: of the claim's first arm.
        family: task data that its prompts are of; none where they are of no task.
    """
    means = {plain(entry["entity"]) for entry in args.get("reference", ())}
    labels = {entry["label"] for entry in args.get("reference", ())}
    found = _of_family(family, args) if family else _of_pairs(args["pairs"])
    if not means:
        return found
    # Class means that hold a word's own prompts would carry that word and not its class.
    kept = tuple(fact for fact in found.facts if plain(fact.word) not in means and fact.label in labels)
    return found.model_copy(update={"facts": kept})


def _of_family(family: TaskFamily, args: dict[str, Any]) -> Material:
    hidden = {family.entity, family.answer, *family.mediators}
    shown = [slot for template in family.templates for slot in template.slots if slot not in hidden]
    middle = family.mediators[0] if family.mediators else family.answer
    facts = [
        Fact(
            word=row.slots[family.entity],
            answer=row.slots[family.answer],
            label=row.slots[middle],
            beside={slot: row.slots[slot] for slot in shown},
        )
        for row in family.rows
    ]
    bases = {pair["base"] for pair in args["pairs"]}
    used = {t.id for t in family.templates if any(t.fill(row.slots) in bases for row in family.rows)}
    wordings = {t.id: t.text.replace(f"{{{family.entity}}}", f"{{{WORD}}}") for t in family.templates}
    fit = {name: text for name, text in wordings.items() if text.count(f"{{{WORD}}}") == 1}
    return Material(
        facts=tuple(facts),
        wordings=tuple(fit.values()),
        unused=tuple(text for name, text in fit.items() if name not in used),
        ends_in_word=any(text.endswith(f"{{{WORD}}}") for text in fit.values()),
    )


def _of_pairs(pairs: Sequence[PairArgs]) -> Material:
    """Facts and wordings of pairs that differ in a single word each."""
    answers: dict[str, set[str]] = {}
    wordings: dict[str, None] = {}
    for pair in pairs:
        base, corrupted = pair["base"].split(), pair["corrupted"].split()
        apart = [i for i, (one, other) in enumerate(zip(base, corrupted, strict=False)) if one != other]
        if len(base) != len(corrupted) or len(apart) != 1:
            continue
        (at,) = apart
        answers.setdefault(base[at], set()).add(pair["answer"])
        answers.setdefault(corrupted[at], set()).add(pair["foil"])
        parts = [part.replace("{", "{{").replace("}", "}}") for part in base]
        wordings[" ".join([*parts[:at], f"{{{WORD}}}", *parts[at + 1 :]])] = None
    facts = tuple(Fact(word=word, answer=next(iter(said))) for word, said in answers.items() if len(said) == 1)
    ends = any(text.endswith(f"{{{WORD}}}") for text in wordings)
    return Material(facts=facts, wordings=tuple(wordings), unused=(), ends_in_word=ends)


def check_wording_slots(text: str, material: Material) -> None:
    """Stop where a wording could not be filled, or would make another token of what is swapped.

    Raises:
        ToolError: says what is wrong with it.
    """
    mend = f"Write a prompt with {{{WORD}}} in it once, and more behind it."
    try:
        slots = Template(id=text, text=text).plain_slots()
    except ValueError as error:
        raise ToolError(f"The wording {text!r} cannot be filled: {error}.", mend=mend) from None
    if text.count(f"{{{WORD}}}") != 1 or slots - {WORD, *material.slots}:
        open_slots = ", ".join(f"{{{slot}}}" for slot in material.slots)
        more = f" It may also hold {open_slots}." if open_slots else ""
        raise ToolError(f"The wording {text!r} has not the right slots.", mend=mend + more)
    if text.rstrip().endswith(f"{{{WORD}}}") and not material.ends_in_word:
        raise ToolError(f"The wording {text!r} ends in the word, and the claim's prompts never do.", mend=mend)


def pairs_for(
    material: Material, wordings: Sequence[str], texts: Sequence[str], measured: set[str], seed: str
) -> tuple[PairArgs, ...]:
    """Pairs in these wordings, each fact once before any comes back, none of a prompt that was measured.

    Args:
        texts: sentences to put in front, one for each pair in turn; none to put nothing.
        measured: prompts that interventions were measured on.
        seed: of every draw.
    """
    rng = random.Random(seed)
    facts, front = list(material.facts), list(texts)
    rng.shuffle(facts)
    rng.shuffle(front)
    found: dict[str, PairArgs] = {}
    for turn in range(max(1, len(wordings))):
        for i, fact in enumerate(facts):
            if len(found) >= MOST_ASKED or not wordings:
                return tuple(found.values())
            wording = wordings[(i + turn) % len(wordings)]
            pair = _pair(fact, facts, wording, front[i % len(front) :] + front[: i % len(front)] if front else [], rng)
            if pair and not {plain(pair["base"]), plain(pair["corrupted"])} & measured:
                found.setdefault(pair["base"], pair)
    return tuple(found.values())


def short_texts(texts: Sequence[str], seed: str) -> tuple[str, ...]:
    """A few short sentences of those that came with the subject."""
    fit = [text for text in texts if 0 < len(text.split()) <= LONGEST_TEXT]
    return tuple(random.Random(seed).sample(fit, min(MOST_TEXTS, len(fit))))


def _pair(fact: Fact, facts: Sequence[Fact], wording: str, texts: Sequence[str], rng: random.Random) -> PairArgs | None:
    """One pair of a fact with another; none where there is no other, or no sentence without their words."""
    staying = {*fact.beside.values()}
    fits = list(_others(fact, facts, staying))
    if not fits:
        return None
    other = rng.choice(fits)
    front = ""
    if texts:
        own = {fact.word, fact.answer, other.word, other.answer, *staying}
        free = (text for text in texts if not own & {*re.findall(r"\w+", text), *text.split()})
        front = next(free, "")
        if not front:
            return None
    base, corrupted = (_filled(front, wording, one.word, fact.beside) for one in (fact, other))
    return {
        "base": base,
        "corrupted": corrupted,
        "answer": fact.answer,
        "foil": other.answer,
        "base_entity": fact.word,
        "source_entity": other.word,
        "base_label": fact.label,
        "source_label": other.label,
        "cluster": fact.word,
    }


def _others(fact: Fact, facts: Sequence[Fact], staying: set[str]) -> Iterator[Fact]:
    """What a fact's word can be swapped for: another answer and class, and nothing that stands there already."""
    for other in facts:
        apart = other.answer != fact.answer and (not fact.label or other.label != fact.label)
        if apart and other.word != fact.word and not {other.word, other.answer} & staying:
            yield other


def _filled(front: str, wording: str, word: str, beside: dict[str, str]) -> str:
    filled = wording.format(**{**beside, WORD: word})
    return f"{front} {filled}" if front else filled
