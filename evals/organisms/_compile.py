"""From a circuit and a seed to an organism: placed, written into weights, proved by the loader, and verified."""

import random
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ...tools import Subject, one_thread
from ._compile_check import figures, reload_difference
from ._compile_neurons import ChannelVectors
from ._compile_place import Layout, lay_out, true_links
from ._compile_tasks import Circuit, families, fresh_prompts
from ._compile_weights import Style, Writer, stacked
from ._organism import Organism
from ._tokenizer import word_tokenizer

N_PAIRS, N_FRESH = 16, 100  # of every family; to measure accuracy on (counts)
EXACT = 1e-4  # largest distance of a figure from what it must be, where nothing leaks
SEEDS = 2**63


@dataclass(frozen=True)
class Compiled:
    """An organism with all that its program says of it."""

    organism: Organism
    circuit: Circuit
    layout: Layout
    style: Style
    directions: dict[str, Float[Tensor, "feature d_model"]]  # of each variable's labels
    channels: dict[str, ChannelVectors]


@dataclass(frozen=True)
class Size:
    """What the program leaves open (counts)."""

    n_heads: int
    n_layers: int  # at least


def compiled(
    circuit: Circuit, seed: int, style: Style | None = None, size: Size | None = None, name: str = ""
) -> Compiled:
    """The organism of a circuit: the same seed, the same weights and prompts, bit for bit on one machine.

    Args:
        name: Of the organism; the circuit's and the seed's where empty.

    Raises:
        ValueError: the model does not do what its program says, which is measured before it is handed out.
    """
    rng = random.Random(f"{circuit.name} {seed}")
    size = size or Size(n_heads=4, n_layers=rng.randint(3, 4))
    style = style or Style()
    layout = lay_out(circuit.program, size.n_heads, size.n_layers, rng)
    writer = Writer(circuit.program, layout, style, rng.randrange(SEEDS))
    with one_thread():
        tokenizer = word_tokenizer(list(circuit.program.words))
        subject = Subject(writer.model(tokenizer), tokenizer, name or f"{circuit.name}-{seed}", None, None)
        pairs = families(circuit, N_PAIRS, rng)
        used = {prompt for family in pairs.values() for pair in family for prompt in (pair.base, pair.corrupted)}
        fresh = fresh_prompts(circuit, N_FRESH, used, rng)
        links = true_links(circuit.program, layout)
        verified = figures(subject, pairs, fresh, links)
        verified |= {"save_load_difference": reload_difference(subject, sorted(used)), "leak": style.leak}
    _refuse_inexact(circuit, style, verified)
    organism = Organism(
        name=subject.name,
        kind="compiled",
        subject=subject,
        families=pairs,
        links=links,
        truth=circuit.truth,
        verified=verified,
    )
    return Compiled(organism, circuit, layout, style, stacked(writer.directions), writer.channels)


def _refuse_inexact(circuit: Circuit, style: Style, verified: dict[str, float]) -> None:
    bars = {"accuracy": 1.0, "save_load_difference": 0.0}
    bars |= {} if style.leak else {"faithfulness": 1.0, "complement": 0.0}
    missed = [f"{name} {verified[name]:.6f}" for name, bar in bars.items() if abs(verified[name] - bar) > EXACT]
    if missed:
        raise ValueError(
            f"The model of {circuit.name} is not what its program says: {', '.join(missed)}. "
            "Lower the leak, or correct the program."
        )
