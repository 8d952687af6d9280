"""The subject as a graph of its parts: what writes to the residual stream, what reads it, and the links between.

| node (writes) | slot (reads) |
| --- | --- |
| `embed`: tokens and positions together, what stands before block 0 | |
| `head.L.H`: what one head adds | `q.L.H`, `k.L.G`, `v.L.G` |
| `mlp_out.L`: what one MLP adds | `mlp_in.L` |
| | `logits` |

A link goes from a node to a slot that comes after it: what of the node's value the slot reads. G counts heads of keys
and values: with grouped queries several heads read one, and a link into it is a link into all of them. The graph is the
one of MIB (Mueller et al. 2025), whose names are `input`, `aL.hH` with `<q>`, `<k>`, `<v>`, `mL` and `logits`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ._base import ToolError
from ._subject import Shape

START, END = "embed", "logits"
Link = tuple[str, str]
"""A node, and a slot that reads it."""


@dataclass(frozen=True)
class CircuitGraph:
    """All nodes, slots and links of a subject of this shape."""

    shape: Shape

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """What writes, in the order of the computation."""
        layers = range(self.shape.n_layers)
        return (START, *(node for layer in layers for node in (*self.heads(layer), f"mlp_out.{layer}")))

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """What reads, in the order of the computation."""
        layers = range(self.shape.n_layers)
        return (*(slot for layer in layers for slot in (*self.attention_slots(layer), f"mlp_in.{layer}")), END)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Every link, ordered by slot and then by node."""
        return tuple((node, slot) for slot in self.slots for node in self.read_by(slot))

    def heads(self, layer: int) -> tuple[str, ...]:
        """The heads of one block."""
        return tuple(f"head.{layer}.{head}" for head in range(self.shape.n_heads))

    def attention_slots(self, layer: int) -> tuple[str, ...]:
        """What the heads of one block read."""
        counts = {"q": self.shape.n_heads, "k": self.shape.n_kv_heads, "v": self.shape.n_kv_heads}
        return tuple(f"{kind}.{layer}.{head}" for kind, count in counts.items() for head in range(count))

    def read_by(self, slot: str) -> tuple[str, ...]:
        """The nodes that stand before a slot."""
        return self._before[slot]

    def slots_of(self, node: str) -> tuple[str, ...]:
        """The slots through which a node is computed: none for the start."""
        kind, *numbers = node.split(".")
        if node == START:
            return ()
        if kind == "mlp_out":
            return (f"mlp_in.{numbers[0]}",)
        layer, head = map(int, numbers)
        group = head // (self.shape.n_heads // self.shape.n_kv_heads)
        return f"q.{layer}.{head}", f"k.{layer}.{group}", f"v.{layer}.{group}"

    def nodes_of(self, slot: str) -> tuple[str, ...]:
        """The nodes that a slot has a part in: several heads where they share keys and values, none for the end."""
        return self._through.get(slot, ())

    def link(self, text: str) -> Link:
        """The link written `NODE->SLOT`, in our names or in MIB's.

        Raises:
            ToolError: written otherwise, or no such link.
        """
        source, arrow, target = text.partition("->")
        found = (_ours(source.strip()), self._slot(target.strip()))
        if not arrow or found not in self._all:
            raise ToolError(
                f"`{text}` is no link of this model.",
                mend=f"Write it as NODE->SLOT, a slot behind its node: for example {_written(self.links[-1])}.",
            )
        return found

    def mib(self, link: Link) -> Iterator[str]:
        """A link as MIB writes it: one name for every head that the slot belongs to."""
        source, slot = _theirs(link[0]), link[1]
        kind = slot.split(".")[0]
        for node in self.nodes_of(slot) or (END,):
            yield f"{source}->{_theirs(node)}" + (f"<{kind}>" if kind in ("q", "k", "v") else "")

    def _slot(self, name: str) -> str:
        if mlp := re.fullmatch(r"m(\d+)", name):
            return f"mlp_in.{mlp[1]}"
        if not (head := re.fullmatch(r"a(\d+)\.h(\d{1,9})<([qkv])>", name)):
            return name
        shared = 1 if head[3] == "q" else self.shape.n_heads // self.shape.n_kv_heads
        return f"{head[3]}.{head[1]}.{int(head[2]) // shared}"

    @cached_property
    def _all(self) -> frozenset[Link]:
        return frozenset(self.links)

    @cached_property
    def _before(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        written = [START]
        for layer in range(self.shape.n_layers):
            found |= dict.fromkeys(self.attention_slots(layer), tuple(written))
            # In parallel blocks the MLP reads what attention reads.
            reads = written if self.shape.parallel else [*written, *self.heads(layer)]
            found[f"mlp_in.{layer}"] = tuple(reads)
            written += [*self.heads(layer), f"mlp_out.{layer}"]
        return {**found, END: tuple(written)}

    @cached_property
    def _through(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            for slot in self.slots_of(node):
                found.setdefault(slot, []).append(node)
        return {slot: tuple(nodes) for slot, nodes in found.items()}


def _written(link: Link) -> str:
    return f"`{link[0]}->{link[1]}`"


def _ours(node: str) -> str:
    if node == "input":
        return START
    if mlp := re.fullmatch(r"m(\d+)", node):
        return f"mlp_out.{mlp[1]}"
    head = re.fullmatch(r"a(\d+)\.h(\d+)", node)
    return f"head.{head[1]}.{head[2]}" if head else node


def _theirs(node: str) -> str:
    kind, *numbers = node.split(".")
    if kind == "head":
        return f"a{numbers[0]}.h{numbers[1]}"
    return {START: "input", END: END}.get(node, f"m{numbers[0] if numbers else ''}")
