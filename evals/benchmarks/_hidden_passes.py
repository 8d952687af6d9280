"""How often a model was run: one pass is one prompt forward through it, a backward pass counts two.

Counted where every instrument goes through: at the activation of the first MLP. Instruments may repeat work that
another implementation would share, so beside what was counted stands the least that a method needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ...tools import Subject

BACKWARD = 2  # forward passes that one backward pass costs


class Passes:
    """A running count."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, n: int) -> None:
        """Of passes that no module sees."""
        self.count += n


@contextmanager
def counted(subject: Subject) -> Iterator[Passes]:
    """Count all passes of a subject while this is open."""
    passes = Passes()
    first = next(module for name, module in subject.model.named_modules() if name.endswith("mlp.act"))

    def forward(_: nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        rows = output.shape[0]
        passes.add(rows)
        if output.requires_grad:
            passes.add(BACKWARD * rows)

    handle = first.register_forward_hook(forward)
    try:
        yield passes
    finally:
        handle.remove()
