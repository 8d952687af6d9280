"""The neurons that compute an operation: what each reads, its bias, and what it writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._compile_program import NUMBER, Attend, Channel, Lookup, Operation, Pieces

PRE_ACTIVATION = 2.0  # of a channel's neurons where its number is zero: none of them ever closes

Row = tuple[Float[Tensor, " d_model"], float, Float[Tensor, " d_model"]]
Directions = Mapping[str, Mapping[str, Tensor]]
"""Of every variable's labels, in the stream."""


@dataclass(frozen=True)
class ChannelVectors:
    """A channel's directions in the space of neurons, unit vectors: what it reads along, what it writes along."""

    read: Float[Tensor, " d_mlp"]
    write: Float[Tensor, " d_mlp"]

    def padded(self, start: int, d_mlp: int) -> "ChannelVectors":
        """The same over all neurons of an MLP, of which the channel's begin at `start`; in single precision."""
        widened = [torch.zeros(d_mlp, dtype=torch.float64) for _ in range(2)]
        for vector, narrow in zip(widened, (self.read, self.write), strict=True):
            vector[start : start + len(narrow)] = narrow
        return ChannelVectors(*(vector.float() for vector in widened))


def lookup_rows(operation: Lookup, directions: Directions) -> Iterator[Row]:
    """A neuron for each row of the table: 1 where all its labels are there, silent where one is missing."""
    for labels, becomes in operation.table.items():
        read = [directions[variable][label] for variable, label in zip(operation.inputs, labels, strict=True)]
        yield 2 * torch.stack(read).sum(0), 1.0 - 2 * len(read), directions[operation.name][becomes]


def piece_rows(operation: Pieces, directions: Directions) -> Iterator[Row]:
    """A sum of ramps: each begins at a point and changes the slope there. The first neuron is always on."""
    read = torch.stack([w * directions[variable][NUMBER[0]] for variable, w in operation.inputs.items()]).sum(0)
    points = [point for point, _ in operation.points]
    written = [directions[operation.name][label] for _, label in operation.points]
    yield torch.zeros_like(read), 1.0, written[0]
    before = torch.zeros_like(read)
    for i, point in enumerate(points):
        after = torch.zeros_like(read)
        if i + 1 < len(points):
            after = (written[i + 1] - written[i]) / (points[i + 1] - point)
        yield read, -point, after - before
        before = after


def channel_rows(operation: Channel, directions: Directions, vectors: ChannelVectors) -> Iterator[Row]:
    """Neurons that are all open, so that they are linear and a direction among them can carry the number."""
    target = directions[operation.onto or operation.name][NUMBER[0]]
    source = directions[operation.source][NUMBER[0]]
    for into, out in zip(vectors.read, vectors.write, strict=True):
        yield into * source, PRE_ACTIVATION, operation.gain * out * target


def n_neurons(operation: Operation) -> int:
    """How many neurons an operation takes."""
    match operation:
        case Lookup():
            return len(operation.table)
        case Pieces():
            return len(operation.points) + 1
        case Channel():
            return operation.width
        case Attend():
            return 0
