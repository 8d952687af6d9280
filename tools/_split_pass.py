"""Many splits through the subject at once: a row per thing that is made relevant, all rows in one batch.

A row joins the batch at the block where something becomes relevant: before, all of it is irrelevant and the model's
own. Both parts are carried on their own, so that their sum being the model's own value is a check and no assumption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_query_key import QueryKey
from ._block_parts import Norm, soft_capped
from ._split_prompts import SplitBlock, SplitPrompts
from ._split_rules import Parts, Rules

LARGEST_PASS = 2**24  # numbers in the widest tensor of one pass: 64 MiB in single precision


@dataclass(frozen=True)
class Start:
    """What becomes relevant: so much of a node's value at some tokens, for all that read it or for one slot alone."""

    node: str
    places: tuple[int, ...]
    relevant: Float[Tensor, "_ _"]  # token of these, width of the node
    slot: str = ""

    @property
    def meets(self) -> str:
        """Where the row stops being the model's own."""
        return self.slot or self.node

    def dense(self, n_pos: int) -> Float[Tensor, "pos _"]:
        """The same at all tokens of the batch: zero at the others."""
        value = self.relevant.new_zeros(n_pos, self.relevant.shape[1])
        value[list(self.places)] = self.relevant
        return value


@dataclass(frozen=True)
class Row:
    """One split: the prompt, and what is relevant in it."""

    prompt: int
    starts: tuple[Start, ...]

    def depth(self, n_layers: int) -> int:
        """The first block that the row has to run."""
        return min(_layer_of(start.meets, n_layers) for start in self.starts)


@dataclass(frozen=True)
class Target:
    """What relevance is read off at, besides the logits: a place, and per prompt what its value is compared with."""

    place: str
    direction: Float[Tensor, "batch pos _"]


@dataclass(frozen=True)
class Relevances:
    """Per row what of the answer, and of each target, is relevant."""

    logits: Float[Tensor, " batch"]  # of the difference between the answers (nats)
    at_targets: Float[Tensor, "_ batch"]
    error: float  # largest difference between the parts' sum and the model's own value, over the site's largest


def relevances(
    clean: SplitPrompts,
    rules: Rules,
    answers: Int[Tensor, "batch 2"],
    rows: Sequence[Row],
    targets: Sequence[Target] = (),
) -> Relevances:
    """Run all rows, in as many batches as memory asks for.

    Args:
        answers: Per prompt the token of the answer and that of the foil.
    """
    n_layers, shape = len(clean.blocks), clean.subject.shape
    n_pos = clean.tokens.ids.shape[1]
    order = sorted(range(len(rows)), key=lambda i: rows[i].depth(n_layers))
    widest = n_pos * max(shape.d_mlp, shape.d_model, shape.n_heads * max(n_pos, shape.d_head))
    logits = torch.zeros(len(rows), dtype=clean.end.dtype, device=clean.end.device)
    shares, error = logits.new_zeros(len(targets), len(rows)), 0.0
    for some in torch.tensor(order).split(max(1, LARGEST_PASS // widest)):
        batch = _Batch(clean, rules, answers, [rows[i] for i in some.tolist()], targets)
        with torch.no_grad():
            logits[some] = batch.run()
        shares[:, some] = batch.shares
        error = max(error, batch.error)
    return Relevances(logits, shares, error)


@dataclass
class _Batch:
    """Rows that run together, those that start first in front."""

    clean: SplitPrompts
    rules: Rules
    answers: Int[Tensor, "batch 2"]
    rows: Sequence[Row]
    targets: Sequence[Target]
    error: float = 0.0
    shares: Float[Tensor, "_ batch"] = field(init=False)
    prompt: Int[Tensor, " batch"] = field(init=False)
    depth: list[int] = field(init=False)
    starts: Mapping[str, list[tuple[int, Start]]] = field(init=False)  # by where they meet their row

    def __post_init__(self) -> None:
        end = self.clean.end
        self.shares = end.new_zeros(len(self.targets), len(self.rows))
        self.prompt = torch.tensor([row.prompt for row in self.rows], device=end.device)
        self.depth = [row.depth(len(self.clean.blocks)) for row in self.rows]
        starts: dict[str, list[tuple[int, Start]]] = {}
        for i, row in enumerate(self.rows):
            for start in row.starts:
                starts.setdefault(start.meets, []).append((i, start))
        self.starts = starts

    def run(self) -> Float[Tensor, " batch"]:
        """What of the difference between answers is relevant."""
        none = self.clean.end[:0]
        stream = Parts(none, none)
        for layer, block in enumerate(self.clean.blocks):
            stream = self._joined(stream, layer, self.clean.sites[f"resid_pre.{layer}"])
            if layer == 0:
                stream = self._started("embed", stream)
            if len(stream.rel):
                stream = self._block(layer, block, stream)
        return self._answers(self._joined(stream, len(self.clean.blocks), self.clean.end))

    def _joined(self, stream: Parts, layer: int, clean: Float[Tensor, "batch pos d_model"]) -> Parts:
        """With the rows that start in this block, of which nothing is relevant yet."""
        first, last = len(stream.rel), sum(depth <= layer for depth in self.depth)
        if first == last:
            return stream
        fresh = clean[self.prompt[first:last]]
        return Parts(torch.cat([stream.rel, torch.zeros_like(fresh)]), torch.cat([stream.irrel, fresh]))

    def _block(self, layer: int, block: SplitBlock, stream: Parts) -> Parts:
        rules, weights = self.rules, block.weights
        self._check(f"resid_pre.{layer}", stream)
        heads = self._heads(layer, block, rules.norm(weights.norm1, stream))
        together = heads.through(
            lambda z: einsum(z, block.W_O, "batch head pos dim, head dim model -> batch pos model")
        )
        attn_out = rules.norm(weights.post_attention, rules.constant(together, block.b_O))
        self._check(f"attn_out.{layer}", attn_out)
        middle = stream + attn_out
        mlp_in = rules.norm(weights.norm2, stream if self.clean.subject.shape.parallel else middle)
        self._put(f"mlp_in.{layer}", weights.norm2, mlp_in)
        self._check(f"mlp_in.{layer}", mlp_in)
        self._target(f"mlp_in.{layer}", mlp_in.rel)
        neurons = block.mlp.split(rules, mlp_in)
        self._check(f"mlp_act.{layer}", neurons)
        written = rules.settled(rules.constant(neurons.through(lambda x: x @ block.W_down), block.b_down))
        mlp_out = rules.norm(weights.post_mlp, written)
        self._target(f"mlp_out.{layer}", mlp_out.rel)
        mlp_out = self._started(f"mlp_out.{layer}", mlp_out)
        self._check(f"mlp_out.{layer}", mlp_out)
        return rules.settled(middle + mlp_out)

    def _heads(self, layer: int, block: SplitBlock, normed: Parts) -> Parts:
        """Outputs of all heads [batch, head, pos, d_head]."""
        look, rules = block.look, self.rules
        value = self._projected(f"v.{layer}", block, normed, block.W_V, block.b_V)
        looks = [
            self._projected(f"{kind}.{layer}", block, normed, part.W, part.bias)
            for kind, part in (("q", look.query), ("k", look.key))
            if rules.live_attention or self._is_read(f"{kind}.{layer}.")
        ]
        if rules.live_attention:
            heads = rules.curve(lambda q, k, v: _looking(look, q, k) @ v, *looks, value)
        else:
            pattern = self.clean.sites[f"pattern.{layer}"][self.prompt[: len(normed.rel)]]
            heads = value.through(lambda v: pattern @ v)
        for head in range(heads.rel.shape[1]):
            place = f"head.{layer}.{head}"
            self._target(place, heads.rel[:, head])
            if place in self.starts:
                mine = self._started(place, Parts(heads.rel[:, head], heads.irrel[:, head]))
                heads.rel[:, head], heads.irrel[:, head] = mine.rel, mine.irrel
        self._compare(self.clean.heads[layer], heads)
        return heads

    def _projected(
        self,
        kind: str,
        block: SplitBlock,
        normed: Parts,
        W: Float[Tensor, "head d_model d_head"],
        bias: Float[Tensor, "head d_head"],
    ) -> Parts:
        """Queries, keys or values of all heads [batch, head, pos, d_head]."""
        made = self.rules.constant(
            normed.through(lambda x: einsum(x, W, "batch pos model, head model dim -> batch head pos dim")),
            bias[:, None],
        )
        shared = 1 if kind.startswith("q") else self.clean.subject.shared_by
        for head in range(len(W)):
            slot = f"{kind}.{head // shared}"
            if slot in self.starts:
                reads = self.rules.norm(block.weights.norm1, self._links(slot))
                mine = self.rules.constant(reads.through(lambda x, head=head: x @ W[head]), bias[head])
                rows = [row for row, _ in self.starts[slot]]
                made.rel[rows, head], made.irrel[rows, head] = mine.rel, mine.irrel
            self._target(slot, made.rel[:, head])
        return made

    def _put(self, slot: str, norm: Norm, normed: Parts) -> None:
        """Give the rows that start in a slot what it reads of them."""
        if found := self.starts.get(slot, []):
            rows, mine = [row for row, _ in found], self.rules.norm(norm, self._links(slot))
            normed.rel[rows], normed.irrel[rows] = mine.rel, mine.irrel

    def _links(self, slot: str) -> Parts:
        """The stream in front of a slot, of rows that start in it: what their node adds to it is relevant."""
        found, stream = self.starts[slot], self.clean.read_by(slot)
        n_pos = stream.shape[1]
        added = [
            self.clean.added(self.rules, start.node, self.rows[row].prompt, start.dense(n_pos)) for row, start in found
        ]
        return Parts.of(torch.stack(added), stream[[self.rows[row].prompt for row, _ in found]])

    def _started(self, node: str, parts: Parts) -> Parts:
        """With what becomes relevant at this node."""
        found = self.starts.get(node, [])
        if not found:
            return parts
        rel, irrel = parts.rel.clone(), parts.irrel.clone()
        for row, start in found:
            at = list(start.places)
            value = self.clean.value(node)[self.rows[row].prompt, at]
            rel[row, at], irrel[row, at] = start.relevant, value - start.relevant
        return Parts(rel, irrel)

    def _answers(self, stream: Parts) -> Float[Tensor, " batch"]:
        subject, rules = self.clean.subject, self.rules
        if found := self.starts.get("logits", []):
            rows, mine = [row for row, _ in found], self._links("logits")
            stream.rel[rows], stream.irrel[rows] = mine.rel, mine.irrel
        at = torch.arange(len(self.rows), device=stream.rel.device), self.clean.tokens.last[self.prompt]
        final = rules.norm(subject.final_norm, Parts(stream.rel[at], stream.irrel[at]))
        both = self.answers.to(final.rel.device)[self.prompt]
        W = subject.W_U.T[both].to(final.rel.dtype)
        logits = final.through(lambda x: einsum(x, W, "batch model, batch two model -> batch two"))
        if subject.logit_softcap is not None:
            logits = rules.curve(lambda x: soft_capped(x, subject.logit_softcap), logits)
        own = self.clean.sites["logits"][self.prompt[:, None], both]
        self._note(logits.whole - own, self.clean.sites["logits"])
        return logits.rel[:, 0] - logits.rel[:, 1]

    def _target(self, place: str, relevant: Float[Tensor, "batch pos _"]) -> None:
        for number, target in enumerate(self.targets):
            if target.place == place:
                n = len(relevant)
                self.shares[number, :n] = (relevant * target.direction[self.prompt[:n]]).sum((-1, -2))

    def _is_read(self, places: str) -> bool:
        """Whether a target begins like this."""
        return any(target.place.startswith(places) for target in self.targets)

    def _check(self, site: str, parts: Parts) -> None:
        self._compare(self.clean.sites[site], parts)

    def _compare(self, own: Tensor, parts: Parts) -> None:
        self._note(parts.whole - own[self.prompt[: len(parts.rel)]], own)

    def _note(self, difference: Tensor, own: Tensor) -> None:
        size = max(own.abs().max().item(), torch.finfo(own.dtype).tiny)
        self.error = max(self.error, difference.abs().max().item() / size)


def _looking(
    look: QueryKey, q: Float[Tensor, "batch head pos d_head"], k: Float[Tensor, "batch head pos d_head"]
) -> Float[Tensor, "batch head pos pos"]:
    """Attention probabilities from queries and keys, in front of their norms and rotations."""
    query, key = (look.rotation(raw / part.scale(raw) * part.gain) for part, raw in ((look.query, q), (look.key, k)))
    scores = einsum(query, key, "batch head query dim, batch head key dim -> batch head query key") * look.scaling
    return (look.capped(scores) + look.mask).softmax(-1)


def _layer_of(place: str, n_layers: int) -> int:
    kind, *numbers = place.split(".")
    return {"embed": 0, "logits": n_layers}.get(kind, int(numbers[0]) if numbers else 0)
