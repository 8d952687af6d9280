"""Paths through the local replacement model, one target or reader at a time: which head was passed last, what arrives.

The engine (`_attribution_sweep.py`) sums all paths from source to target. Here they are told apart by the head that
stands last on them, that is closest to the target; and they are followed to the stream in front of an attention layer,
where queries and keys are read.
"""

from dataclasses import dataclass, replace

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from ._attribution_attention import FrozenAttention
from ._attribution_local import FrozenBlock, LocalModel
from ._attribution_nodes import Sources, Targets
from ._attribution_skip import heard_through_skip


@dataclass(frozen=True)
class Written:
    """Something that is written: by tokens, and behind each MLP."""

    tokens: Float[Tensor, "pos d_model"]
    mlps: Float[Tensor, "layer pos d_model"]

    @classmethod
    def by(cls, local: LocalModel, source: int) -> "Written":
        """What one source writes."""
        n_layers, n_pos = len(local.blocks), len(local.ids)
        tokens = torch.zeros_like(local.embedding)
        mlps = tokens.repeat(n_layers, 1, 1)
        if source < local.n_active:
            layer, at = int(local.layer[source]), int(local.position[source])
            within = source - int((local.layer < layer).sum())
            for later in range(n_layers - layer if local.cross_layer else 1):
                mlps[layer + later, at] = local.blocks[layer].writes(later)[within]
            return cls(tokens, mlps)
        layer, at = divmod(source - local.n_active, n_pos)
        if layer < n_layers:
            mlps[layer, at] = local.blocks[layer].error[at]
        else:
            tokens[at] = local.embedding[at]
        return cls(tokens, mlps)

    @classmethod
    def by_all(cls, local: LocalModel) -> "Written":
        """What all sources write."""
        return cls(local.embedding, local.written())


def streams(local: LocalModel, written: Written, constants: bool = False) -> Float[Tensor, "layer pos d_model"]:
    """The stream in front of each block, and behind the last, that comes of what is written.

    Args:
        constants: Whether positions and biases are there too.
    """
    resid = written.tokens + local.offset if constants else written.tokens
    found = [resid]
    for layer, block in enumerate(local.blocks):
        attention, norm2, beside = block.attention, block.norm2, block.constant
        if not constants:
            attention = replace(attention, constant=torch.zeros_like(attention.constant))
            norm2, beside = replace(norm2, bias=torch.zeros_like(norm2.bias)), torch.zeros_like(beside)
        middle = resid + attention(resid[None])[0]
        mlp_in = norm2(resid if local.parallel else middle)
        resid = middle + written.mlps[layer] + beside
        if block.skip is not None:
            resid = resid + mlp_in @ block.skip
        found.append(resid)
    return torch.stack(found)


@dataclass(frozen=True)
class ByHead:
    """An effect on one target, told apart by the head that was passed last."""

    straight: float  # through no head at all
    heads: Float[Tensor, "layer head pos"]  # and by the key that the head looked at; zero for layers above the target


def by_last_head(local: LocalModel, target: Targets, written: Written) -> ByHead:
    """Split what is written by the head through which it last passed on its way to a target.

    Between that head and the target lies the stream at the target's own token, and the skips of its MLPs. Below the
    head every path counts, also those through other heads.
    """
    (layer,), (at,) = target.layer.tolist(), target.position.tolist()
    n_layers = len(local.blocks)
    resid = streams(local, written)
    norm = local.final_norm if layer == n_layers else local.blocks[layer].norm2
    listens = norm.pull(target.vector[0]) / norm.scale[at]
    first = local.blocks[0].attention.pattern
    heads = resid.new_zeros(n_layers, first.shape[0] * first.shape[1], len(local.ids))
    straight = resid.new_zeros(())
    if layer < n_layers and not local.parallel:
        heads[layer] = _through_heads(local.blocks[layer], resid[layer], listens, at)
    for below in reversed(range(layer)):
        block = local.blocks[below]
        straight += listens @ written.mlps[below, at]
        beside = heard_through_skip(block, listens[None, None], at)
        through = listens if beside is None else listens + beside[0, 0]
        heads[below] = _through_heads(block, resid[below], listens if local.parallel else through, at)
        listens = through
    return ByHead((straight + listens @ written.tokens[at]).item(), heads)


def _through_heads(
    block: FrozenBlock, resid: Float[Tensor, "pos d_model"], listens: Float[Tensor, " d_model"], at: int
) -> Float[Tensor, "head pos"]:
    """What each head moves from each key to one query, as far as something listens there."""
    attention = block.attention
    values = rearrange(resid @ attention.W_V, "key (group dim) -> group key dim", group=attention.n_groups)
    shared = attention.pattern.shape[1]
    heard = rearrange(
        attention.W_O @ listens, "(group head dim) -> group head dim", group=attention.n_groups, head=shared
    )
    parts = einsum(
        attention.pattern[:, :, at], values, heard, "group head key, group key dim, group head dim -> group head key"
    )
    return rearrange(parts, "group head key -> (group head) key")


def arriving(
    local: LocalModel, sources: Sources, listens: Float[Tensor, "batch d_model"], layer: int, at: int
) -> Float[Tensor, "batch feature"]:
    """What each source (by number) adds to some readings of the stream in front of one block at one token."""
    found = listens.new_zeros(len(listens), local.n_sources)
    stack = listens.new_zeros(len(listens), at + 1, listens.shape[1])
    stack[:, at] = listens
    for below in reversed(range(layer)):
        _read(sources, below, stack, found)
        block = local.blocks[below]
        beside = heard_through_skip(block, stack)
        through = stack if beside is None else stack + beside
        # In a parallel block attention reads what the MLP reads, so nothing passes both.
        stack = through + _before(block.attention, stack if local.parallel else through)
    _read(sources, -1, stack, found)
    return found


def _before(
    attention: FrozenAttention, stack: Float[Tensor, "batch pos d_model"]
) -> Float[Tensor, "batch pos d_model"]:
    """What listens to the first tokens' stream behind attention, as it listens through the heads."""
    n_pos, (n_groups, shared) = stack.shape[1], attention.pattern.shape[:2]
    side_by_side = "batch query (group head dim) -> batch group head query dim"
    heard = rearrange(stack @ attention.W_O.T, side_by_side, group=n_groups, head=shared)
    looks = attention.pattern[:, :, :n_pos, :n_pos]
    moved = einsum(looks, heard, "group head query key, batch group head query dim -> batch key group dim")
    return rearrange(moved, "batch key group dim -> batch key (group dim)") @ attention.W_V.T


def _read(
    sources: Sources, layer: int, stack: Float[Tensor, "batch pos d_model"], found: Float[Tensor, "batch feature"]
) -> None:
    """Readings behind this layer's MLP, of the sources that write there."""
    for at in range(stack.shape[1]):
        span = sources.span(sources.lowest_written(layer), layer + 1, at)
        found[:, sources.number[span]] += stack[:, at] @ sources.vectors(layer, at).T
