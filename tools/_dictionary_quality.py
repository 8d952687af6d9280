"""How well a transcoder stands in for the MLP that it was trained on, measured on texts."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from ._base import ToolError
from ._dictionary import LayerStats, Transcoder
from ._hooks import Edit
from ._reader import Tokens
from ._subject import Subject

LARGEST_BATCH = 64  # texts per forward pass
LARGEST_PASS = 2**19  # pairs of tokens per forward pass: laying out larger patterns takes longer than computing them


def read_mlp(
    subject: Subject, texts: Sequence[str], layer: int
) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, "batch d_model"]]:
    """What one MLP reads and writes at every token of the texts."""
    read: list[Tensor] = []
    written: list[Tensor] = []
    for tokens in _batches(subject, texts):
        run = subject.run(tokens, read=[f"mlp_in.{layer}", f"mlp_out.{layer}"])
        for row, length in enumerate(tokens.lengths):
            read.append(run.sites[f"mlp_in.{layer}"][row, :length].float())
            written.append(run.sites[f"mlp_out.{layer}"][row, :length].float())
    return torch.cat(read), torch.cat(written)


def evaluate_transcoder(
    subject: Subject, transcoder: Transcoder, texts: Sequence[str], fired: Tensor, loss_clean: float | None = None
) -> LayerStats:
    """How well a transcoder stands in for its MLP on these texts.

    Args:
        fired: Which features the training texts activate.
        loss_clean: `mean_loss(subject, texts)`, where it is known already (nats).
    """
    mlp_in, mlp_out = read_mlp(subject, texts, transcoder.layer)
    acts = transcoder.encode(mlp_in)
    missed = (mlp_out - transcoder.decode(acts)).pow(2).sum()
    clean = mean_loss(subject, texts) if loss_clean is None else loss_clean
    spliced = mean_loss(subject, texts, splices([transcoder]))
    ablated = mean_loss(subject, texts, {f"mlp_out.{transcoder.layer}": torch.zeros_like})
    return LayerStats(
        layer=transcoder.layer,
        variance_unexplained=(missed / (mlp_out - mlp_out.mean(0)).pow(2).sum()).item(),
        l0=(acts > 0).sum(-1).float().mean().item(),
        dead=1 - (fired | (acts > 0).any(0)).float().mean().item(),
        loss_recovered=(ablated - spliced) / (ablated - clean),
        loss_clean=clean,
        loss_spliced=spliced,
        loss_ablated=ablated,
        n_tokens=len(mlp_in),
    )


def splices(transcoders: Sequence[Transcoder]) -> dict[str, Edit]:
    """The edits that put each transcoder in its MLP's place."""
    edits: dict[str, Edit] = {}
    for one in transcoders:
        held: list[Tensor] = []

        def keep(mlp_in: Tensor, held: list[Tensor] = held) -> Tensor:
            held[:] = [mlp_in]
            return mlp_in

        def splice(mlp_out: Tensor, held: list[Tensor] = held, one: Transcoder = one) -> Tensor:
            return one.decode(one.encode(held[0].float())).to(mlp_out.dtype)

        edits |= {f"mlp_in.{one.layer}": keep, f"mlp_out.{one.layer}": splice}
    return edits


def mean_loss(subject: Subject, texts: Sequence[str], edits: dict[str, Edit] | None = None) -> float:
    """Next-token loss on texts, with the sites written that `edits` names (nats).

    Raises:
        ToolError: no text has a token to predict.
    """
    total, count = 0.0, 0
    for tokens in _batches(subject, texts):
        logits = subject.run(tokens, write=edits).logits
        for row, length in enumerate(tokens.lengths):
            loss = cross_entropy(logits[row, : length - 1].float(), tokens.ids[row, 1:length], reduction="sum")
            total, count = total + loss.item(), count + length - 1
    if not count:
        raise ToolError("No held-out text has a token to predict.", mend="Give texts of several words.")
    return total / count


def _batches(subject: Subject, texts: Sequence[str]) -> Iterator[Tokens]:
    for start in range(0, len(texts), LARGEST_BATCH):
        tokens = subject.tokenise(texts[start : start + LARGEST_BATCH])
        n_rows, n_pos = tokens.ids.shape
        size = max(1, LARGEST_PASS // n_pos**2)
        for first in range(0, n_rows, size):
            yield tokens.take(slice(first, first + size))
