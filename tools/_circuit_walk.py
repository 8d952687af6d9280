"""The subject run part by part with gradients: what every node writes, and what the matrices of every slot make.

The gradient at a slot's own copy of the stream follows from the gradient behind its matrix: back through the matrix,
and through the Jacobian of the norm in front of it. So no copies are run, and no path is counted twice. What is run is
proved to be the model: its logits are the model's own.

Where a norm stands behind attention (Gemma), what a head writes is its part of the sum over the sum's denominator,
times the norm's weight. Attention's output bias belongs to no head: each is given an equal part of it, so that the
nodes sum to the stream; it cancels from every difference of two runs, but for one behind such a norm.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_norm import working_type
from ._attribution_query_key import Projection, QueryKey, run_with_looks
from ._base import ToolError
from ._block_parts import BlockModules, BlockWeights, Norm, soft_capped
from ._circuit_graph import CircuitGraph
from ._circuit_rules import GRADIENT, Rules, mlps_under, normed, pulled
from ._proof import TOLERANCE
from ._reader import Tokens
from ._subject import Subject


class Instead(NamedTuple):
    """Some nodes of a run made to write something else."""

    part: int  # 0 for the start, then per layer its heads, and its MLP
    values: Float[Tensor, "batch pos _ d_model"]


class Tap(NamedTuple):
    """Slots of one kind in one layer: what they read, and what their matrix, or their norm, made of it."""

    first: int  # place of the first of them among all slots
    n_slots: int
    norm: Norm
    W: Float[Tensor, "_ d_model d_head"] | None  # none where what the norm gives is what is tapped
    read: Float[Tensor, "batch pos d_model"]
    made: Float[Tensor, "batch pos _ d_head"] | Float[Tensor, "batch pos d_model"]


@dataclass
class Walk:
    """One run."""

    logits: Float[Tensor, "batch vocab"] = field(init=False)  # after the last token
    nodes: list[Float[Tensor, "batch pos _ d_model"]] = field(default_factory=list)  # by part: start, heads, MLP ...
    added: list[Float[Tensor, "batch pos d_model"]] = field(default_factory=list)  # the sums of these
    taps: list[Tap] = field(default_factory=list)

    @property
    def written(self) -> Float[Tensor, "batch pos _ d_model"]:
        """What every node wrote, in the graph's order."""
        return torch.cat(self.nodes, 2)

    def tap(self, norm: Norm, W: Tensor | None, read: Tensor, made: Tensor) -> None:
        """Keep what the next slots read and made."""
        first = self.taps[-1].first + self.taps[-1].n_slots if self.taps else 0
        self.taps.append(Tap(first, 1 if W is None else len(W), norm, W, read, made))


@dataclass(frozen=True)
class _Part:
    weights: BlockWeights
    modules: BlockModules
    look: QueryKey
    W_K: Float[Tensor, "_ d_model d_head"]  # one per head of keys and values
    b_K: Float[Tensor, "_ d_head"]
    W_V: Float[Tensor, "_ d_model d_head"]
    b_V: Float[Tensor, "_ d_head"]


class Partwise:
    """A subject as its parts, for prompts of one padded length."""

    def __init__(self, subject: Subject, tokens: Tokens) -> None:
        """
        Args:
            tokens: Prompts on which the parts are proved to be the model; others must be padded to the same length.

        Raises:
            ToolError: the parts do not rebuild the model's logits.
        """
        self.subject, self.graph = subject, CircuitGraph(subject.shape)
        run, looks = run_with_looks(subject, tokens)
        self._wide, self._shared = working_type(run.last_logits), subject.shared_by
        modules = subject.architecture.blocks()
        self._parts = [self._part(layer, modules[layer], look) for layer, look in enumerate(looks)]
        self._prove(self.walk(self.start(tokens), tokens.last).logits, run.last_logits)

    def start(self, tokens: Tokens) -> Float[Tensor, "batch pos d_model"]:
        """What stands before block 0: tokens, and positions where the family adds them."""
        with torch.no_grad():
            start = self._wide(self.subject.embed(tokens.ids))
            positions = self.subject.architecture.positions()
            return start if positions is None else start + self._wide(positions[: start.shape[1]])

    def walk(
        self,
        start: Float[Tensor, "batch pos d_model"],
        last: Int[Tensor, " batch"],
        rules: Rules | None = None,
        instead: Instead | None = None,
    ) -> Walk:
        """One run; differentiable where `rules` say how.

        Args:
            last: Index of each prompt's last token.
            rules: How gradients go; none where no gradient is wanted.
        """
        with torch.set_grad_enabled(rules is not None), mlps_under(rules or GRADIENT, self.subject.architecture):
            return self._walk(start, last, rules or GRADIENT, instead)

    def slot_gradients(self, tap: Tap, behind: Tensor, rules: Rules) -> Float[Tensor, "batch pos _ d_model"]:
        """The gradient at each slot's own copy of the stream, from the one at what was made of it."""
        with torch.no_grad():
            if tap.W is None:
                at_norm = behind[:, :, None]
            else:
                at_norm = einsum(behind, tap.W, "batch pos slot dim, slot model dim -> batch pos slot model")
            return pulled(tap.norm, tap.read.detach()[:, :, None], at_norm, rules)

    def _walk(self, start: Tensor, last: Tensor, rules: Rules, instead: Instead | None) -> Walk:
        walk = Walk()
        stream = self._add(walk, torch.zeros_like(start), start[:, :, None], instead)
        for part in self._parts:
            middle = self._add(walk, stream, self._attend(walk, part, stream, rules), instead)
            mlp = self._mlp(walk, part, stream if self.subject.shape.parallel else middle, rules)
            stream = self._add(walk, middle, mlp[:, :, None], instead)
        ends = stream[torch.arange(len(last), device=last.device), last][:, None]
        final = _leaf(normed(self.subject.final_norm, ends, rules))
        walk.tap(self.subject.final_norm, None, ends, final)
        walk.logits = soft_capped(final[:, 0] @ self._wide(self.subject.W_U), self.subject.logit_softcap)
        return walk

    def _add(
        self, walk: Walk, stream: Tensor, written: Float[Tensor, "batch pos _ d_model"], instead: Instead | None
    ) -> Float[Tensor, "batch pos d_model"]:
        if instead is not None and instead.part == len(walk.nodes):
            written = instead.values
        walk.nodes.append(written.detach())
        walk.added.append(_leaf(written.sum(2)))
        return stream + walk.added[-1]

    def _attend(self, walk: Walk, part: _Part, stream: Tensor, rules: Rules) -> Float[Tensor, "batch pos head d_model"]:
        weights, wide, look = part.weights, self._wide, part.look
        reads, made = normed(weights.norm1, stream, rules), list[Tensor]()
        for W, b in ((look.query.W, look.query.bias), (part.W_K, part.b_K), (part.W_V, part.b_V)):
            made.append(_leaf(_projected(reads, wide(W)) + wide(b)))
            walk.tap(weights.norm1, wide(W), stream, made[-1])
        query, key, value = made
        key, value = (repeat(x, "b pos group dim -> b pos (group r) dim", r=self._shared) for x in (key, value))
        pattern = _pattern(look, query, key, rules)
        mixed = einsum(pattern, value, "batch head query key, batch key head dim -> batch query head dim")
        heads = einsum(mixed, wide(weights.W_O), "batch pos head dim, head dim model -> batch pos head model")
        return self._behind(weights.post_attention, heads + wide(weights.b_O) / heads.shape[2], rules)

    def _behind(self, norm: Norm | None, heads: Float[Tensor, "batch pos head d_model"], rules: Rules) -> Tensor:
        """Each head's part of what a norm behind attention makes of their sum."""
        if norm is None:
            return heads
        scale = norm.scale(heads.sum(2, keepdim=True))
        scaled = norm.centre(heads) / (scale.detach() if rules.norms else scale) * norm.weight
        return scaled if norm.bias is None else scaled + norm.bias / heads.shape[2]

    def _mlp(self, walk: Walk, part: _Part, stream: Tensor, rules: Rules) -> Float[Tensor, "batch pos d_model"]:
        made = _leaf(normed(part.weights.norm2, stream, rules))
        walk.tap(part.weights.norm2, None, stream, made)
        written = self._wide(part.modules.mlp(made.to(self.subject.model.dtype)))
        behind = part.weights.post_mlp
        return written if behind is None else normed(behind, written, rules)

    def _part(self, layer: int, modules: BlockModules, look: QueryKey) -> _Part:
        weights, shared = self.subject.weights(layer), self._shared
        one = slice(None, None, shared)  # of the copies that heads have of what they share
        key: Projection = look.key
        return _Part(weights, modules, look, key.W[one], key.bias[one], weights.W_V[one], weights.b_V[one])

    def _prove(self, ours: Tensor, theirs: Tensor) -> None:
        error = (ours - theirs).abs().max().item() / max(theirs.abs().max().item(), 1e-6)
        allowed = TOLERANCE[self.subject.model.dtype]
        if not error <= allowed:
            raise ToolError(
                f"Run part by part, the model's logits differ by {error:.2g} of their largest (allowed {allowed:.0e}).",
                mend="Load the model in float32, or use a plain checkpoint.",
            )


def _leaf(x: Tensor) -> Tensor:
    """The tensor itself, or one that gradients stop at where none came so far: a run may be cut from its start."""
    return x if x.requires_grad or not torch.is_grad_enabled() else x.detach().requires_grad_()


def _projected(
    x: Float[Tensor, "batch pos d_model"], W: Float[Tensor, "_ d_model d_head"]
) -> Float[Tensor, "batch pos _ d_head"]:
    """What the matrix of each slot makes of the stream that all of them read."""
    joint = rearrange(W, "slot model dim -> model (slot dim)")
    return rearrange(x @ joint, "batch pos (slot dim) -> batch pos slot dim", slot=len(W))


def _pattern(
    look: QueryKey, query: Float[Tensor, "batch pos head d_head"], key: Tensor, rules: Rules
) -> Float[Tensor, "batch head pos pos"]:
    """Attention probabilities from queries and keys as their matrices give them."""
    turned: list[Tensor] = []
    for raw, projection in ((query, look.query), (key, look.key)):
        behind = raw if projection.norm is None else normed(projection.norm, raw, rules)
        turned.append(look.rotation(rearrange(behind, "batch pos head dim -> batch head pos dim")))
    asks, answers = turned
    scores = einsum(asks, answers, "batch head query dim, batch head key dim -> batch head query key") * look.scaling
    pattern = (look.capped(scores) + look.mask).softmax(-1)
    return pattern.detach() if rules.patterns else pattern
