"""Training of one group of layers, in steps that can be laid down and taken up again.

TopK and the auxiliary loss that revives dead features after Gao et al. 2024. Deviations, for models of a few million
parameters: all tokens are trained on, the first included; values are standardised by one mean vector and one scale per
site, those of the first buffer, folded into the weights afterwards; a feature is dead after `DEAD_AFTER` steps without
firing. Where a linear map goes beside the features, it begins as the least-squares map, so that the features learn what
is not linear.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ._base import ToolError
from ._dictionary import Transcoder
from ._dictionary_kinds import FIRST_SPARSITY, Outcome, Trainee, lengths
from ._dictionary_recipe import BATCH, TranscoderRecipe
from ._dictionary_stream import Buffer
from ._dictionary_writing import written

LEARNING_RATE = 0.064  # over the root of d_model: the same relative change of an encoder row in every width
OF_ATOMS = 3.0  # times that rate for matching pursuit, whose rows keep length one and turn only
WARMUP, DECAY_FROM = 0.05, 0.5  # shares of the steps
EVERY = 10  # steps between reports
EVALUATE_EVERY = 200  # steps between looks at held-out tokens, where training may stop early
LEAST_GAIN = 0.001  # of the share of variance unexplained: less is no improvement
SETTLED = 0.1  # relative change of the number of active features from one look to the next: more is no standstill
COOLDOWN = 200  # steps over which the learning rate goes to nothing when training stops early
ROWS = 8192  # tokens that are standardised at once
LEAST_SPREAD = 1e-6  # of a site, relative to its mean: less is rounding


class Standard(NamedTuple):
    """A mean and one scale."""

    mean: Float[Tensor, " d_model"]
    scale: Float[Tensor, ""]

    def __call__(self, values: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch d_model"]:
        return (values - self.mean) / self.scale


class Training:
    """One run of the trainer over layers that are trained together."""

    def __init__(
        self,
        recipe: TranscoderRecipe,
        layers: Sequence[int],
        buffer: Buffer,
        held_out: Mapping[str, Float[Tensor, "batch d_model"]] | None = None,
    ) -> None:
        """
        Args:
            held_out: Values by site, looked at where the recipe has patience.

        Raises:
            ToolError: a site that holds the same at every token.
        """
        self.recipe, self.layers, self.buffer, self.held_out = recipe, (*layers,), buffer, held_out
        self.reads = [f"{recipe.reads_at}.{layer}" for layer in layers]
        self.writes = [f"{recipe.writes_at}.{layer}" for layer in layers]
        centred = recipe.rule.activation != "mp"
        sites = dict.fromkeys((*self.reads, *self.writes))
        self.standards = {site: _standard(buffer, site, centred) for site in sites}
        self.generator = torch.Generator().manual_seed(recipe.seed * 1000 + self.layers[0])
        self.trainee = self._untrained()
        faster = OF_ATOMS if recipe.rule.activation == "mp" else 1.0
        self.learning_rate = faster * LEARNING_RATE / buffer[self.reads[0]].shape[1] ** 0.5
        self.optimizer = torch.optim.Adam(list(self.trainee.weights.values()), self.learning_rate, betas=(0.9, 0.99))
        self.step, self.end = 0, recipe.steps
        self.best, self.stale, self.active = float("inf"), 0, 0.0

    def run(self, report: Callable[[Outcome], None]) -> list[Transcoder]:
        """Train to the end, or until held-out tokens gain no more."""
        while self.step < self.end:
            outcome = self._advance()
            if self.recipe.patience and self.step % EVALUATE_EVERY == 0:
                self._look()
            if self.step % EVERY == 0 or self.step == self.end:
                self._refuse_divergence(outcome)
                report(outcome)
        return self.finished()

    def _refuse_divergence(self, outcome: Outcome) -> None:
        if not isfinite(outcome.unexplained):
            raise ToolError(
                f"Training diverged: after {self.step} steps the error is no finite number.",
                mend="Give a smaller `--sparsity` where one was given, or another `--kind`.",
            )

    def finished(self) -> list[Transcoder]:
        """The layers as they stand, as maps of raw values."""
        enter, leave = ([self.standards[site] for site in sites] for sites in (self.reads, self.writes))
        with torch.no_grad():
            return [_folded(model, enter[i], leave[i:]) for i, model in enumerate(self.trainee.models())]

    def fit(self, values: Mapping[str, Float[Tensor, "batch d_model"]]) -> tuple[float, float]:
        """Share of the variance at these tokens that the layers miss, and features active a token, mean over layers."""
        models = self.finished()
        reads = [values[site] for site in self.reads]
        acts = [model.encode(value) for model, value in zip(models, reads, strict=True)]
        shares = [
            (due - got).pow(2).sum() / (due - due.mean(0)).pow(2).sum()
            for due, got in zip((values[site] for site in self.writes), written(models, reads, acts), strict=True)
        ]
        active = [(one > 0).sum(-1, dtype=torch.float32).mean() for one in acts]
        return float(torch.stack(shares).mean()), float(torch.stack(active).mean())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the next step depends on, as tensors and as plain values, but for the activations in the buffer."""
        tensors = {f"weights.{name}": value.detach() for name, value in self.trainee.weights.items()}
        tensors |= {f"tracked.{name}": value for name, value in self.trainee.tracked.items()}
        moments = self.optimizer.state_dict()["state"]
        tensors |= {f"moments.{i}.{name}": value for i, own in moments.items() for name, value in own.items()}
        tensors |= {f"standard.{site}.mean": standard.mean for site, standard in self.standards.items()}
        tensors |= {f"standard.{site}.scale": standard.scale for site, standard in self.standards.items()}
        tensors["generator"] = self.generator.get_state()
        best = None if self.best == float("inf") else self.best
        plain = {"step": self.step, "end": self.end, "best": best, "stale": self.stale, "active": self.active}
        return tensors, plain

    def restore(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from a `state`.

        Raises:
            ToolError: it is not the state of such a training.
        """
        self._check_state(tensors, plain)
        with torch.no_grad():
            for name, value in self.trainee.weights.items():
                value.copy_(tensors[f"weights.{name}"])
        for name, value in self.trainee.tracked.items():
            self.trainee.tracked[name] = tensors[f"tracked.{name}"].to(value.device)
        moments: dict[int, dict[str, Tensor]] = {}
        for name in tensors:
            if name.startswith("moments."):
                _, i, part = name.split(".")
                moments.setdefault(int(i), {})[part] = tensors[name]
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        for site, standard in self.standards.items():
            kept = (tensors[f"standard.{site}.{part}"].to(standard.mean.device) for part in Standard._fields)
            self.standards[site] = Standard(*kept)
        self.generator.set_state(tensors["generator"])
        self.step, self.end, self.stale, self.active = (plain[name] for name in ("step", "end", "stale", "active"))
        self.best = float("inf") if plain["best"] is None else plain["best"]

    def _check_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Names, shapes, types and counts are those that this training has itself after a step."""
        due = {name: (value.shape, value.dtype) for name, value in self.state()[0].items()}
        for i, value in enumerate(self.trainee.weights.values()):
            due |= {f"moments.{i}.{name}": (value.shape, value.dtype) for name in ("exp_avg", "exp_avg_sq")}
            due[f"moments.{i}.step"] = (torch.Size(), torch.float32)
        found = {name: (value.shape, value.dtype) for name, value in tensors.items()}
        counts = [plain.get(name) for name in ("step", "end", "stale")] if isinstance(plain, Mapping) else [None]
        sound = found == due and all(type(count) is int and count >= 0 for count in counts)
        if not sound or not 0 < plain["step"] <= plain["end"] <= self.recipe.steps:
            raise ToolError(
                "The checkpoint holds no state of this training.", mend="Delete it to begin anew, without `--resume`."
            )

    def _advance(self) -> Outcome:
        drawn = self.step * BATCH
        for _ in range(self.buffer.due(drawn, drawn + BATCH)):
            self.buffer.refresh()
        rows = torch.randint(len(self.buffer), (BATCH,), generator=self.generator)
        batch = {site: self.standards[site](self.buffer.draw(site, rows)) for site in self.standards}
        outcome = self.trainee.outcome([batch[site] for site in self.reads], [batch[site] for site in self.writes])
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        outcome.loss.backward()
        self.optimizer.step()
        self.trainee.after_step(outcome)
        self.step += 1
        return outcome

    def _rate(self) -> float:
        """Share of the learning rate: up, flat, down to nothing."""
        done = self.step / self.recipe.steps
        rate = min(1.0, (done + 1e-3) / WARMUP, (1 - done) / (1 - DECAY_FROM))
        return rate if self.end == self.recipe.steps else min(rate, (self.end - self.step) / COOLDOWN)

    def _look(self) -> None:
        assert self.held_out is not None, "patience needs held-out tokens"
        found, active = self.fit(self.held_out)
        # A penalty that still makes features fewer costs variance: only what is as sparse can be compared.
        settled = abs(active - self.active) <= SETTLED * self.active
        self.active = active
        if not settled or found < self.best - LEAST_GAIN:
            self.best, self.stale = found, 0
        else:
            self.stale += 1
        if self.stale >= self.recipe.patience and self.end == self.recipe.steps:
            self.end = min(self.end, self.step + COOLDOWN)

    def _untrained(self) -> Trainee:
        weights: dict[str, Tensor] = {}
        tracked = {"seen": torch.zeros((), dtype=torch.long)}
        for i, layer in enumerate(self.layers):
            own, followed = self._untrained_layer(i)
            weights |= {f"{layer}.{name}": value.requires_grad_() for name, value in own.items()}
            tracked |= {f"{layer}.{name}": value for name, value in followed.items()}
        if self.recipe.kind == "relu":
            tracked["sparsity"] = torch.tensor(self.recipe.sparsity or FIRST_SPARSITY)
        return Trainee(self.recipe, self.layers, weights, tracked)

    def _untrained_layer(self, i: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Encoder rows start at inputs that occur, so that few features are dead from the start."""
        recipe, n_features = self.recipe, self.recipe.n_features
        rows = torch.randint(len(self.buffer), (n_features,), generator=self.generator)
        inputs = self.standards[self.reads[i]](self.buffer.draw(self.reads[i], rows))
        d_model = inputs.shape[1]

        def noise() -> Tensor:
            return torch.randn(inputs.shape, generator=self.generator).to(inputs.device)

        start, decoder = normalize(inputs + noise(), dim=-1), noise() * 0.5 / d_model**0.5
        if self.reads[i] == self.writes[i]:
            decoder = start * 0.25
        weights = {"W_enc": start, "b_enc": inputs.new_zeros(n_features)}
        weights |= {"W_dec": decoder, "b_dec": inputs.new_zeros(d_model)}
        tracked = {"idle": torch.zeros(n_features, dtype=torch.long, device=inputs.device)}
        if recipe.rule.activation == "mp":
            weights = {"W_dec": start}
        if recipe.rule.crosses:
            weights |= {f"W_dec_{later}": noise() * 0.5 / d_model**0.5 for later in self.layers[i + 1 :]}
        if recipe.rule.skips:
            weights["W_skip"] = self._linear(self.reads[i], self.writes[i])
        if recipe.kind == "jumprelu":
            level = _chosen_above(inputs[:BATCH] @ start.T, 2 * recipe.k)
            weights["log_threshold"] = level.log().expand(n_features).clone()
        if recipe.rule.batchwise:
            tracked["threshold"] = torch.zeros((), device=inputs.device)
        return weights, tracked

    def _linear(self, read: str, write: str) -> Float[Tensor, "d_model d_model"]:
        """The least-squares map between two sites, in standardised units."""
        d_model = self.buffer[read].shape[1]
        within = torch.zeros(d_model, d_model, dtype=torch.float64, device=self.buffer[read].device)
        across = within.clone()
        for begin in range(0, len(self.buffer), ROWS):
            values = self.standards[read](self.buffer[read][begin : begin + ROWS]).double()
            within += values.T @ values
            across += values.T @ self.standards[write](self.buffer[write][begin : begin + ROWS]).double()
        ridge = torch.eye(d_model, dtype=torch.float64, device=within.device) * within.diagonal().mean() * 1e-9
        return torch.linalg.solve(within + ridge, across).float()


def fit_transcoders(
    values: Mapping[str, Float[Tensor, "batch d_model"]],
    recipe: TranscoderRecipe,
    layers: Sequence[int] = (0,),
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Transcoder]:
    """Train layers on values that are held already, by site."""
    return Training(recipe, layers, Buffer(dict(values))).run(report)


def _standard(buffer: Buffer, site: str, centred: bool) -> Standard:
    """What takes a site's spread to one and, where asked, its mean to zero."""
    values = buffer[site]
    mean, total = values.mean(0), torch.zeros((), dtype=torch.float64, device=values.device)
    for begin in range(0, len(values), ROWS):
        total += (values[begin : begin + ROWS] - mean).pow(2).sum()
    scale = (total / values.numel()).sqrt().float()
    if not scale > LEAST_SPREAD * mean.abs().max():
        raise ToolError(f"`{site}` holds the same at every token.", mend="Train the other layers: name them.")
    return Standard(mean if centred else torch.zeros_like(mean), scale)


def _chosen_above(pre: Float[Tensor, "batch feature"], k: int) -> Float[Tensor, ""]:
    """The level above which k features are active on average, leaving out what each feature was made from."""
    others = pre.clone().fill_diagonal_(-torch.inf).flatten()
    return others.topk(min(k * len(pre), others.numel() - len(pre))).values[-1].clamp(min=1e-3)


def _folded(model: Transcoder, enter: Standard, leave: Sequence[Standard]) -> Transcoder:
    """The same map on raw values, decoder rows of length one: an activation is the size of its effect."""
    decoders = (model.W_dec, *model.W_dec_later)
    length = lengths(decoders) * leave[0].scale
    W_enc = model.W_enc / enter.scale
    W_dec, *later = (one * at.scale / length[:, None] for one, at in zip(decoders, leave, strict=True))
    b_dec = model.b_dec * leave[0].scale + leave[0].mean
    skip: dict[str, Any] = {}
    if model.W_skip is not None:
        skip["W_skip"] = model.W_skip * leave[0].scale / enter.scale
        b_dec = b_dec - enter.mean @ skip["W_skip"]
    return replace(
        model,
        W_enc=W_enc * length[:, None],
        b_enc=(model.b_enc - W_enc @ enter.mean) * length,
        W_dec=W_dec,
        b_dec=b_dec,
        threshold=None if model.threshold is None else model.threshold * length,
        W_dec_later=(*later,),
        **skip,
    )
