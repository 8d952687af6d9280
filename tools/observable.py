"""Observables: what a model listens to, found by pulling a question about its logits back to its stream.

ObsProp: Dunefsky, Cohan 2023, "Observable Propagation: Uncovering Feature Vectors in Transformers". An observable is a
linear functional of the logits, such as answer minus foil. Along a stated path of components it becomes a functional of
the stream that the path begins at: a feature vector y, and x.y is how much of it a stream x has. Through heads alone
the vector's direction needs no data; an MLP, the denominators of norms and where a head looks are taken at one prompt.

The coupling of y1 with y2 is y1.y2 / |y1|^2: of streams that have one unit of y1 and are otherwise spread evenly in all
directions, the mean of what they have of y2.

Deviations from the paper: a norm's whole tangent is taken where a prompt is given, the paper's approximation (its
denominator held) on request and always beside it; the MLP's tangent is taken at the prompt, not at a boundary of its
neurons.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._observable_checks import autograd_vector, slope_on_model
from ._pull_back import Norms, Point, PullBack, Pulled, Step, one_place, parse_path, point_at
from ._reader import Reader
from ._subject import Subject

Finite = Annotated[float, Field(allow_inf_nan=False)]


class TokenWeight(Frozen):
    """One token's part of an observable."""

    token: str = Field(description="Word, a single token.")
    weight: Finite = Field(ge=-1e6, le=1e6, description="What its logit is multiplied with.")


class Observable(Frozen):
    """A question about the logits, and the path along which it is pulled back."""

    answer: str = Field("", description="Next word whose logit counts up.")
    foil: str = Field("", description="Next word whose logit counts down.")
    weights: tuple[TokenWeight, ...] = Field((), description="Instead of answer and foil: words with weights.")
    path: tuple[str, ...] = Field(
        (),
        description="Components from the last to the first: head.LAYER.HEAD@POSITION (the token it reads; no position "
        "without a prompt), mlp_out.LAYER.",
    )
    prompt: str = Field("", description="Where tangents are taken; none for the direction alone, through heads only.")
    entity: str = Field("", description="Word of the prompt at position `entity`.")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> "Observable":
        if bool(self.weights) == bool(self.answer) or bool(self.answer) != bool(self.foil):
            raise ValueError("give answer and foil, or weights")
        return self


class Reading(Frozen):
    """A prompt that vectors are read on."""

    prompt: str = Field(description="Prompt to run.")
    entity: str = Field("", description="Word at position `entity`.")


class ObservableArgs(ToolArgs):
    observables: tuple[Observable, ...] = Field(description="What to pull back.", min_length=1)
    norms: Norms = Field(
        "tangent",
        description="Norms at the prompt: their tangent, their denominators held, or their direction alone.",
    )
    top_k: int = Field(5, ge=1, description="Tokens to report whose embedding has most of it (count).")
    read_on: tuple[Reading, ...] = Field((), description="Prompts to measure how much of each vector they have.")
    read_at: str = Field("last", description="Token of those prompts: last, entity, or an integer.")
    give_vectors: bool = Field(False, description="Whether the vectors themselves are part of the result.")


class FeatureVector(Frozen):
    """What one observable listens to."""

    site: str = Field(description="The stream that it listens to.")
    position: int | None = Field(description="The token; none without a prompt.")
    length: float = Field(description="Length of the vector: change of the observable along it (nats per unit).")
    value: float | None = Field(
        description="What the prompt's stream gives along the path with denominators held (nats); none without one."
    )
    cosine_with_frozen: float | None = Field(
        description="Cosine with the vector that denominators held would give; none without a prompt."
    )
    autograd_error: float | None = Field(
        description="Distance from the gradient that automatic differentiation finds along the path with norms live, "
        "over its length: 0 is due for `tangent`; none without a prompt."
    )
    slope_on_model: float | None = Field(
        description="Change of the observable when the model is pushed along the vector, by all paths and with live "
        "patterns (nats per unit); equals the length where this path is all there is; none without a prompt."
    )
    most: tuple[tuple[str, float], ...] = Field(description="Tokens whose embedding has most of it, with x.y.")
    least: tuple[tuple[str, float], ...] = Field(description="Tokens whose embedding has least of it, with x.y.")
    readings: tuple[float, ...] = Field(
        description="x.y with denominators held, at the same site of each prompt to read on (nats): a tangent would "
        "read next to nothing of the stream that it is taken at."
    )
    vector: tuple[float, ...] = Field(description="The vector, where it was asked for.")


class ObservableResult(ToolResult):
    vectors: tuple[FeatureVector, ...] = Field(description="Per observable, in the order asked.")
    cosine: tuple[tuple[float, ...], ...] = Field(description="Cosine of every two vectors.")
    coupling: tuple[tuple[float, ...], ...] = Field(
        description="Row y1, column y2: mean of y2 over streams with one unit of y1, y1.y2 / |y1|^2."
    )


@tool
def observable(subject: Subject, args: ObservableArgs, progress: Progress = silent) -> ObservableResult:
    """Find the direction in the stream that a question about the answer listens to, and how questions share it.

    Raises:
        ToolError: a word that is no single token, what is no component, components in another order, a token that a
            path does not have, or a path that carries nothing.
    """
    asked = [
        (_functional(subject, one), parse_path(subject, one.path, one.prompt, one.entity)) for one in args.observables
    ]
    places = [_one_place(subject, one, args.read_at) for one in args.read_on]
    points = {prompt: point_at(subject, prompt) for prompt in {one.prompt for one in args.observables} if prompt}
    found: list[FeatureVector] = []
    vectors: list[Tensor] = []
    for i, (one, (functional, path)) in enumerate(zip(args.observables, asked, strict=True)):
        progress(i, len(asked), " ".join(one.path) or "no component")
        point = points.get(one.prompt)
        pulled = PullBack(subject, point, args.norms).along(functional, path)
        if not pulled.vector.any():
            raise ToolError(
                f"Along {' '.join(one.path) or 'no component'}, nothing of the observable is left.",
                mend="Choose heads that look at the tokens named, and a path whose weights are not zero.",
            )
        held = PullBack(subject, point, "frozen").along(functional, path)
        readings = _readings(subject, args.read_on, places, held)
        found.append(_feature(subject, args, functional, path, point, (pulled, held), readings))
        vectors.append(pulled.vector)
    progress(len(asked), len(asked), "pulled back")
    # In double precision: over an attention of 1e-20, squares of single precision are zero.
    together = torch.stack(vectors).cpu().double()
    inner = together @ together.T
    lengths = inner.diagonal().sqrt()
    return ObservableResult(
        vectors=tuple(found),
        cosine=_rows(inner / lengths / lengths[:, None]),
        coupling=_rows(inner / lengths.square()[:, None]),
    )


def _feature(
    subject: Subject,
    args: ObservableArgs,
    functional: Float[Tensor, " vocab"],
    path: Sequence[Step],
    point: Point | None,
    both: tuple[Pulled, Pulled],
    readings: Sequence[float],
) -> FeatureVector:
    """One vector as it was asked for, with what it says where denominators are held beside it."""
    pulled, held = both
    y = pulled.vector
    has = subject.W_E.to(y.dtype) @ y
    order, wide = has.argsort(descending=True), y.cpu().double()
    top_k = min(args.top_k, len(order))
    names = [order[:top_k].tolist(), order[-top_k:].flip(0).tolist()]
    most, least = (tuple(zip(subject.token_strings(ids), has[ids].tolist(), strict=True)) for ids in names)
    value = cosine = error = slope = None
    if point is not None:
        assert held.place is not None, "a functional without a place at a prompt"
        stream = point.stream(held.site, held.place)
        value = (held.vector @ stream).item()
        frozen = held.vector.cpu().double()
        cosine = (frozen @ wide / (frozen.norm() * wide.norm())).item()
        gradient = autograd_vector(subject, point, functional, path, stream).cpu().double()
        error = ((wide - gradient).norm() / gradient.norm()).item()
        slope = slope_on_model(subject, point, functional, pulled)
    return FeatureVector(
        site=pulled.site,
        position=pulled.place,
        length=wide.norm().item(),
        value=value,
        cosine_with_frozen=cosine,
        autograd_error=error,
        slope_on_model=slope,
        most=most,
        least=least,
        readings=tuple(readings),
        vector=tuple(y.tolist()) if args.give_vectors else (),
    )


def _one_place(subject: Subject, reading: Reading, position: str) -> int:
    return one_place(subject, reading.prompt, position, reading.entity, f"`{position}` of {reading.prompt!r}")


def _readings(subject: Subject, read_on: Sequence[Reading], places: Sequence[int], pulled: Pulled) -> list[float]:
    """How much of a vector the stream of each prompt has."""
    found: list[float] = []
    if not read_on:
        return found
    for rows, part in subject.passes(subject.tokenise([one.prompt for one in read_on])):
        streams = subject.run(part, read=[pulled.site]).sites[pulled.site].to(pulled.vector.dtype)
        found += [(stream[at] @ pulled.vector).item() for stream, at in zip(streams, places[rows], strict=True)]
    return found


def _rows(matrix: Float[Tensor, "_ _"]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def _functional(subject: Subject, asked: Observable) -> Float[Tensor, " vocab"]:
    weights = asked.weights or (
        TokenWeight(token=asked.answer, weight=1),
        TokenWeight(token=asked.foil, weight=-1),
    )
    functional = torch.zeros(subject.shape.n_vocab, device=subject.device)
    for one in weights:
        token = subject.answer_token(asked.prompt, one.token) if asked.prompt else _token(subject.reader, one.token)
        functional[token] += one.weight
    if not functional.any():
        raise ToolError("The observable gives no token any weight.", mend="Give two different words, or weights.")
    return functional


def _token(reader: Reader, word: str) -> int:
    """The token of a word that stands behind no prompt: as after a space where there is such a token."""
    for text in (f" {word.strip()}", word):
        ids = [i for i in reader.encode(text) if i not in reader.special_ids]
        if len(ids) == 1:
            return ids[0]
    raise ToolError(f"The tokenizer splits {word!r}.", mend="Give words that are single tokens, or a prompt.")
