"""Models of which nothing is to be claimed, and models with a known trap.

- `reinitialised`: weights never trained, asked an induction task.
- `shuffled_labels`: a model that does its task, asked with answers exchanged between words.
- `dormant_pathway`: an MLP that follows the answer but never moves it, and could. One direction in its neurons, half
  what follows and half what could move, changes the answer fully when it is patched, though neither half does and the
  whole MLP does not (Makelov, Lange, Nanda 2023, "Is This the Subspace You Are Looking for? An Interpretability
  Illusion for Subspace Activation Patching"). The true path runs through another MLP, along a direction that stands
  the same tests.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from ...tools import Pair, Subject, one_thread
from ._compile import N_PAIRS, Compiled, Size, compiled
from ._compile_named import PEOPLE, PLACES, asked_kind, asked_task, first_token, induction, previous_token
from ._compile_program import NUMBER, TOKENS, Attend, Channel, Output, Program
from ._compile_tasks import Circuit, Words, families
from ._compile_weights import Style
from ._organism import Build, Organism
from ._tokenizer import BOS, EOS, PAD, word_tokenizer

SPREADS = (0.02, 0.2)  # of random weights, in turn
LEAK = 0.02  # where labels are shuffled: without it every effect would be exactly zero
FEWEST_PAIRS = 4  # that a family keeps when labels are shuffled (count)
VECTOR = Float[Tensor, " d_mlp"]


@dataclass(frozen=True)
class DormantPathway:
    """A model with an illusory direction, to be tried at the last position. All directions are unit vectors.

    Patched with the counterfactual's value along them, `illusory` and `true` both turn the answer; `correlated` and
    `dormant`, the parts of `illusory` that the MLP's output matrix ignores and reads, do nothing.
    """

    organism: Organism
    site: str
    illusory: VECTOR
    correlated: VECTOR  # what the neurons follow: the output matrix maps it to zero
    dormant: VECTOR  # what the output matrix reads: no prompt moves it
    true_site: str
    true: VECTOR


class Sizes(NamedTuple):
    """What differs between random models; names as in their configuration."""

    n_positions: int
    n_embd: int
    n_layer: int


def reinitialised(seed: int) -> Organism:
    """A GPT-2 with random weights, small for even seeds and large for odd ones."""
    rng = random.Random(f"reinitialised {seed}")
    circuit = induction(rng)
    spread = SPREADS[seed % len(SPREADS)]
    sizes = Sizes(n_positions=circuit.program.length, n_embd=64, n_layer=rng.randint(2, 4))
    subject = random_subject(f"reinitialised-{seed}", circuit.program.words, sizes, spread, seed)
    with one_thread():
        pairs = families(circuit, N_PAIRS, rng)
        verified = {"accuracy": _accuracy(subject, pairs), "spread": spread}
    truth = "Nothing: the weights are random. Whatever a method finds is false."
    return Organism(subject.name, "null", subject, pairs, frozenset(), truth, verified)


def random_subject(name: str, words: Sequence[str], sizes: Sizes, spread: float, seed: int) -> Subject:
    """A GPT-2 of four heads with weights that were never trained.

    Args:
        words: its vocabulary, beside the marks for beginning, end and filling.
        spread: standard deviation of its weights.
    """
    tokenizer = word_tokenizer(list(words))
    config = GPT2Config(
        n_positions=sizes.n_positions,
        n_embd=sizes.n_embd,
        n_layer=sizes.n_layer,
        vocab_size=len(tokenizer),
        n_head=4,
        initializer_range=spread,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel._from_config(config, attn_implementation="eager", dtype=torch.float32)
        return Subject(model, tokenizer, name, None, None)


def shuffled_labels(seed: int) -> Organism:
    """A model that does its task, asked for answers that belong to other words."""
    rng = random.Random(f"shuffled {seed}")
    circuit = rng.choice((induction, first_token, previous_token))(rng)
    one = compiled(circuit, seed, Style(leak=LEAK), name=f"shuffled_labels-{seed}").organism
    said = [word for output in circuit.program.outputs for word in output.says]
    exchanged = _derangement(said, rng)
    pairs = {
        name: tuple(found for pair in family if (found := _relabelled(pair, exchanged)) is not None)
        for name, family in one.families.items()
    }
    few = [name for name, family in pairs.items() if len(family) < FEWEST_PAIRS]
    assert not few, f"too few pairs are left of {few}"
    truth = "Nothing: the answers asked for were exchanged between words, so no link carries them."
    with one_thread():
        verified = {"accuracy": _accuracy(one.subject, pairs), "leak": LEAK}
    return replace(one, kind="null", families=pairs, links=frozenset(), truth=truth, verified=verified)


NULLS: Mapping[str, Build] = {"reinitialised": reinitialised, "shuffled_labels": shuffled_labels}


def dormant_pathway(seed: int) -> DormantPathway:
    """A model whose illusory direction is known, checked by patching it.

    Raises:
        ValueError: a patch does not do what it must; nothing is handed out.
    """
    return _pathway(dormant_compiled(seed))


def dormant_compiled(seed: int) -> Compiled:
    """The same with all that its program says of it, and what patching each direction does in `verified`.

    Raises:
        ValueError: a patch does not do what it must; nothing is handed out.
    """
    rng = random.Random(f"dormant {seed}")
    circuit = _dormant_circuit(rng)
    style = Style(height=rng.uniform(6, 12))
    one = compiled(circuit, seed, style, Size(n_heads=rng.randint(3, 5), n_layers=rng.randint(3, 5)))
    with one_thread():
        effects = _effects(_pathway(one))
    due = {"illusory": 1.0, "true": 1.0, "correlated": 0.0, "dormant": 0.0, "whole_mlp": 0.0}
    missed = [f"{name} {effects[name]:.4f}" for name, bar in due.items() if abs(effects[name] - bar) > 1e-3]
    if missed:
        raise ValueError(f"The directions of {one.organism.name} do not do what they must: {', '.join(missed)}.")
    verified = {**one.organism.verified, **{f"effect_{name}": effect for name, effect in effects.items()}}
    return replace(one, organism=replace(one.organism, verified=verified))


def _dormant_circuit(rng: random.Random) -> Circuit:
    """Is the person or place that is asked for one of the chosen ones? One path answers, a trap stands beside it."""
    people, places = (tuple(rng.sample(kind, 6)) for kind in (PEOPLE, PLACES))
    chosen = {*rng.sample(people, 3), *rng.sample(places, 3)}
    fillers, length = ("and", "then", "near", "with"), rng.randint(6, 9)
    width = rng.randint(12, 24)
    head = Attend(
        "chosen",
        {word: (NUMBER[0], 1.0 if word in chosen else -1.0) for word in (*people, *places)},
        key=TOKENS,
        query=TOKENS,
        pairs=(*(("who", word) for word in people), *(("where", word) for word in places)),
        note="Brings to the last word whether what is asked for is one of the chosen.",
    )
    true = Channel("verdict", "chosen", width, note="Passes the verdict on.")
    # Half of the illusory direction follows the number and half of it is written: twice the gain makes it whole.
    trap = Channel("trap", "chosen", rng.randint(12, 24), gain=2.0, onto="verdict", note="Follows; moves nothing.")
    says = {NUMBER[0]: (("yes", 1.0), ("no", -1.0))}
    words = (*people, *places, *fillers, "who", "where", "yes", "no")
    program = Program(words, length, (head, true, trap), (Output("verdict", says),))

    def answer(prompt: Words) -> str:
        kind = asked_kind(prompt[-1], people, places)
        return "yes" if next(word for word in prompt if word in kind) in chosen else "no"

    truth = (
        "A head brings to the last word whether the person or place that is asked for is one of the chosen, and one "
        "MLP passes it on. Another MLP follows the same number and moves nothing."
    )
    return Circuit("dormant", truth, program, asked_task(people, places, fillers, length, answer))


def _pathway(one: Compiled) -> DormantPathway:
    trap, true = one.channels["trap"], one.channels["verdict"]
    return DormantPathway(
        organism=one.organism,
        site=f"mlp_act.{one.layout.places['trap'].layer}",
        illusory=(trap.read + trap.write) / 2**0.5,
        correlated=trap.read,
        dormant=trap.write,
        true_site=f"mlp_act.{one.layout.places['verdict'].layer}",
        true=true.read,
    )


def _effects(pathway: DormantPathway) -> dict[str, float]:
    """What patching each direction, and the whole MLP of the trap, does to the answer: shares of the gap."""
    tries = {name: (pathway.site, getattr(pathway, name)) for name in ("illusory", "correlated", "dormant")}
    tries |= {"true": (pathway.true_site, pathway.true), "whole_mlp": (pathway.site, None)}
    subject = pathway.organism.subject
    pairs = [pair for family in pathway.organism.families.values() for pair in family]
    base, other = (subject.tokenise(prompts) for prompts in ([p.base for p in pairs], [p.corrupted for p in pairs]))
    found = subject.run(other, read=(pathway.site, pathway.true_site))
    clean = _differences(subject, pairs, subject.last_logits(base))
    gap = clean - _differences(subject, pairs, found.last_logits)
    effects = {}
    for name, (site, direction) in tries.items():

        def edit(acts: Tensor, site: str = site, direction: Tensor | None = direction) -> Tensor:
            change = found.sites[site][:, -1] - acts[:, -1]
            patched = acts.clone()
            patched[:, -1] += change if direction is None else (change @ direction)[:, None] * direction
            return patched

        logits = subject.run(base, write={site: edit}).last_logits
        effects[name] = ((clean - _differences(subject, pairs, logits)) / gap).mean().item()
    return effects


def _differences(subject: Subject, pairs: list[Pair], logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, " batch"]:
    vocabulary, rows = subject.tokenizer.get_vocab(), torch.arange(len(pairs))
    return logits[rows, [vocabulary[p.answer] for p in pairs]] - logits[rows, [vocabulary[p.foil] for p in pairs]]


def _accuracy(subject: Subject, pairs: Mapping[str, tuple[Pair, ...]]) -> float:
    """Share of prompts of all pairs whose most likely next word is the answer."""
    every = [pair for family in pairs.values() for pair in family]
    likeliest = subject.last_logits(subject.tokenise([pair.base for pair in every])).argmax(-1).tolist()
    vocabulary = subject.tokenizer.get_vocab()
    return sum(found == vocabulary[pair.answer] for found, pair in zip(likeliest, every, strict=True)) / len(every)


def _derangement(words: list[str], rng: random.Random) -> dict[str, str]:
    """Every word to another one."""
    order = rng.sample(words, len(words))
    return dict(zip(order, order[1:] + order[:1], strict=True))


def _relabelled(pair: Pair, exchanged: dict[str, str]) -> Pair | None:
    """The pair with exchanged answers; none where these meet the true ones, which the model does tell apart."""
    answer, foil = exchanged[pair.answer], exchanged[pair.foil]
    if {answer, foil} & {pair.answer, pair.foil}:
        return None
    return pair.model_copy(update={"answer": answer, "foil": foil})
