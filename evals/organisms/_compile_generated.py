"""Circuits drawn from a seed: chains of one to three hops through what the prompt says and what the weights know.

A prompt lists pairs of a key word and a value word, then a mode word, and asks for a key. Each hop turns what stands at
the last position into a value word: by looking it up among the prompt's pairs (two heads), in a table (an MLP), or in
the table that the mode word chooses (a head and an MLP). Every value word has its key word, so hops can follow on hops.
Which hops, how many words, which layers and heads, how much leaks, and how many decoys stand beside the circuit and
compute something that nobody reads: all of it follows from the seed.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from ._compile import Compiled, Size, compiled
from ._compile_named import NOUNS, look_back
from ._compile_program import TOKENS, Attend, Lookup, Operation, Output, Program, kept, said_as_is
from ._compile_tasks import Circuit, Task, Words
from ._compile_weights import Style

Hop = Literal["context", "table", "mode"]
MODES = ("plainly", "oddly")
LEAKS = (0.0, 0.0, 0.005, 0.01, 0.02)
NAMES = {"context": "looks it up among the prompt's pairs", "table": "looks it up in a table"}
NAMES["mode"] = "looks it up in the table that the mode word chooses"


@dataclass(frozen=True)
class Draft:
    """What a generated circuit is made of."""

    keys: tuple[str, ...]
    values: tuple[str, ...]  # in the order of the keys that belong to them
    hops: tuple[Hop, ...]
    tables: tuple[Mapping[str, tuple[str, ...]], ...]  # per hop: for each mode the value that each key turns into
    shared_look_back: bool
    n_decoys: int

    @property
    def length(self) -> int:
        """Tokens of a prompt (count)."""
        return 2 * len(self.keys) + 3

    def keys_on_the_way(self, prompt: Words) -> list[str]:
        """What each hop looks up, worked out from the words, and last the key that the answer belongs to."""
        listed = dict(zip(prompt[:-2:2], prompt[1:-2:2], strict=True))
        keys = [prompt[-1]]
        for hop, table in zip(self.hops, self.tables, strict=True):
            chosen = table[prompt[-2] if hop == "mode" else MODES[0]]
            value = listed[keys[-1]] if hop == "context" else chosen[self.keys.index(keys[-1])]
            keys.append(self.keys[self.values.index(value)])
        return keys

    def mode_matters(self) -> bool:
        """Whether the modes answer differently when every key is listed with its own value."""
        listed = [word for pair in zip(self.keys, self.values, strict=True) for word in pair]
        asked = ([[*listed, mode, key] for mode in MODES] for key in self.keys)
        return any(self.answer(plain) != self.answer(odd) for plain, odd in asked)

    def answer(self, prompt: Words) -> str:
        """Worked out from the words."""
        return self.values[self.keys.index(self.keys_on_the_way(prompt)[-1])]


def drawn(hops: tuple[Hop, ...] | None, rng: random.Random) -> Draft:
    """A draft with these hops, or with hops drawn too."""
    size = rng.randint(5, 7)
    nouns = rng.sample(NOUNS, 2 * size)
    while not hops or set(hops) == {"table"}:  # tables alone need no attention
        hops = tuple(rng.choices(get_args(Hop), weights=(2, 1, 1), k=rng.randint(1, 3)))
    keys, values = tuple(nouns[:size]), tuple(nouns[size:])
    while True:
        tables = tuple({mode: tuple(rng.sample(values, size)) for mode in MODES} for _ in hops)
        draft = Draft(keys, values, hops, tables, rng.random() < 0.5, rng.randint(0, 3))
        if "mode" not in hops or draft.mode_matters():
            return draft


def circuit_of(name: str, draft: Draft, rng: random.Random) -> Circuit:
    """The program and the task of a draft."""
    operations: list[Operation] = []
    now = TOKENS
    for i, hop in enumerate(draft.hops):
        _add_hop(operations, draft, i, hop, now)
        now = f"hop{i}"
    for i in range(draft.n_decoys):
        operations.append(_decoy(f"decoy{i}", operations, draft, rng))
    words = (*draft.keys, *draft.values, *MODES)
    program = Program(words, draft.length, tuple(operations), (Output(now, said_as_is(draft.values)),))
    truth = "From the last word each step gives the next: " + "; then it ".join(NAMES[hop] for hop in draft.hops) + "."
    return Circuit(name, truth, program, _task(draft))


def generated_one(seed: int, index: int) -> Compiled:
    """One circuit of a seed's series, the same whichever others are made."""
    rng = random.Random(f"generated {seed} {index}")
    circuit = circuit_of(f"generated-{seed}-{index}", drawn(None, rng), rng)
    style = Style(leak=rng.choice(LEAKS), sharpness=rng.uniform(30, 42), height=rng.uniform(8, 16))
    size = Size(n_heads=rng.randint(4, 6), n_layers=rng.randint(3, 5))
    return compiled(circuit, index, style, size, name=circuit.name)


def two_hop_in_context(rng: random.Random) -> Circuit:
    """Two lookups among the pairs of the prompt, the second with what the first one found."""
    draft = drawn(("context", "context"), rng)
    return circuit_of("two_hop_in_context", draft, rng)


def _add_hop(operations: list[Operation], draft: Draft, i: int, hop: Hop, now: str) -> None:
    """The operations of one hop, from the variable `now` to the variable `hop<i>`."""
    asked = draft.keys if now == TOKENS else draft.values
    table = draft.tables[i]
    if hop == "context":
        previous = "previous" if draft.shared_look_back else f"previous{i}"
        if previous not in {operation.name for operation in operations}:
            operations.append(look_back(previous, 1, draft.length, draft.keys))
        pairs = tuple(zip(asked, draft.keys, strict=True))
        note = "Attends to the value whose key is asked for, and copies it."
        operations.append(Attend(f"hop{i}", kept(draft.values), TOKENS, previous, now, pairs, note=note))
    elif hop == "table":
        rows = {(word,): value for word, value in zip(asked, table[MODES[0]], strict=True)}
        operations.append(Lookup(f"hop{i}", (now,), rows, "Looks up the value of a word."))
    else:
        if "mode" not in {operation.name for operation in operations}:
            operations.append(look_back("mode", 1, draft.length, MODES))
        rows = {(word, mode): value for mode in MODES for word, value in zip(asked, table[mode], strict=True)}
        note = "Looks up the value of a word in the table of the mode."
        operations.append(Lookup(f"hop{i}", (now, "mode"), rows, note))


def _decoy(name: str, operations: list[Operation], draft: Draft, rng: random.Random) -> Operation:
    """Something real that no output reads: a lookup by the wrong rule, beside the right one."""
    read = rng.choice([TOKENS, *(operation.name for operation in operations if operation.name.startswith("hop"))])
    asked = draft.keys if read == TOKENS else draft.values
    wrong = rng.sample(draft.values, len(asked))
    if rng.random() < 0.5:
        return Lookup(name, (read,), {(w,): v for w, v in zip(asked, wrong, strict=True)}, "Read by nothing.")
    pairs = tuple(zip(asked, rng.sample(draft.keys, len(asked)), strict=True))
    return Attend(name, kept(draft.values), TOKENS, TOKENS, read, pairs, note="Read by nothing.")


def _task(draft: Draft) -> Task:
    size = len(draft.keys)

    def draw(r: random.Random) -> Words:
        keys, values = r.sample(draft.keys, size), r.choices(draft.values, k=size)
        pairs = [word for pair in zip(keys, values, strict=True) for word in pair]
        return [*pairs, r.choice(MODES), r.choice(draft.keys)]

    def other(r: random.Random, prompt: Words, place: int, words: tuple[str, ...]) -> Words:
        return [*prompt[:place], r.choice([word for word in words if word != prompt[place]]), *prompt[place + 1 :]]

    def value(i: int, r: random.Random, prompt: Words) -> Words:
        asked = prompt.index(draft.keys_on_the_way(prompt)[i])
        return other(r, prompt, asked + 1, draft.values)

    def key(i: int, r: random.Random, prompt: Words) -> Words:
        asked = prompt.index(draft.keys_on_the_way(prompt)[i])
        swapped = r.choice([place for place in range(0, 2 * size, 2) if place != asked])
        changed = list(prompt)
        changed[asked], changed[swapped] = prompt[swapped], prompt[asked]
        return changed

    changes: dict[str, Callable[[random.Random, Words], Words]] = {
        "query": lambda r, prompt: other(r, prompt, len(prompt) - 1, draft.keys)
    }
    # A family for every hop: changed at random, one hop's value would be among few of the pairs.
    for i in (i for i, hop in enumerate(draft.hops) if hop == "context"):
        changes |= {f"value of hop {i}": partial(value, i), f"key of hop {i}": partial(key, i)}
    if "mode" in draft.hops:
        changes["mode"] = lambda r, prompt: other(r, prompt, len(prompt) - 2, MODES)
    return Task(draw, draft.answer, changes)
