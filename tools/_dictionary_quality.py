"""How well transcoders stand in for the sites that they write, measured on texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from ._base import Frozen, ToolError
from ._dictionary import LayerStats, Transcoder
from ._dictionary_stream import TextStream, passes
from ._dictionary_writing import from_layers, splices
from ._hooks import Edit
from ._subject import Subject

MOST_ACTIVATIONS = 2**25  # held at once, 128 MiB in single precision: more features, fewer tokens at a time


class SetStats(Frozen):
    """How well all layers of a dictionary stand in for their sites at once, on text that it was not trained on."""

    loss_recovered: float = Field(description="(ablated - spliced) / (ablated - clean) loss; 1 is perfect (share).")
    loss_clean: float = Field(description="Next-token loss of the model itself (nats).")
    loss_spliced: float = Field(description="The same with every site replaced by its features (nats).")
    loss_ablated: float = Field(description="The same with every such site set to zero (nats).")


def evaluate_transcoder(
    subject: Subject,
    transcoder: Transcoder,
    texts: Sequence[str],
    fired: Bool[Tensor, " feature"],
    loss_clean: float | None = None,
    earlier: Sequence[Transcoder] = (),
) -> LayerStats:
    """How well a transcoder stands in for the site that it writes, on these texts.

    Args:
        fired: Which features the training texts activate.
        loss_clean: `mean_loss(subject, texts)`, where it is known already (nats).
        earlier: The layers before it that write to its site too, where it is of a cross-layer set.

    Raises:
        ToolError: no text has a token to predict, or setting the site to zero changes no prediction.
    """
    layers = [*earlier, transcoder]
    fit = fit_on(layers, TextStream(subject, [site for one in layers for site in (one.reads, one.writes)], texts))
    clean = mean_loss(subject, texts) if loss_clean is None else loss_clean
    spliced = mean_loss(subject, texts, splices(layers, {transcoder.layer}))
    ablated = mean_loss(subject, texts, {transcoder.writes: torch.zeros_like})
    return LayerStats(
        layer=transcoder.layer,
        variance_unexplained=fit.unexplained,
        l0=fit.l0,
        dead=1 - (fired.cpu() | fit.fired).float().mean().item(),
        loss_recovered=_recovered(clean, spliced, ablated, transcoder.writes),
        loss_clean=clean,
        loss_spliced=spliced,
        loss_ablated=ablated,
        n_tokens=fit.n_tokens,
    )


def evaluate_set(
    subject: Subject, transcoders: Sequence[Transcoder], texts: Sequence[str], loss_clean: float | None = None
) -> SetStats:
    """How well transcoders stand in for their sites all together: each reads what those before it have left.

    Raises:
        ToolError: no text has a token to predict, or setting the sites to zero changes no prediction.
    """
    clean = mean_loss(subject, texts) if loss_clean is None else loss_clean
    spliced = mean_loss(subject, texts, splices(transcoders))
    ablated = mean_loss(subject, texts, {one.writes: torch.zeros_like for one in transcoders})
    recovered = _recovered(clean, spliced, ablated, ", ".join(one.writes for one in transcoders))
    return SetStats(loss_recovered=recovered, loss_clean=clean, loss_spliced=spliced, loss_ablated=ablated)


def _recovered(clean: float, spliced: float, ablated: float, sites: str) -> float:
    if ablated == clean:
        raise ToolError(
            f"Setting {sites} to zero changes no prediction, so there is no loss to recover.",
            mend="Leave such layers out.",
        )
    return (ablated - spliced) / (ablated - clean)


@dataclass(frozen=True)
class Fit:
    """What features make of a site, without regard to what the model makes of it."""

    unexplained: float  # squared error / variance (share)
    l0: float  # mean features active per token (count)
    fired: Bool[Tensor, " feature"]
    n_tokens: int


def fit_on(layers: Sequence[Transcoder], stream: TextStream) -> Fit:
    """How well the last of these layers rebuilds its site from what the model itself holds.

    Raises:
        ToolError: a text that the subject cannot read.
    """
    last = layers[-1]
    spread = _Spread()
    missed, l0 = torch.zeros(()), 0.0
    fired = torch.zeros(last.n_features, dtype=torch.bool)
    for values in stream.chunks(max(1, MOST_ACTIVATIONS // sum(one.n_features for one in layers))):
        due = values[last.writes]
        acts = [one.encode(values[one.reads]) for one in layers]
        missed = missed + (due - from_layers(layers, values[last.reads], acts)).pow(2).sum().cpu()
        l0 += (acts[-1] > 0).sum(-1).float().mean().item() * len(due)
        fired |= (acts[-1] > 0).any(0).cpu()
        spread.add(due)
    return Fit((missed / spread.total).item(), l0 / spread.n, fired, spread.n)


class _Spread:
    """Summed squared distance from the mean, gathered in parts (Chan, Golub, LeVeque 1979)."""

    def __init__(self) -> None:
        self.n, self.total, self._mean = 0, torch.zeros(()), torch.zeros(())

    def add(self, values: Float[Tensor, "batch d_model"]) -> None:
        n, mean = len(values), values.mean(0)
        self.total = self.total + (values - mean).pow(2).sum().cpu()
        if self.n:
            between = (mean - self._mean).pow(2).sum().cpu()
            self.total = self.total + between * (self.n * n / (self.n + n))
            mean = self._mean + (mean - self._mean) * (n / (self.n + n))
        self.n, self._mean = self.n + n, mean


def mean_loss(subject: Subject, texts: Sequence[str], edits: dict[str, Edit] | None = None) -> float:
    """Next-token loss on texts, with the sites written that `edits` names (nats).

    Raises:
        ToolError: no text has a token to predict.
    """
    total, count = 0.0, 0
    for tokens in passes(subject, texts):
        logits = subject.run(tokens, write=edits).logits
        for row, length in enumerate(tokens.lengths):
            loss = cross_entropy(logits[row, : length - 1].float(), tokens.ids[row, 1:length], reduction="sum")
            total, count = total + loss.item(), count + length - 1
    if not count:
        raise ToolError("No held-out text has a token to predict.", mend="Give texts of several words.")
    return total / count
