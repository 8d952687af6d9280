"""A linear functional of the logits pulled back through a path of components to the stream that the path begins at.

With y what listens to a component's output, what listens to its input is

| component | what listens to its input |
| --- | --- |
| norm of weight w, at x with denominator s | C(u - n (n.u) / d) / s with u = w y and n = Cx / s |
| the same, `frozen` | C u / s |
| the same, without a prompt | C u: the direction alone |
| head, from query q to key k | A[q, k] W_V W_O y, and A = 1 without a prompt |
| MLP, at a point | its derivative there, transposed |

C takes off the mean (LayerNorm) or nothing (RMSNorm). Patterns are held: what decides where a head looks is no part of
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ._attribution_norm import working_type
from ._base import ToolError
from ._block_parts import Norm
from ._circuit_graph import END, CircuitGraph
from ._open_mlp import OpenMlp
from ._positions import token_positions
from ._subject import Subject

Norms = Literal["tangent", "frozen", "direction"]


@dataclass(frozen=True)
class Step:
    """A component of a path, and the token that a head reads; none without a prompt."""

    kind: Literal["head", "mlp_out"]
    layer: int
    head: int
    place: int | None

    @property
    def node(self) -> str:
        """Its name."""
        return f"head.{self.layer}.{self.head}" if self.kind == "head" else f"mlp_out.{self.layer}"


@dataclass(frozen=True)
class Point:
    """The prompt at which maps that are not linear have their tangents."""

    subject: Subject
    prompt: str
    sites: Mapping[str, Tensor]  # without the batch axis
    last: int  # token

    @property
    def end(self) -> Float[Tensor, " d_model"]:
        """The stream that the logits are made of."""
        return self.sites[f"resid_post.{self.subject.shape.n_layers - 1}"][self.last]

    def stream(self, site: str, at: int) -> Float[Tensor, " d_model"]:
        """The stream at one token."""
        kind, layer = site.split(".")
        if kind != "resid_mid":
            return self.sites[site][at]
        return self.sites[f"resid_pre.{layer}"][at] + self.sites[f"attn_out.{layer}"][at]

    def together(self, layer: int, at: int) -> Float[Tensor, " d_model"]:
        """What all heads write at one token, in front of a norm behind them."""
        weights = self.subject.weights(layer)
        wide = working_type(weights.W_O)
        heads = torch.stack([self.sites[f"head.{layer}.{head}"][at] for head in range(self.subject.shape.n_heads)])
        return einsum(heads, wide(weights.W_O), "head dim, head dim model -> model") + wide(weights.b_O)


@dataclass(frozen=True)
class Pulled:
    """A functional of the stream."""

    vector: Float[Tensor, " d_model"]
    site: str
    place: int | None


def parse_path(subject: Subject, path: Sequence[str], prompt: str, entity: str) -> tuple[Step, ...]:
    """The steps of a path, the last component of the model first.

    Raises:
        ToolError: what is no component, components in another order, or a token that is missing or has no place.
    """
    graph = CircuitGraph(subject.shape)
    steps: list[Step] = []
    read = END
    for text in path:
        name, at, position = text.partition("@")
        site = subject.site(name)
        if site.kind not in ("head", "mlp_out"):
            raise ToolError(
                f"`{text}` is no component of a path.", mend="Write head.LAYER.HEAD@POSITION or mlp_out.LAYER."
            )
        if site.kind == "mlp_out" and not prompt:
            raise ToolError(f"`{text}` has a tangent at a prompt alone.", mend="For MLPs, give `prompt`.")
        if str(site) not in graph.read_by(read):
            raise ToolError(
                f"`{site}` does not come before what reads it, `{read}`.",
                mend="Name the components from the last to the first.",
            )
        place = _place(subject, text, site.kind == "head", position if at else None, prompt, entity)
        assert site.layer is not None
        steps.append(Step(site.kind, site.layer, site.head or 0, place))  # pyright: ignore[reportArgumentType]
        slots = graph.slots_of(str(site))
        read = slots[-1]  # the values of a head
    return tuple(steps)


def _place(subject: Subject, text: str, is_head: bool, position: str | None, prompt: str, entity: str) -> int | None:
    due = is_head and bool(prompt)
    if due != (position is not None):
        raise ToolError(
            f"`{text}` {'names no token to read' if due else 'names a token'}.",
            mend="With a prompt, write heads as head.LAYER.HEAD@POSITION; without one, and for MLPs, name no position.",
        )
    if position is None:
        return None
    return one_place(subject, prompt, position, entity, f"`{text}`")


def one_place(subject: Subject, prompt: str, position: str, entity: str, name: str) -> int:
    """The token that a position stands for in one prompt.

    Raises:
        ToolError: it stands for several, for none, or for what tells two prompts apart.
    """
    if position == "differs":
        raise ToolError(f"{name}: one prompt alone has no position `differs`.", mend="Use last, entity, or an integer.")
    places = token_positions(subject, prompt, position, entity)
    if len(places) != 1:
        raise ToolError(f"{name} stands for {len(places)} tokens.", mend="Name one token by its number.")
    return places[0]


def point_at(subject: Subject, prompt: str) -> Point:
    """Run a prompt and keep what tangents need."""
    layers = range(subject.shape.n_layers)
    kinds = ("resid_pre", "attn_out", "mlp_in", "mlp_act", "pattern")
    names = [f"{kind}.{layer}" for layer in layers for kind in kinds] + [f"resid_post.{layers[-1]}"]
    names += [f"head.{layer}.{head}" for layer in layers for head in range(subject.shape.n_heads)]
    tokens = subject.tokenise([prompt])
    run = subject.run(tokens, read=names)
    wide = working_type(run.sites["resid_pre.0"])
    sites = {name: wide(value[0]) for name, value in run.sites.items()}
    for name, value in sites.items():
        if not value.isfinite().all():
            raise ToolError(
                f"`{name}` of {subject.name} is not finite on {prompt!r}.",
                mend="Check the weights for NaN, or load the model in float32.",
            )
    return Point(subject, prompt, sites, tokens.lengths[0] - 1)


class PullBack:
    """Pulls functionals back through a subject, at one prompt or without any."""

    def __init__(self, subject: Subject, point: Point | None, norms: Norms) -> None:
        self.subject, self.point, self.norms = subject, point, norms

    def along(self, functional: Float[Tensor, " vocab"], path: Sequence[Step]) -> Pulled:
        """What listens to the stream in front of the path's first component.

        Args:
            functional: Weight of each token's logit, before any cap.
            path: From the last component to the first; none for the stream behind the last block.
        """
        W_U, at = working_type(self.subject.W_U)(self.subject.W_U), None if self.point is None else self.point.last
        site = f"resid_post.{self.subject.shape.n_layers - 1}"
        y = self._norm(self.subject.final_norm, W_U @ functional.to(W_U), self.point and self.point.end)
        for step in path:
            y = self._head(step, y, at) if step.kind == "head" else self._mlp(step, y, at)
            site, at = reads(self.subject, step), at if step.place is None else step.place
        return Pulled(y, site, at)

    def _head(self, step: Step, y: Float[Tensor, " d_model"], at: int | None) -> Float[Tensor, " d_model"]:
        weights, point = self.subject.weights(step.layer), self.point
        wide = working_type(weights.W_V)
        if point is None:
            y = self._norm(weights.post_attention, y, None)
            return self._norm(weights.norm1, wide(weights.W_V[step.head]) @ (wide(weights.W_O[step.head]) @ y), None)
        assert at is not None
        assert step.place is not None, f"{step} of {point.prompt!r} passed validation"
        y = self._norm(weights.post_attention, y, point.together(step.layer, at))
        y = wide(weights.W_V[step.head]) @ (wide(weights.W_O[step.head]) @ y)
        y = point.sites[f"pattern.{step.layer}"][step.head, at, step.place] * y
        return self._norm(weights.norm1, y, point.stream(reads(self.subject, step), step.place))

    def _mlp(self, step: Step, y: Float[Tensor, " d_model"], at: int | None) -> Float[Tensor, " d_model"]:
        point = self.point
        assert point is not None, f"{step} without a prompt passed validation"
        assert at is not None
        weights = self.subject.weights(step.layer)
        wide = working_type(weights.W_down)
        neurons, mlp_in = (point.sites[f"{kind}.{step.layer}"][at] for kind in ("mlp_act", "mlp_in"))
        mlp = OpenMlp.of(self.subject, step.layer)
        mlp.prove(self.subject, step.layer, mlp_in, neurons)
        y = self._norm(weights.post_mlp, y, neurons @ wide(weights.W_down) + wide(weights.b_down))
        y = torch.func.vjp(mlp, mlp_in)[1](wide(weights.W_down) @ y)[0]
        return self._norm(weights.norm2, y, point.stream(reads(self.subject, step), at))

    def _norm(
        self, norm: Norm | None, y: Float[Tensor, " d_model"], x: Float[Tensor, " d_model"] | None
    ) -> Float[Tensor, " d_model"]:
        if norm is None:
            return y
        u = y * norm.weight.to(y.dtype)
        if x is None or self.norms == "direction":
            return norm.centre(u)
        scale = norm.scale(x)
        if self.norms == "tangent":
            unit = norm.centre(x) / scale
            u = u - unit * (unit @ u) / len(u)
        return norm.centre(u) / scale


def reads(subject: Subject, step: Step) -> str:
    """The stream that a component reads."""
    behind_attention = step.kind == "mlp_out" and not subject.shape.parallel
    return f"{'resid_mid' if behind_attention else 'resid_pre'}.{step.layer}"
