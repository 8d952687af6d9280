"""What a set of layers writes, each by itself or across layers, and the edits that put it in the model's place."""

from collections.abc import Collection, Sequence

from jaxtyping import Float
from torch import Tensor

from ._dictionary import Transcoder
from ._hooks import Edit


def written(
    layers: Sequence[Transcoder],
    values: Sequence[Float[Tensor, "*any d_model"]],
    acts: Sequence[Float[Tensor, "*any feature"]],
) -> list[Float[Tensor, "*any d_model"]]:
    """The value that each layer's site gets: from its features, from those of layers before it, and beside them.

    Args:
        layers: In ascending order; of a cross-layer set, all that write to one of them.
        values: What each layer reads.
        acts: Its activations.
    """
    return [from_layers(layers[: i + 1], values[i], acts[: i + 1]) for i in range(len(layers))]


def from_layers(
    layers: Sequence[Transcoder], value: Float[Tensor, "*any d_model"], acts: Sequence[Float[Tensor, "*any feature"]]
) -> Float[Tensor, "*any d_model"]:
    """What the last of these layers' sites gets; the others write to it where they are of a cross-layer set."""
    last = layers[-1]
    total = last.decode(acts[-1])
    for one, active in zip(layers[:-1], acts[:-1], strict=True):
        if one.W_dec_later:
            total = total + active @ one.W_dec_later[last.layer - one.layer - 1]
    return total if last.W_skip is None else total + last.skip(value)


def splices(transcoders: Sequence[Transcoder], replaced: Collection[int] | None = None) -> dict[str, Edit]:
    """The edits that put transcoders in the place of what they stand in for.

    Args:
        transcoders: In ascending order of their layers. What a cross-layer set writes to a layer comes from those
            layers alone that are among them, so pass the whole set.
        replaced: Layers whose sites are replaced; all, where none are named.
    """
    held: dict[int, tuple[Tensor, Tensor]] = {}  # per layer what it read and its activations, in the pass under way
    edits: dict[str, Edit] = {}
    for i, one in enumerate(transcoders):
        keep = _keep(one, held)
        replace = _replace(transcoders[: i + 1], held)
        if replaced is not None and one.layer not in replaced:
            replace = _leave
        if one.reads == one.writes:
            edits[one.writes] = _then(keep, replace)
        else:
            edits |= {one.reads: keep, one.writes: replace}
    return edits


def _keep(one: Transcoder, held: dict[int, tuple[Tensor, Tensor]]) -> Edit:
    def keep(value: Tensor) -> Tensor:
        read = value.float()
        held[one.layer] = read, one.encode(read)
        return value

    return keep


def _replace(layers: Sequence[Transcoder], held: dict[int, tuple[Tensor, Tensor]]) -> Edit:
    def replace(value: Tensor) -> Tensor:
        read, _ = held[layers[-1].layer]
        return from_layers(layers, read, [held[one.layer][1] for one in layers]).to(value.dtype)

    return replace


def _leave(value: Tensor) -> Tensor:
    return value


def _then(first: Edit, second: Edit) -> Edit:
    return lambda value: second(first(value))
