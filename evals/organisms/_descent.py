"""One way down for every organism that is trained: weigh the losses, clip the gradient, take the step, say what it was.

The learning rate warms up and then falls in a line to a twentieth.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

LEAST_RATE = 0.05  # share of the learning rate that is left at the end
LONGEST_GRADIENT = 1.0

Losses = Mapping[str, Float[Tensor, ""]]
Watch = Callable[[int, dict[str, float]], None]
"""Called after each step with the number of steps done and the losses."""


def falling_rate(optimizer: torch.optim.Optimizer, warmup: int, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of the learning rate.

    Args:
        warmup: Steps in which it rises.
        steps: Steps in all.
    """
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warmup) * max(LEAST_RATE, 1 - step / steps)
    )


def descend(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    losses_of: Callable[[int], Losses],
    weights: Mapping[str, float],
    steps: int,
    watch: Watch,
) -> None:
    """Train in place.

    Args:
        losses_of: Draws the batch of a step (counted from 0) and gives its losses by name.
        weights: Of each loss in the sum that is made small.
    """
    for step in range(steps):
        losses = losses_of(step)
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        watch(step + 1, {name: float(loss.detach()) for name, loss in losses.items()})
