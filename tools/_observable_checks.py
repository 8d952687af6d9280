"""Pulled-back functionals held against the model: what automatic differentiation finds, and what a push does."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ._attribution_norm import working_type
from ._block_parts import Norm
from ._pull_back import Point, Pulled, Step, reads
from ._subject import Subject

PUSH = 1e-2  # of the stream's length: small beside it, large beside rounding


def autograd_vector(
    subject: Subject,
    point: Point,
    functional: Float[Tensor, " vocab"],
    path: Sequence[Step],
    stream: Float[Tensor, " d_model"],
) -> Float[Tensor, " d_model"]:
    """Gradient of the functional by the stream at the path's beginning, along the path alone, norms live.

    Forwards through the model's own MLPs and norms with patterns held: nothing is transposed by hand.
    """
    pushed = torch.zeros_like(stream, requires_grad=True)
    places = _written_at(point, path)
    with torch.enable_grad():
        change = pushed
        for step, at in reversed(list(zip(path, places, strict=True))):
            through = _head if step.kind == "head" else _mlp
            change = through(subject, point, step, at, change)
        W_U = working_type(subject.W_U)(subject.W_U)
        told = subject.final_norm(point.end + change) @ (W_U @ functional.to(W_U))
        (gradient,) = torch.autograd.grad(told, pushed)
    return gradient


def slope_on_model(subject: Subject, point: Point, functional: Float[Tensor, " vocab"], pulled: Pulled) -> float:
    """Change of the functional when the model's stream is pushed along a vector, per unit of the push (nats)."""
    at, end = pulled.place, f"resid_post.{subject.shape.n_layers - 1}"
    assert at is not None, "a functional without a prompt has no place"
    far = PUSH * point.stream(pulled.site, at).norm()
    W_U = working_type(subject.W_U)(subject.W_U)
    wide = pulled.vector.cpu().double()  # squares of little are zero in single precision
    told: list[float] = []
    for sign in (1, -1):

        def push(value: Tensor, sign: int = sign) -> Tensor:
            value = value.clone()
            value[:, at] += (sign * far.item() * wide / wide.norm()).to(value)
            return value

        run = subject.run(subject.tokenise([point.prompt]), read=[end], write={pulled.site: push})
        final = subject.final_norm(working_type(W_U)(run.sites[end][0, -1]))
        told.append((final @ (W_U @ functional.to(W_U))).item())
    return (told[0] - told[1]) / (2 * far.item())


def _written_at(point: Point, path: Sequence[Step]) -> list[int]:
    """Per component the token that it writes at: the last, or the one that the head behind it reads."""
    at, found = point.last, []
    for step in path:
        found.append(at)
        at = at if step.place is None else step.place
    return found


def _head(
    subject: Subject, point: Point, step: Step, at: int, change: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """How what a head adds to the stream changes when the stream that it reads does."""
    weights = subject.weights(step.layer)
    wide = working_type(weights.W_V)
    assert step.place is not None, f"{step} without a prompt"
    before = point.stream(reads(subject, step), step.place)
    value = (weights.norm1(before + change) - weights.norm1(before)) @ wide(weights.W_V[step.head])
    look = point.sites[f"pattern.{step.layer}"][step.head, at, step.place]
    return _behind(weights.post_attention, point.together(step.layer, at), look * value @ wide(weights.W_O[step.head]))


def _mlp(
    subject: Subject, point: Point, step: Step, at: int, change: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """How what an MLP adds to the stream changes when the stream that it reads does."""
    weights, module = subject.weights(step.layer), subject.architecture.blocks()[step.layer].mlp
    before = point.stream(reads(subject, step), at)
    dtype = subject.model.dtype
    clean, moved = (
        working_type(before)(module(weights.norm2(x)[None, None].to(dtype)))[0, 0] for x in (before, before + change)
    )
    return _behind(weights.post_mlp, clean, moved - clean)


def _behind(
    norm: Norm | None, value: Float[Tensor, " d_model"], change: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """A change of what passes the norm behind a component, behind that norm."""
    return change if norm is None else norm(value + change) - norm(value)
