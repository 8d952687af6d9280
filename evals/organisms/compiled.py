"""Organisms whose circuits are compiled by hand into stock GPT-2 weights: every link is known before anything is run.

    python -m vesalius.evals.organisms.compiled --seed 0 --out DIR

builds the named circuits, a set of generated ones and the nulls, verifies each, and writes a folder for each in `DIR`.
The same seed gives the same weights and prompts, bit for bit, on one machine; a new seed gives circuits never seen.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from . import _compile_named as named_circuits, _compile_rasp as counting_circuits
from ._compile import Compiled, compiled
from ._compile_facts import facts
from ._compile_files import write_organism
from ._compile_generated import generated_one, two_hop_in_context
from ._compile_tasks import Circuit
from ._compile_weights import Style
from ._new_folder import new_folder
from ._organism import Build, Organism
from .nulls import NULLS, dormant_compiled

CIRCUITS: Mapping[str, Callable[[random.Random], Circuit]] = {
    "induction": named_circuits.induction,
    "two_hop": named_circuits.two_hop,
    "two_hop_in_context": two_hop_in_context,
    "self_repair": named_circuits.self_repair,
    "self_repair_shared": named_circuits.self_repair_shared,
    "previous_token": named_circuits.previous_token,
    "copy_at_offset": named_circuits.copy_at_offset,
    "first_token": named_circuits.first_token,
    "count": counting_circuits.count,
    "share_so_far": counting_circuits.share,
    "parity": counting_circuits.parity,
    "majority": counting_circuits.majority,
    "most_frequent": counting_circuits.most_frequent,
    "brackets": counting_circuits.brackets,
    "facts": facts,
}
N_GENERATED, N_DORMANT, N_NULLS = 30, 10, 4  # written by the command (counts); nulls of each kind


def named(name: str, seed: int, leak: float = 0.0) -> Organism:
    """A named circuit.

    Args:
        leak: About what one distractor adds to a logit, as a share of the answer's.

    Raises:
        ValueError: no circuit of that name, or a leak that drowns the answer.
    """
    return compiled_circuit(name, seed, leak).organism


def compiled_circuit(name: str, seed: int, leak: float = 0.0) -> Compiled:
    """A named circuit with all that its program says of it.

    Raises:
        ValueError: no circuit of that name, or a leak that drowns the answer.
    """
    if name not in CIRCUITS:
        raise ValueError(f"There is no circuit {name!r}. Circuits: {', '.join(CIRCUITS)}.")
    return compiled(CIRCUITS[name](random.Random(f"{name} {seed}")), seed, Style(leak=leak))


COMPILED: Mapping[str, Build] = {name: partial(named, name) for name in CIRCUITS}


def generated(seed: int, n: int = N_GENERATED) -> Iterator[Organism]:
    """So many circuits drawn from a seed, one after the other.

    Raises:
        ValueError: fewer than one.
    """
    return (one.organism for one in _generated(seed, n))


def _generated(seed: int, n: int) -> Iterator[Compiled]:
    if n < 1:
        raise ValueError(f"{n} circuits were asked for. Ask for at least one.")
    return (generated_one(seed, index) for index in range(n))


def rebuild(seed: int, out: Path, n_generated: int, say: Callable[[str], None]) -> int:
    """Build, verify and write every organism of a seed, all or none.

    Returns:
        How many were written.

    Raises:
        FileExistsError: the folder is there already.
        ValueError: a model does not do what its program says.
    """
    n_written = 0

    def put(folder: Path, organism: Organism, one: Compiled | None) -> None:
        nonlocal n_written
        content = write_organism(organism, folder / organism.name, one)
        n_written += 1
        shown = ", ".join(f"{key} {value:.4g}" for key, value in content["verified"].items())
        say(f"{organism.name}: {len(organism.links)} links, {shown}")

    with new_folder(out) as folder:
        for name in CIRCUITS:
            one = compiled_circuit(name, seed)
            put(folder, one.organism, one)
        for one in _generated(seed, n_generated):
            put(folder, one.organism, one)
        for i in range(N_DORMANT):
            one = dormant_compiled(seed * N_DORMANT + i)
            put(folder, one.organism, one)
        for build in NULLS.values():
            for i in range(N_NULLS):
                put(folder, build(seed * N_NULLS + i), None)
    return n_written


def main(argv: list[str] | None = None) -> int:
    """Read the command line and write the organisms."""
    parser = argparse.ArgumentParser(prog="python -m vesalius.evals.organisms.compiled", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="decides every circuit, place, weight and prompt")
    parser.add_argument("--generated", type=int, default=N_GENERATED, help="generated circuits (count)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    given = parser.parse_args(argv)
    try:
        n = rebuild(given.seed, given.out, given.generated, lambda line: print(line, file=sys.stderr))
    except (FileExistsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{n} organisms in {given.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
