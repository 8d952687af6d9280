"""Where each operation of a program stands in the model, and what follows from that: sizes and the true links."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from ...tools import Link
from ._compile_program import POSITIONS, TOKENS, Attend, Channel, Operation, Program

SPARE = 16  # directions that nothing reads, at least (count)


@dataclass(frozen=True)
class Place:
    """Layer, and the head of an `Attend`."""

    layer: int
    head: int | None = None

    @property
    def node(self) -> str:
        """Where the operation writes."""
        return f"mlp_out.{self.layer}" if self.head is None else f"head.{self.layer}.{self.head}"

    def slot(self, kind: str) -> str:
        """Where the operation reads."""
        return f"mlp_in.{self.layer}" if self.head is None else f"{kind}.{self.layer}.{self.head}"


@dataclass(frozen=True)
class Layout:
    """Sizes of the model (counts) and the place of every operation."""

    n_layers: int
    n_heads: int
    d_head: int
    places: Mapping[str, Place]

    @property
    def d_model(self) -> int:
        """Width of the stream."""
        return self.n_heads * self.d_head


def lay_out(program: Program, n_heads: int, n_layers: int, rng: random.Random) -> Layout:
    """Draw a place for every operation, in an order that its inputs allow.

    Args:
        n_layers: Layers at least; more where the longest chain of operations needs more (count).
    """
    earliest, latest_of = _earliest(program), _stages_left(program)
    n_layers = max(n_layers, max(earliest[name] + latest_of[name] for name in earliest) // 2 + 1)
    taken: dict[int, set[int]] = {layer: set() for layer in range(n_layers)}
    stage: dict[str, int] = {}
    places: dict[str, Place] = {}
    for operation in program.operations:
        is_head = isinstance(operation, Attend)
        first = 1 + max((stage[name] for _, name in operation.reads() if name in stage), default=-1)
        last = 2 * n_layers - 1 - latest_of[operation.name]
        free = [s for s in range(first, last + 1) if s % 2 == (0 if is_head else 1)]
        free = [s for s in free if not is_head or len(taken[s // 2]) < n_heads]
        if isinstance(operation, Channel) and operation.onto:  # in another MLP than the one whose output it would move
            free = [s for s in free if s != stage[operation.onto]]
        assert free, f"no layer is left for {operation.name}"
        stage[operation.name] = rng.choice(free)
        layer, head = stage[operation.name] // 2, None
        if is_head:
            head = rng.choice([h for h in range(n_heads) if h not in taken[layer]])
            taken[layer].add(head)
        places[operation.name] = Place(layer, head)
    d_head = max(_head_width(program), -(-_stream_width(program) // n_heads))
    return Layout(n_layers, n_heads, -(-d_head // 4) * 4, places)


def true_links(program: Program, layout: Layout) -> frozenset[Link]:
    """The links through which what the output depends on travels.

    A link that carries positions alone is none of them: it is the same in every prompt of one length, so no
    counterfactual can show it.
    """
    found = {
        (_node(layout, read), layout.places[name].slot(kind))
        for name in program.used
        for kind, read in program.by_name[name].reads()
        if program.varies(read)
    }
    return frozenset(found | {(_node(layout, o.variable), "logits") for o in program.outputs})


def _is_dormant(operation: Operation) -> bool:
    return isinstance(operation, Channel) and operation.onto is not None


def _node(layout: Layout, variable: str) -> str:
    return "embed" if variable in (TOKENS, POSITIONS) else layout.places[variable].node


def _step(operation: Operation, after: int) -> int:
    """The first stage from `after` on at which it can stand: heads at even stages, MLPs at odd ones."""
    return after + (after + (0 if isinstance(operation, Attend) else 1)) % 2


def _earliest(program: Program) -> dict[str, int]:
    found: dict[str, int] = {}
    for operation in program.operations:
        after = 1 + max((found[name] for _, name in operation.reads() if name in found), default=-1)
        found[operation.name] = _step(operation, after)
    return found


def _stages_left(program: Program) -> dict[str, int]:
    """How many stages must follow each operation, for what reads it."""
    found: dict[str, int] = {}
    for operation in reversed(program.operations):
        due = 0
        for reader in program.operations:
            if operation.name in (name for _, name in reader.reads()):
                step = 2 if isinstance(reader, Attend) == isinstance(operation, Attend) else 1
                step += 2 * _is_dormant(reader)
                due = max(due, found[reader.name] + step)
        # A head may be the last to write, but its layer's MLP stands behind it.
        found[operation.name] = max(due, 1 if isinstance(operation, Attend) else 0)
    return found


def _head_width(program: Program) -> int:
    heads = [operation for operation in program.operations if isinstance(operation, Attend)]
    return max((max(len({k for _, k in h.pairs}), len(h.domain)) + 1 for h in heads), default=4)


def _stream_width(program: Program) -> int:
    named = (len(operation.domain) for operation in program.operations)
    return 1 + len(program.words) + program.length + sum(named) + SPARE
