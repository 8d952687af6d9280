"""The slow and obvious way to swap links: run the model itself, and write what each reader would have read.

Nothing here is shared with the training pass. A reader's stream is what stands there in the model, less what a node
wrote and plus what it wrote on the source; its query, key, value or MLP input is then worked out and written, reader by
reader in the order of the computation, with a new run of the model for every block.
"""

from collections.abc import Collection, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ...tools import Subject
from ._interchange_causal import Link

Nodes = dict[str, Float[Tensor, "batch pos d_model"]]
Writes = dict[str, Tensor]


class Reference:
    """Runs of a subject on the bases and sources of one set of prompts, all of one length."""

    def __init__(self, subject: Subject, bases: list[str], sources: list[str]) -> None:
        """
        Args:
            bases: Prompts that are run.
            sources: For each the prompt whose values the swapped links carry.
        """
        self._subject = subject
        self.base, source = subject.tokenise(bases), subject.tokenise(sources)
        assert self.base.lengths == source.lengths, "base and source differ in length"
        self.clean = subject.run(self.base).last_logits
        self.corrupted = subject.run(source).last_logits
        self._source = source
        self._own = self._nodes(source, {})

    def with_node(self, node: str) -> Float[Tensor, "batch vocab"]:
        """Last logits when one head or MLP writes what it wrote on the source."""
        wrote = self._subject.run(self._source, read=[node]).sites[node]
        return self._subject.run(self.base, write={node: lambda _: wrote}).last_logits

    def with_links(self, swapped: Collection[Link]) -> Float[Tensor, "batch vocab"]:
        """Last logits when these links carry what their nodes wrote on the source."""
        writes: Writes = {}
        n_layers = self._subject.shape.n_layers
        for layer in range(n_layers):
            for kinds in (("q", "k", "v"), ("mlp_in",)):  # the MLP reads what the heads of its own block write
                slots = {s for _, s in swapped if s.split(".")[0] in kinds and s.split(".")[1:2] == [str(layer)]}
                if slots:
                    here = self._nodes(self.base, writes)
                    writes |= {slot: self._value(slot, here, writes, swapped) for slot in sorted(slots)}
        if any(slot == "logits" for _, slot in swapped):
            here, last = self._nodes(self.base, writes), f"resid_post.{n_layers - 1}"
            writes |= {last: self._stream(last, "logits", here, writes, swapped)}
        return self._run(self.base, (), writes).last_logits

    def _run(self, tokens: Any, read: Sequence[str], writes: Writes) -> Any:
        return self._subject.run(tokens, read=read, write={s: lambda _, v=value: v for s, value in writes.items()})

    def _nodes(self, tokens: Any, writes: Writes) -> Nodes:
        """What every node writes to the stream while these readers read something else."""
        shape = self._subject.shape
        heads = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
        mlps = [f"mlp_out.{layer}" for layer in range(shape.n_layers)]
        read = ["resid_pre.0", *mlps, *(f"head.{layer}.{head}" for layer, head in heads)]
        sites = self._run(tokens, read, writes).sites
        output = {layer: self._subject.weights(layer).W_O for layer in range(shape.n_layers)}
        added = {f"head.{layer}.{head}": sites[f"head.{layer}.{head}"] @ output[layer][head] for layer, head in heads}
        return {"embed": sites["resid_pre.0"], **added, **{mlp: sites[mlp] for mlp in mlps}}

    def _stream(self, site: str, slot: str, here: Nodes, writes: Writes, swapped: Collection[Link]) -> Tensor:
        stream = self._run(self.base, [site], writes).sites[site]
        for node in sorted(node for node, read in swapped if read == slot):
            stream = stream - here[node] + self._own[node]
        return stream

    def _value(self, slot: str, here: Nodes, writes: Writes, swapped: Collection[Link]) -> Tensor:
        kind, layer, *head = slot.split(".")
        weights, looks = self._subject.weights(int(layer)), self._subject.architecture.looks(int(layer))
        before = f"resid_mid.{layer}" if kind == "mlp_in" else f"resid_pre.{layer}"
        stream = self._stream(before, slot, here, writes, swapped)
        if kind == "mlp_in":
            return weights.norm2(stream)
        W, b = {"q": (looks.W_Q, looks.b_Q), "k": (looks.W_K, looks.b_K), "v": (weights.W_V, weights.b_V)}[kind]
        # Heads that share a key or value have a copy each.
        first = int(head[0]) * (1 if kind == "q" else self._subject.shape.n_heads // self._subject.shape.n_kv_heads)
        return weights.norm1(stream) @ W[first] + b[first]
