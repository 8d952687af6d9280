"""A link exchanged in the model itself: its slot written by a hook, with what the sender's part does to it.

The second road to path patching: what the slot reads is worked out from sites of two runs of the model, one link at a
time, and all that follows is the model's own forward pass.
"""

from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from ._block_parts import Norm, wide
from ._circuit_graph import END, START, Link
from ._hooks import Edit
from ._pair_answers import PairAnswers
from ._part_runs import PartModel
from ._reader import Tokens
from ._subject import Subject


class PathCheck:
    """Pairs on a subject, run by the model itself."""

    def __init__(self, model: PartModel) -> None:
        """The two runs are those of `model`, by their tokens alone."""
        self._subject: Subject = model.subject
        self._base, self._donor = model.base.tokens, model.donor.tokens
        self._asked = PairAnswers(model.subject, model.pairs)

    def answers(self, link: Link) -> Float[Tensor, " batch"]:
        """Logit of the answer less that of the foil (nats) with this link exchanged."""
        node, slot = link
        move = self._part(node, self._donor) - self._part(node, self._base)
        site, value = self._read(slot, move)

        def write(rows: slice) -> dict[str, Edit]:
            return {site: lambda current: value[rows].to(current.dtype)}

        return self._asked.differences(self._subject.last_logits(self._base, write))

    @cached_property
    def largest_logit(self) -> float:
        """Of the run that is patched, after last tokens."""
        return self._subject.last_logits(self._base).abs().max().item()

    def _part(self, node: str, tokens: Tokens) -> Float[Tensor, "batch pos d_model"]:
        """What a node adds to the stream."""
        if node == START:
            return self._sites(tokens, "resid_pre.0")[0]
        if node.startswith("mlp_out"):
            return self._sites(tokens, node)[0]
        layer, head = map(int, node.split(".")[1:])
        weights, n_heads = self._subject.weights(layer), self._subject.shape.n_heads
        z = self._sites(tokens, *(f"head.{layer}.{one}" for one in range(n_heads)))
        parts = [wide(one @ W + weights.b_O / n_heads) for one, W in zip(z, weights.W_O, strict=True)]
        if (norm := weights.post_attention) is None:
            return parts[head]
        return norm.centre(parts[head]) / norm.scale(sum(parts[1:], parts[0])) * norm.weight

    def _read(self, slot: str, move: Float[Tensor, "batch pos d_model"]) -> tuple[str, Tensor]:
        """The site that stands for a slot, and its value where the stream has moved."""
        subject = self._subject
        if slot == END:
            site = f"resid_post.{subject.shape.n_layers - 1}"
            return site, self._sites(self._base, site)[0] + move
        kind, layer, *head = slot.split(".")
        weights, looks = subject.weights(int(layer)), subject.architecture.looks(int(layer))
        if kind == "mlp_in":
            stream = f"resid_pre.{layer}" if subject.shape.parallel else f"resid_mid.{layer}"
            return slot, self._normed(weights.norm2, stream, move)
        normed = self._normed(weights.norm1, f"resid_pre.{layer}", move)
        first = int(head[0]) * (1 if kind == "q" else subject.shared_by)  # of the heads that share it
        W, b = {
            "q": (looks.W_Q, looks.b_Q),
            "k": (looks.W_K, looks.b_K),
            "v": (weights.W_V, weights.b_V),
        }[kind]
        return slot, normed.to(W.dtype) @ W[first] + b[first]

    def _normed(self, norm: Norm, stream: str, move: Float[Tensor, "batch pos d_model"]) -> Tensor:
        return norm(wide(self._sites(self._base, stream)[0]) + move)

    def _sites(self, tokens: Tokens, *names: str) -> list[Float[Tensor, "batch pos _"]]:
        read = self._subject.run(tokens, read=names).sites
        return [read[name] for name in names]
