"""What one block does, as maps that take any rows and positions: what runs go on with, part by part.

Maps are the named weights, with rotations and masks as the model hands them to its attention
(`_attribution_query_key.py`); the MLP is the model's own module.
"""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_norm import working_type
from ._attribution_query_key import QueryKey, Rotation
from ._block_parts import Norm
from ._subject import Subject

SlotKind = Literal["q", "k", "v"]
CACHED = 2**19  # neurons of one call of an MLP on a processor: what it writes is read again while it is near


class BlockMaps:
    """What one block does, in the element type that runs are computed in."""

    def __init__(self, subject: Subject, layer: int, look: QueryKey) -> None:
        self.weights, self._modules = subject.weights(layer), subject.architecture.blocks()[layer]
        self._look, self.parallel, self._model_type = look, subject.shape.parallel, subject.model.dtype
        self._wide = wide = working_type(look.query.W)
        step = subject.shared_by
        # By head of its own kind: those that share keys and values have one together.
        self.makes: dict[SlotKind, tuple[Float[Tensor, "head d_model d_head"], Float[Tensor, "head d_head"]]] = {
            "q": (look.query.W, look.query.bias),
            "k": (look.key.W[::step], look.key.bias[::step]),
            "v": (wide(self.weights.W_V)[::step], wide(self.weights.b_V)[::step]),
        }
        self._joint = {
            kind: (rearrange(W, "head model dim -> model (head dim)"), rearrange(b, "head dim -> (head dim)"))
            for kind, (W, b) in self.makes.items()
        }
        self.W_O: Float[Tensor, "head d_head d_model"] = wide(self.weights.W_O)
        self._joint_O = rearrange(self.W_O, "head dim model -> (head dim) model")
        self.b_O: Float[Tensor, " d_model"] = wide(self.weights.b_O)

    def project(
        self, kind: SlotKind, normed: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch head pos d_head"]:
        """Queries, keys or values as their matrix gives them."""
        W, b = self._joint[kind]
        made = torch.addmm(b, rearrange(normed, "batch pos model -> (batch pos) model"), W)
        n_heads = len(self.makes[kind][0])
        return rearrange(made, "(batch pos) (head dim) -> batch head pos dim", pos=normed.shape[1], head=n_heads)

    def turned(
        self, kind: SlotKind, raw: Float[Tensor, "*any pos d_head"], first: int
    ) -> Float[Tensor, "*any pos d_head"]:
        """As attention reads them: behind their norm and rotation, the first of them standing at position `first`."""
        if kind == "v":
            return raw
        norm, rotation = (self._look.query if kind == "q" else self._look.key).norm, self._look.rotation
        behind = raw if norm is None else norm(raw)
        if not rotation.cos.shape[1]:
            return behind
        here = slice(first, first + raw.shape[-2])
        return Rotation(rotation.cos[here], rotation.sin[here])(behind)

    def attend(
        self,
        q: Float[Tensor, "batch head _ d_head"],
        k: Float[Tensor, "batch _ pos d_head"],
        v: Float[Tensor, "batch _ pos d_head"],
        first: int,
    ) -> Float[Tensor, "batch head _ d_head"]:
        """Heads' outputs from turned queries, the first of which stands at position `first`, and all keys."""
        n_rows, n_heads, n_queries, d_head = q.shape
        n_groups, n_keys = k.shape[1:3]
        together = q.reshape(n_rows, n_groups, -1, d_head)  # heads that share keys are neighbours
        scores = (together @ k.mT * self._look.scaling).reshape(n_rows, n_heads, n_queries, n_keys)
        masked = self._look.capped(scores) + self._look.mask[first : first + n_queries, :n_keys]
        pattern = masked.softmax(-1).reshape(n_rows, n_groups, -1, n_keys)
        return (pattern @ v).reshape(n_rows, n_heads, n_queries, d_head)

    def together(self, z: Float[Tensor, "batch head pos d_head"]) -> Float[Tensor, "batch pos d_model"]:
        """The sum of all heads' parts, in front of the norm behind attention where there is one."""
        joined = rearrange(z, "batch head pos dim -> (batch pos) (head dim)")
        return rearrange(
            torch.addmm(self.b_O, joined, self._joint_O), "(batch pos) model -> batch pos model", pos=z.shape[2]
        )

    def attention_adds(self, together: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What attention adds to the stream, from the sum of all heads' parts."""
        return _added(self.weights.post_attention, together)

    def slots_add(
        self, kind: SlotKind, slots: Int[Tensor, " _"], z: Float[Tensor, "_ batch pos _"]
    ) -> Float[Tensor, "_ batch pos d_model"]:
        """To the sum of all heads' parts, the heads of one slot alone in each row; its heads side by side in `z`."""
        W_O = rearrange(self.W_O, "(slot shared) dim model -> slot (shared dim) model", slot=len(self.makes[kind][0]))
        flat = rearrange(z, "row batch pos dim -> row (batch pos) dim")
        return rearrange(flat @ W_O[slots], "row (batch pos) model -> row batch pos model", pos=z.shape[2])

    def mlp_reads(
        self, resid: Float[Tensor, "batch pos d_model"], attn_out: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """The stream in front of the MLP's norm."""
        return resid if self.parallel else resid + attn_out

    def mlp_adds(self, reads: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What the MLP adds to the stream, from the stream in front of its norm."""
        flat = rearrange(reads, "batch pos model -> (batch pos) model")
        d_mlp = self.weights.W_down.shape[0]
        size = max(1, CACHED // d_mlp) if flat.device.type == "cpu" else len(flat)
        parts = [
            self._modules.mlp(normed(self.weights.norm2, x).to(self._model_type)[None])[0] for x in flat.split(size)
        ]
        return _added(self.weights.post_mlp, self._wide(torch.cat(parts)).reshape(reads.shape))

    def from_heads(
        self, resid: Float[Tensor, "batch pos d_model"], z: Float[Tensor, "batch head pos d_head"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """The stream behind the block, from the stream in front of it and its heads' outputs."""
        return self.from_attention(resid, self.attention_adds(self.together(z)))

    def from_attention(
        self, resid: Float[Tensor, "batch pos d_model"], attn_out: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """The stream behind the block, from the stream in front of it and what attention adds."""
        return resid + attn_out + self.mlp_adds(self.mlp_reads(resid, attn_out))

    def parts_of_heads(self, z: Float[Tensor, "batch head pos d_head"]) -> Float[Tensor, "head batch pos d_model"]:
        """What each head adds to the stream.

        The bias of the output matrix is shared out equally: in differences it cancels, unless a norm stands behind.
        Where one does, a head's part goes over the denominator that all heads of this run have together.
        """
        n_heads = z.shape[1]
        flat = rearrange(z, "batch head pos dim -> head (batch pos) dim")
        parts = rearrange(flat @ self.W_O + self.b_O / n_heads, "head (b pos) model -> head b pos model", b=len(z))
        norm = self.weights.post_attention
        if norm is None:
            return parts
        assert norm.bias is None, "no family has a bias in the norm behind attention"
        return norm.centre(parts) / norm.scale(parts.sum(0)) * self._wide(norm.weight)


def normed(norm: Norm, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
    """The norm in one call where there is one for it."""
    if not norm.centred or norm.weight.dtype != x.dtype:
        return norm(x)
    return torch.nn.functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def _added(norm: Norm | None, output: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
    return output if norm is None else norm(output)
