"""What a backward pass makes of the parts that are not linear: their gradients, or the rules of relevance propagation.

| part | gradient | rule (RelP, Rezaei Jafari et al. 2025) |
| --- | --- | --- |
| LayerNorm, RMSNorm, norms of queries and keys | exact | LN-rule (Ali et al. 2022): the denominator is a constant |
| activation f(x) of an MLP | f'(x) | Identity-rule (Jafari et al. 2024): f(x) / x, a constant, times x |
| product of a gate and a linear part | product rule | Half-rule (Arras et al. 2019): half of each side's gradient |
| attention pattern | softmax | as the gradient, or AH-rule (Ali et al. 2022): a constant |
| linear map | itself | 0-rule, which is the gradient too |

Forward values are those of the model under every rule: only gradients change. A ReLU is the same under both columns.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._architectures import Architecture
from ._base import ToolError
from ._block_parts import BlockModules, Norm, wide

TINY = 1e-6
"""Below this size an activation's input is taken as this: 0 / 0 has no value, and f(x) / x has a limit there."""


@dataclass(frozen=True)
class Rules:
    """Which parts follow a rule of relevance propagation; the others have their gradients."""

    norms: bool = False
    mlps: bool = False
    patterns: bool = False


GRADIENT = Rules()


def normed(norm: Norm, x: Float[Tensor, "*any d_model"], rules: Rules) -> Float[Tensor, "*any d_model"]:
    """What a norm makes of a stream, its denominator a constant under the LN-rule."""
    if not rules.norms:
        return norm(x)
    scaled = norm.centre(wide(x)) / norm.scale(x).detach() * norm.weight
    return (scaled if norm.bias is None else scaled + norm.bias).to(x.dtype)


def pulled(
    norm: Norm, x: Float[Tensor, "*any d_model"], gradient: Float[Tensor, "*more d_model"], rules: Rules
) -> Float[Tensor, "*more d_model"]:
    """The gradient before a norm from the one behind it: the transpose of the norm's Jacobian at `x`."""
    inner, centred, scale = gradient * norm.weight, norm.centre(wide(x)), norm.scale(x)
    through = inner / scale
    if not rules.norms:
        through = through - centred * (centred * inner).mean(-1, keepdim=True) / scale**3
    return norm.centre(through)


@contextmanager
def mlps_under(rules: Rules, architecture: Architecture) -> Iterator[None]:
    """Let the activations and gates of all MLPs follow the rules while this is open.

    Raises:
        ToolError: an MLP whose activation cannot be told from its other parts.
    """
    with ExitStack() as stack:
        for layer, modules in enumerate(architecture.blocks() if rules.mlps else []):
            activation, gated = _activation(modules, layer)
            stack.callback(activation.register_forward_hook(_as_constant_times_input).remove)
            if gated:
                stack.callback(modules.mlp_output.register_forward_pre_hook(_half).remove)
        yield


def _activation(modules: BlockModules, layer: int) -> tuple[nn.Module, bool]:
    """The activation of an MLP, and whether what it gives is a gate of another linear part."""
    leaves = [part for part in modules.mlp.modules() if not any(True for _ in part.children())]
    maps = [part for part in leaves if any(True for _ in part.parameters())]
    rest = [part for part in leaves if part not in maps and not isinstance(part, nn.Dropout | nn.Identity)]
    if len(rest) != 1 or len(maps) not in (2, 3):
        raise ToolError(
            f"The MLP of layer {layer} has {len(maps)} matrices and {len(rest)} activations, and no rule is known for "
            "such a one.",
            mend="Use `eap` or `eap_ig`, which need none.",
        )
    return rest[0], len(maps) == 3


def _as_constant_times_input(activation: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    x = args[0]
    small = x.abs() < TINY
    step = torch.full_like(x[..., :1], TINY)
    at_zero = activation.forward(step) / TINY  # `forward` itself, as a call would come here again
    ratio = torch.where(small, at_zero, output / x.masked_fill(small, 1)).detach()
    follows = x * ratio
    return follows + (output - follows).detach()


def _half(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    half = args[0] / 2
    return (half + (args[0] - half).detach(), *args[1:])
