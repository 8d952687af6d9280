"""A dictionary as its files describe it, before its tensors are read, and how it is put on a subject.

Published dictionaries read places that differ from our sites by something linear, which goes into the weights here:

- `before_gain`: the MLP's input before its norm's weight g and bias b. What reads n = (x - b) / g reads x through
  W / g.
- `centred`: the stream of a model whose writing weights were centred (TransformerLens' default for LayerNorm), so the
  encoder saw the value less its mean. A dictionary that rebuilds such a site leaves the mean as it is: it passes beside
  the features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from ._base import ToolError
from ._block_parts import Norm
from ._dictionary import Activation, LayerStats, Transcoder
from ._dictionary_hooks import Bend, Hook
from ._dictionary_tensors import require_room
from ._subject import Subject


@dataclass(frozen=True)
class SourceLayer:
    """What the headers of one layer's files say, and how its tensors are read: on the CPU, in single precision."""

    layer: int
    reads_at: str
    writes_at: str
    d_model: int
    n_features: int
    activation: Activation
    k: int | None
    n_numbers: int  # in all its tensors
    read: Callable[[], Transcoder]
    n_later: int = 0  # layers after its own that it writes to
    skips: bool = False
    bends: tuple[Bend, ...] = ()
    centred: bool = False


@dataclass(frozen=True)
class Source:
    """A dictionary's files."""

    format: str
    name: str
    layers: tuple[SourceLayer, ...]
    fingerprint: str | None = None  # of the weights it was trained on; no published format tells
    model: str = ""  # that it says it was trained on; empty where it does not say
    stats: tuple[LayerStats, ...] = ()

    @property
    def trained_on(self) -> str:
        """The fingerprint, or what stands in for one."""
        return self.fingerprint or f"claims {self.model or 'no model'}"


def bends_of(reads: Hook, writes: Hook) -> tuple[Bend, ...]:
    """In which ways the values at these places differ from our sites.

    Raises:
        ToolError: what is written differs in a way that only what is read may.
    """
    if writes.bend == "before_gain":
        raise ToolError(
            "A dictionary that writes before a norm's weight cannot be used here.",
            mend="Give one that writes the stream, or attention's or the MLP's output.",
        )
    return tuple(hook.bend for hook in (reads, writes) if hook.bend is not None)


def gathered(format_name: str, name: str, layers: Sequence[SourceLayer], model: str) -> Source:
    """A published dictionary of these layers, in ascending order.

    Raises:
        ToolError: no layer, or one twice.
    """
    ordered = tuple(sorted(layers, key=lambda one: one.layer))
    if not ordered:
        raise ToolError(f"{name} has no layer.", mend="Give a folder that holds a dictionary.")
    for one, following in pairwise(ordered):
        if one.layer == following.layer:
            raise ToolError(f"{name} has several dictionaries for layer {one.layer}.", mend="Name the folder of one.")
    return Source(format_name, name, ordered, model=model)


def check_fit(source: Source, subject: Subject) -> None:
    """Refuse a dictionary that cannot be put on a subject, before its tensors are read.

    Raises:
        ToolError: another width, a layer or site that the subject lacks, or more numbers than memory holds.
    """
    shape, mend = subject.shape, "Train it again for this model, or give one that was made for it."
    for one in source.layers:
        if one.layer + one.n_later >= shape.n_layers:
            raise ToolError(
                f"Dictionary `{source.name}` has a layer {one.layer + one.n_later}, which {subject.name} lacks: its "
                f"layers are 0..{shape.n_layers - 1}.",
                mend=mend,
            )
        if one.d_model != shape.d_model:
            raise ToolError(
                f"Dictionary `{source.name}` does not fit the sizes of {subject.name}: it is {one.d_model} wide, the "
                f"model's stream {shape.d_model}.",
                mend=mend,
            )
        if "before_post_norm" in one.bends and subject.weights(one.layer).post_mlp is not None:
            raise ToolError(
                f"Dictionary `{source.name}` stands in for what the MLP returns before the norm behind it, which is no "
                f"site of {subject.name}.",
                mend="Give one that was trained on hook_mlp_out.",
            )
        for site in (one.reads_at, one.writes_at):
            subject.site(f"{site}.{one.layer}")
    size = subject.model.dtype.itemsize
    largest = 8 * max(one.n_numbers for one in source.layers)  # read in single precision, and changed into a copy
    what = f"Dictionary `{source.name}`"
    total = sum(one.n_numbers for one in source.layers) * size
    on_cpu = subject.device.type == "cpu"
    require_room(what, total + (largest if on_cpu else 0), subject.device)
    if not on_cpu:
        require_room(f"A layer of dictionary `{source.name}`", largest, "cpu")


def put_on(source: Source, subject: Subject) -> tuple[Transcoder, ...]:
    """The layers, on the subject's device and in its element type, reading and writing its own sites.

    Raises:
        ToolError: tensors that cannot be read, or a norm whose weight cannot be divided by.
    """
    layers = []
    for one in source.layers:
        made = one.read()
        if "before_gain" in one.bends:
            made = _behind_gain(made, subject.weights(one.layer).norm2, source.name)
        if one.centred and subject.final_norm.centred:
            made = _centring(made)
        layers.append(_moved(made, subject))
    return tuple(layers)


def _behind_gain(made: Transcoder, norm: Norm, name: str) -> Transcoder:
    gain = norm.weight.detach().cpu().float()
    if (gain == 0).any():
        raise ToolError(
            f"Dictionary `{name}` reads layer {made.layer} before its norm's weight, which is 0 in places here.",
            mend="Use a dictionary that was trained on the MLP's input itself.",
        )
    W_enc = made.W_enc / gain
    W_skip = None if made.W_skip is None else made.W_skip / gain[:, None]
    b_enc, b_dec = made.b_enc, made.b_dec
    if norm.bias is not None:
        bias = norm.bias.detach().cpu().float()
        b_enc = b_enc - W_enc @ bias
        b_dec = b_dec if W_skip is None else b_dec - bias @ W_skip
    return replace(made, W_enc=W_enc, b_enc=b_enc, b_dec=b_dec, W_skip=W_skip)


def _centring(made: Transcoder) -> Transcoder:
    if made.reads_at == "mlp_in":  # behind a norm that takes the mean away by itself
        return made
    W_skip, d_model = made.W_skip, made.W_enc.shape[1]
    if W_skip is not None:
        W_skip = W_skip - W_skip.mean(0)
    if made.reads == made.writes:
        mean = torch.full((d_model, d_model), 1 / d_model)
        W_skip = mean if W_skip is None else W_skip + mean
    return replace(made, W_enc=made.W_enc - made.W_enc.mean(-1, keepdim=True), W_skip=W_skip)


def _moved(made: Transcoder, subject: Subject) -> Transcoder:
    def moved(tensor: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return tensor.to(device=subject.device, dtype=subject.model.dtype).contiguous()

    parts = {name: moved(getattr(made, name)) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    parts |= {name: moved(part) for name in ("threshold", "W_skip") if (part := getattr(made, name)) is not None}
    return replace(made, **parts, W_dec_later=tuple(map(moved, made.W_dec_later)))
