"""Encoder and loss of each kind of dictionary while it is trained.

Everything here is in standardised units: inputs and outputs have mean zero and one unit of variance per coordinate, so
a squared error is a share of the variance. The features of a token are chosen by the size of their effect (activation
times length of the decoder row), which is what an activation means once the decoder rows have been given length one:
the trained dictionary then chooses the same features. Sources stand in `_dictionary_recipe.py`. Deviations: unless the
weight of a penalty is given, that of ReLU is steered until k features are active, and JumpReLU is held to k by the
squared relative distance (Rajamanoharan et al. 2024 name that choice too); JumpReLU's thresholds begin where 2k
features are active, and its kernel is as wide as what a random direction varies by, because batches are small.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._dictionary import Transcoder
from ._dictionary_recipe import TranscoderRecipe
from ._dictionary_writing import written

DEAD_AFTER = 100  # steps without firing
AUXILIARY_WEIGHT = 1 / 32
PREFIXES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of a Matryoshka dictionary's features
FOLLOWS = 0.01  # share by which the threshold of a batchwise kind follows each batch
BANDWIDTH = 1.0  # of the rectangle kernel through which a JumpReLU's threshold learns
FIRST_SPARSITY = 0.05  # what the weight of ReLU's penalty is steered from
TINY = 1e-8  # least length of a decoder row that anything is divided by
STEERING = 0.01  # largest relative change of that weight in a step


@dataclass(frozen=True)
class Outcome:
    """What one batch says."""

    loss: Float[Tensor, ""]
    unexplained: float  # share of the variance, mean over layers
    l0: float  # features active per token, mean over layers (count)
    fired: tuple[Bool[Tensor, " feature"], ...]  # per layer
    weakest: tuple[float, ...]  # per layer the smallest effect among the features chosen, for batchwise kinds


class Trainee:
    """The layers in training: `weights` is what the optimiser moves, `tracked` what follows from what was seen."""

    def __init__(
        self, recipe: TranscoderRecipe, layers: Sequence[int], weights: dict[str, Tensor], tracked: dict[str, Tensor]
    ) -> None:
        self.recipe, self.layers, self.weights, self.tracked = recipe, layers, weights, tracked

    def models(self) -> list[Transcoder]:
        """The layers as they stand, in standardised units."""
        return [self._model(layer) for layer in self.layers]

    def _model(self, layer: int) -> Transcoder:
        recipe, rule = self.recipe, self.recipe.rule
        own = {name.partition(".")[2]: value for name, value in self.weights.items() if name.startswith(f"{layer}.")}
        W_dec, threshold = own["W_dec"], None
        if rule.batchwise:  # of the effect; per feature, of the activation
            threshold = self.tracked[f"{layer}.threshold"] / lengths([W_dec])
        elif "log_threshold" in own:
            threshold = own["log_threshold"].exp()
        later = tuple(own[f"W_dec_{other}"] for other in self.layers if f"W_dec_{other}" in own)
        return Transcoder(
            layer,
            own.get("W_enc", W_dec),  # a pursuit reads what it writes, and has no biases
            own["b_enc"] if "b_enc" in own else W_dec.new_zeros(len(W_dec)),
            W_dec,
            own["b_dec"] if "b_dec" in own else W_dec.new_zeros(W_dec.shape[1]),
            rule.activation,
            k=recipe.k if rule.activation in ("topk", "mp") else None,
            threshold=threshold,
            W_skip=own.get("W_skip"),
            W_dec_later=later,
            reads_at=recipe.reads_at,
            writes_at=recipe.writes_at,
        )

    def outcome(
        self, inputs: Sequence[Float[Tensor, "batch d_model"]], outputs: Sequence[Float[Tensor, "batch d_model"]]
    ) -> Outcome:
        """Encode, decode and judge one batch; inputs and outputs are given per layer."""
        rule, models = self.recipe.rule, self.models()
        pres = [self._before(model, value) for model, value in zip(models, inputs, strict=True)]
        acts = [self._encode(*of) for of in zip(models, inputs, pres, strict=True)]
        missed = [due - got for due, got in zip(outputs, written(models, inputs, acts), strict=True)]
        errors = [one.pow(2).mean() for one in missed]
        loss = _nested_error(models[0], acts[0], outputs[0]) if rule.nested else sum(errors[1:], errors[0])
        for i, model in enumerate(models):
            if rule.penalised:
                loss = loss + self._penalty(model, pres[i], acts[i])
            dead = self.tracked[f"{model.layer}.idle"] > DEAD_AFTER
            if dead.any():
                loss = loss + AUXILIARY_WEIGHT * _revival(model, dead, inputs[i], missed[i:])
        on = [one.detach() > 0 for one in acts]
        return Outcome(
            loss=loss,
            unexplained=sum(float(error.detach()) for error in errors) / len(errors),
            l0=sum(float(one.sum(-1, dtype=torch.float32).mean()) for one in on) / len(on),
            fired=tuple(one.any(0) for one in on),
            weakest=tuple(map(_weakest, models, acts)) if rule.batchwise else (),
        )

    def after_step(self, outcome: Outcome) -> None:
        """What follows from a batch, beside the optimiser's step."""
        rule, tracked = self.recipe.rule, self.tracked
        tracked["seen"] += 1
        for layer, fired in zip(self.layers, outcome.fired, strict=True):
            tracked[f"{layer}.idle"] = torch.where(fired, 0, tracked[f"{layer}.idle"] + 1)
        if rule.batchwise:
            share = max(FOLLOWS, 1 / int(tracked["seen"]))  # at first the plain mean
            for layer, weakest in zip(self.layers, outcome.weakest, strict=True):
                if math.isfinite(weakest):  # else no feature was active in this batch
                    tracked[f"{layer}.threshold"].mul_(1 - share).add_(share * weakest)
        if "sparsity" in tracked and self.recipe.sparsity is None:
            excess = math.log(max(outcome.l0, 0.1) / self.recipe.k)
            tracked["sparsity"] *= 1 + STEERING * max(-1.0, min(1.0, excess))
        if rule.activation == "mp":
            with torch.no_grad():
                for layer in self.layers:
                    atoms = self.weights[f"{layer}.W_dec"]
                    atoms /= atoms.norm(dim=-1, keepdim=True).clamp(min=TINY)

    def _before(self, model: Transcoder, value: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch feature"]:
        """What enters the nonlinearity."""
        return value @ model.W_enc.T + model.b_enc

    def _encode(
        self, model: Transcoder, value: Float[Tensor, "batch d_model"], pre: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch feature"]:
        rule, k = self.recipe.rule, self.recipe.k
        if rule.activation == "mp":
            return _pursue(model, value)
        if self.recipe.kind == "jumprelu":
            return _Jump.apply(pre, model.threshold)  # pyright: ignore[reportReturnType]
        acts = pre.relu()
        if self.recipe.kind == "relu":
            return acts
        effect = acts.detach() * _effects(model)
        if rule.batchwise:
            best = effect.flatten().topk(k * len(value), sorted=False).indices
            chosen = torch.zeros_like(effect).flatten().scatter(0, best, 1.0)
            return acts * chosen.view_as(acts)
        best = effect.topk(k, dim=-1, sorted=False).indices
        return torch.zeros_like(acts).scatter(-1, best, acts.gather(-1, best))

    def _penalty(
        self, model: Transcoder, pre: Float[Tensor, "batch feature"], acts: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, ""]:
        if self.recipe.kind == "relu":
            total = (acts * lengths([model.W_dec])).sum(-1).mean()
            return self.tracked["sparsity"] * total / model.W_dec.shape[1] ** 0.5
        l0: Tensor = _Count.apply(pre.detach(), model.threshold).sum(-1).mean()  # pyright: ignore
        if self.recipe.sparsity is None:
            return (l0 / self.recipe.k - 1).pow(2)
        return self.recipe.sparsity * l0


def _pursue(model: Transcoder, value: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch feature"]:
    """Matching pursuit as `Transcoder.encode` has it, but that only the features chosen carry a gradient."""
    assert model.k is not None
    rest, chosen, amounts = value, [], []
    for _ in range(model.k):
        best = (rest.detach() @ model.W_dec.detach().T).argmax(-1)
        atom = model.W_dec[best]
        amount = (rest * atom).sum(-1, keepdim=True).relu()
        rest = rest - amount * atom
        chosen.append(best[:, None])
        amounts.append(amount)
    acts = value.new_zeros(len(value), model.n_features)
    return acts.scatter_add(-1, torch.cat(chosen, -1), torch.cat(amounts, -1))


def _weakest(model: Transcoder, acts: Float[Tensor, "batch feature"]) -> float:
    """The smallest effect among the features that are active."""
    effect = acts.detach() * _effects(model)
    return float(torch.where(effect > 0, effect, torch.inf).min())


def lengths(decoders: Sequence[Float[Tensor, "feature d_model"]]) -> Float[Tensor, " feature"]:
    """Length of each feature's decoder row, over all that it writes."""
    return torch.stack([one.pow(2).sum(-1) for one in decoders]).sum(0).sqrt().clamp(min=TINY)


def _effects(model: Transcoder) -> Float[Tensor, " feature"]:
    return lengths([model.W_dec.detach(), *(one.detach() for one in model.W_dec_later)])


def _nested_error(
    model: Transcoder, acts: Float[Tensor, "batch feature"], due: Float[Tensor, "batch d_model"]
) -> Float[Tensor, ""]:
    """Mean squared error of what each prefix of the features writes alone, mean over prefixes."""
    total, begin, errors = model.b_dec.expand_as(due), 0, []
    for share in PREFIXES:
        end = max(1, round(share * model.n_features))
        total = total + acts[:, begin:end] @ model.W_dec[begin:end]
        errors.append((due - total).pow(2).mean())
        begin = end
    return torch.stack(errors).mean()


def _revival(
    model: Transcoder,
    dead: Bool[Tensor, " feature"],
    value: Float[Tensor, "batch d_model"],
    missed: Sequence[Float[Tensor, "batch d_model"]],
) -> Float[Tensor, ""]:
    """Squared error of what the features that died make of what the others miss (Gao et al. 2024).

    Args:
        missed: At its own layer, and at the later ones that it writes to.
    """
    if model.activation == "mp":
        fit = (missed[0].detach() @ model.W_dec[dead].T).relu()
        n_revived = 1
    else:
        fit = (value @ model.W_enc[dead].T + model.b_enc[dead]).relu()
        n_revived = min(model.n_features // 4, fit.shape[1])
    best = fit.topk(n_revived, dim=-1)
    acts = torch.zeros_like(fit).scatter(-1, best.indices, best.values)
    decoders = (model.W_dec, *model.W_dec_later)
    errors = [
        (due.detach() - acts @ decoder[dead]).pow(2).mean() for due, decoder in zip(missed, decoders, strict=False)
    ]
    return sum(errors[1:], errors[0])


class _Jump(torch.autograd.Function):
    """JumpReLU; its threshold learns from what lies within the kernel around it."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < BANDWIDTH / 2).to(pre.dtype) / BANDWIDTH
        return grads[0] * (pre > threshold), -(grads[0] * near).sum(0) * threshold


class _Count(torch.autograd.Function):
    """Whether a feature is active, as a number; only the threshold learns."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < BANDWIDTH / 2).to(pre.dtype) / BANDWIDTH
        return None, -(grads[0] * near).sum(0)
