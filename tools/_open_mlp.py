"""An MLP taken apart: the linear maps that read its input, and the curve that makes neurons of what they give.

Which modules these are is found from the MLP itself: linear maps are what holds a matrix and is not the last one, the
curve is what holds no weights. One map is the plain MLP, two are the gated one, gate first. What was found is proved on
the prompts at hand, or the model is refused.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._attribution_norm import working_type
from ._base import ToolError
from ._block_parts import zeros_if_none
from ._proof import TOLERANCE
from ._split_rules import Parts, Rules
from ._subject import Subject


@dataclass(frozen=True)
class OpenMlp:
    """The inside of one block's MLP."""

    maps: tuple[Float[Tensor, "d_model d_mlp"], ...]
    biases: tuple[Float[Tensor, " d_mlp"], ...]
    activation: nn.Module

    @classmethod
    def of(cls, subject: Subject, layer: int) -> "OpenMlp":
        """The MLP of one block.

        Raises:
            ToolError: it is built in a way that is not known here.
        """
        modules = subject.architecture.blocks()[layer]
        leaves: list[Any] = [leaf for leaf in modules.mlp.modules() if not list(leaf.children())]
        linear = [leaf for leaf in leaves if leaf is not modules.mlp_output and _has_matrix(leaf)]
        curves = [leaf for leaf in leaves if not list(leaf.parameters()) and not isinstance(leaf, nn.Dropout)]
        if len(linear) not in (1, 2) or len(curves) != 1:
            raise _unknown(subject, layer, f"{len(linear)} maps and {len(curves)} curves")
        wide = working_type(linear[0].weight)
        maps = [one.weight.T if isinstance(one, nn.Linear) else one.weight for one in linear]
        biases = [zeros_if_none(one.bias, W) for one, W in zip(linear, maps, strict=True)]
        return cls(tuple(map(wide, maps)), tuple(map(wide, biases)), curves[0])

    def neurons(self, *inside: Float[Tensor, "*any d_mlp"]) -> Float[Tensor, "*any d_mlp"]:
        """Neurons from what the maps give."""
        first, *more = inside
        return self.activation(first) * more[0] if more else self.activation(first)

    def __call__(self, mlp_in: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_mlp"]:
        """Neurons from the MLP's input."""
        return self.neurons(*(mlp_in @ W + b for W, b in zip(self.maps, self.biases, strict=True)))

    def split(self, rules: Rules, mlp_in: Parts) -> Parts:
        """Both parts of the neurons."""
        inside = [
            rules.settled(rules.constant(given, b))
            for W, b in zip(self.maps, self.biases, strict=True)
            for given in (mlp_in.through(lambda x, W=W: x @ W),)
        ]
        return rules.curve(self.neurons, *inside)

    def prove(
        self,
        subject: Subject,
        layer: int,
        mlp_in: Float[Tensor, "*any d_model"],
        mlp_act: Float[Tensor, "*any d_mlp"],
    ) -> None:
        """Refuse a model whose neurons are not what these parts make of its input."""
        with torch.no_grad():
            error = (self(mlp_in) - mlp_act).abs().max().item() / max(mlp_act.abs().max().item(), 1e-6)
        if not error <= TOLERANCE[subject.model.dtype]:
            raise _unknown(subject, layer, f"parts that miss its neurons by {error:.2g} of the largest")


def _has_matrix(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2


def _unknown(subject: Subject, layer: int, found: str) -> ToolError:
    return ToolError(
        f"How the MLP of layer {layer} of {subject.name} makes its neurons is not known: it has {found}.",
        mend="Use a plain checkpoint of a supported family: one or two linear maps, one activation, one last map.",
    )
