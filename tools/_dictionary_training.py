"""Training of per-layer transcoders on a subject's own reading of text.

Transcoders after Dunefsky, Chlenski, Nanda 2024; TopK and the auxiliary loss that revives dead features after Gao et
al. 2024. Deviations, for models of a few million parameters: all tokens are trained on, the first included; inputs and
outputs are standardised by one mean vector and one scale per layer, folded into the weights afterwards; a feature is
dead after `DEAD_AFTER` steps without firing. One thread, so that a seed gives the same weights on the same machine.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ._base import Progress, ToolError, silent
from ._dictionary import TRANSCODERS, Dictionary, Transcoder, dictionary_place
from ._dictionary_file import save_dictionary
from ._dictionary_quality import evaluate_transcoder, mean_loss, read_mlp
from ._subject import Subject
from ._threads import one_thread

MOST_TEXTS = 300  # of a file: minutes on two cores for small models
HELD_OUT = 0.2  # share of the texts
BATCH = 512  # tokens per training step
LEARNING_RATE = 2e-3
WARMUP, DECAY_FROM = 0.05, 0.5  # shares of the steps
DEAD_AFTER = 100  # steps
AUXILIARY_WEIGHT = 1 / 32
EVERY = 50  # steps between reports of progress


@dataclass(frozen=True)
class TranscoderRecipe:
    """What decides a dictionary, apart from the subject and the texts."""

    n_features: int = 512
    k: int = 24
    steps: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class _Standard:
    """A mean and one scale."""

    mean: Float[Tensor, " d_model"]
    scale: Float[Tensor, ""]

    @classmethod
    def of(cls, values: Float[Tensor, "batch d_model"]) -> "_Standard":
        mean = values.mean(0)
        return cls(mean, (values - mean).pow(2).mean().sqrt())

    def __call__(self, values: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch d_model"]:
        return (values - self.mean) / self.scale


def split_texts(texts: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Different texts, shuffled, as (trained on, held out).

    Raises:
        ToolError: too few texts to hold any out.
    """
    distinct = sorted(set(texts))
    random.Random(f"dictionary {seed}").shuffle(distinct)
    held_out = int(len(distinct) * HELD_OUT)
    if not held_out:
        raise ToolError(f"{len(distinct)} different texts are too few.", mend=f"Pass at least {round(1 / HELD_OUT)}.")
    return distinct[held_out:], distinct[:held_out]


def train_transcoders(
    subject: Subject, texts: Sequence[str], recipe: TranscoderRecipe | None = None, progress: Progress = silent
) -> Dictionary:
    """Train one transcoder per layer, and measure each on held-out texts.

    Args:
        texts: Read whole; a fifth of them is held out.

    Raises:
        ToolError: too few texts, a text that the subject cannot read, or the re-initialised twin.
    """
    recipe = recipe or TranscoderRecipe()
    if subject.key.reinit_seed is not None:
        raise ToolError("The re-initialised twin has no dictionaries.", mend="Train on the model itself.")
    trained_on, held_out = split_texts(texts, recipe.seed)
    total = subject.shape.n_layers * recipe.steps
    layers, stats = [], []
    with one_thread():
        loss_clean = mean_loss(subject, held_out)
        for layer in range(subject.shape.n_layers):

            def report(step: int, loss: float, layer: int = layer) -> None:
                progress(layer * recipe.steps + step, total, f"layer {layer}, unexplained {loss:.3f}")

            mlp_in, mlp_out = read_mlp(subject, trained_on, layer)
            trained = fit(layer, mlp_in, mlp_out, recipe, report)
            layers.append(trained)
            progress((layer + 1) * recipe.steps, total, f"layer {layer}, measured on held-out texts")
            fired = (trained.encode(mlp_in) > 0).any(0)
            stats.append(evaluate_transcoder(subject, trained, held_out, fired, loss_clean))
    progress(total, total, "trained")
    return Dictionary(TRANSCODERS, subject.key.fingerprint, tuple(layers), tuple(stats))


def train_from_file(
    subject: Subject, texts: Path, out: Path | None, recipe: TranscoderRecipe, progress: Progress = silent
) -> tuple[Dictionary, Path]:
    """Train on a file of texts and write the dictionary where `dictionary_of` finds it, or at `out`.

    Args:
        texts: JSON (a list of texts, or an object with the list under `texts`), or plain text with one text a line. At
            most `MOST_TEXTS` of them are drawn, each cut to what the subject reads at once.

    Raises:
        ToolError: a file without texts, or whatever `train_transcoders` refuses.
    """
    if out is None and subject.folder is None:
        raise ToolError(f"{subject.name} has no folder to write to.", mend="Say where with `--out FILE.safetensors`.")
    destination = out or dictionary_place(subject, TRANSCODERS)
    drawn = random.Random(f"texts {recipe.seed}").sample(given := read_texts(texts), min(MOST_TEXTS, len(given)))
    made = train_transcoders(subject, [subject.reader.beginning(text) for text in drawn], recipe, progress)
    save_dictionary(made, destination)
    return made, destination


def read_texts(path: Path) -> tuple[str, ...]:
    """The texts of a file.

    Raises:
        ToolError: no such file, or no texts in it.
    """
    mend = 'Give a JSON list of texts, {"texts": [...]}, or a plain file with one text a line.'
    try:
        content = path.read_text(encoding="utf-8")
        found = json.loads(content) if path.suffix == ".json" else content.splitlines()
    except (OSError, ValueError) as error:
        raise ToolError(f"{path} cannot be read: {str(error).splitlines()[0]}.", mend=mend) from error
    if isinstance(found, dict):
        found = found.get("texts")
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ToolError(f"{path} holds no list of texts.", mend=mend)
    texts = tuple(text for text in found if text.strip())
    if not texts:
        raise ToolError(f"{path} holds no text.", mend=mend)
    return texts


def fit(
    layer: int,
    mlp_in: Float[Tensor, "batch d_model"],
    mlp_out: Float[Tensor, "batch d_model"],
    recipe: TranscoderRecipe,
    report: Callable[[int, float], None],
) -> Transcoder:
    """Train one TopK transcoder by its squared error."""
    enter, leave = _Standard.of(mlp_in), _Standard.of(mlp_out)
    inputs, outputs = enter(mlp_in), leave(mlp_out)
    generator = torch.Generator().manual_seed(recipe.seed * 1000 + layer)
    model = _untrained(layer, inputs, recipe, generator)
    weights = [model.W_enc, model.b_enc, model.W_dec, model.b_dec]
    optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / recipe.steps))
    idle = torch.zeros(model.n_features, dtype=torch.long, device=mlp_in.device)
    for step in range(recipe.steps):
        rows = torch.randint(len(inputs), (BATCH,), generator=generator).to(mlp_in.device)
        loss, fired = _loss(model, inputs[rows], outputs[rows], idle > DEAD_AFTER)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        idle = torch.where(fired, 0, idle + 1)
        if (step + 1) % EVERY == 0:
            report(step + 1, float(loss.detach()))
    return _folded(model, enter, leave)


def _untrained(
    layer: int, inputs: Float[Tensor, "batch d_model"], recipe: TranscoderRecipe, generator: torch.Generator
) -> Transcoder:
    """Encoder rows start at inputs that occur, so that few features are dead from the start."""
    d_model = inputs.shape[1]
    rows = torch.randint(len(inputs), (recipe.n_features,), generator=generator).to(inputs.device)
    noise = torch.randn(recipe.n_features, d_model, generator=generator).to(inputs.device)
    start = torch.nn.functional.normalize(inputs[rows] + noise, dim=-1)
    decoder = torch.randn(recipe.n_features, d_model, generator=generator).to(inputs.device) * 0.5 / d_model**0.5
    zeros = inputs.new_zeros
    parts = (start, zeros(recipe.n_features), decoder, zeros(d_model))
    return Transcoder(layer, *(part.requires_grad_() for part in parts), activation="topk", k=recipe.k)


def _rate(done: float) -> float:
    """Share of the learning rate: up, flat, down to nothing."""
    return min(1.0, (done + 1e-3) / WARMUP, (1 - done) / (1 - DECAY_FROM))


def _loss(
    model: Transcoder,
    inputs: Float[Tensor, "batch d_model"],
    outputs: Float[Tensor, "batch d_model"],
    dead: Tensor,
) -> tuple[Float[Tensor, ""], Tensor]:
    """Mean squared error of the standardised output, and which features fired."""
    acts = model.encode(inputs)
    missed = outputs - model.decode(acts)
    loss = missed.pow(2).mean()
    if dead.any():
        pre = (inputs @ model.W_enc[dead].T + model.b_enc[dead]).relu()
        best = pre.topk(min(model.n_features // 4, pre.shape[1]), dim=-1)
        revived = torch.zeros_like(pre).scatter(-1, best.indices, best.values) @ model.W_dec[dead]
        loss = loss + AUXILIARY_WEIGHT * (missed.detach() - revived).pow(2).mean()
    return loss, (acts > 0).any(0)


def _folded(model: Transcoder, enter: _Standard, leave: _Standard) -> Transcoder:
    """The same map on raw inputs and outputs, decoder rows of length one: an activation is the size of its effect."""
    with torch.no_grad():
        length = (model.W_dec.norm(dim=-1) * leave.scale).clamp(min=1e-8)
        W_enc = model.W_enc / enter.scale
        return replace(
            model,
            W_enc=W_enc * length[:, None],
            b_enc=(model.b_enc - W_enc @ enter.mean) * length,
            W_dec=model.W_dec * leave.scale / length[:, None],
            b_dec=model.b_dec * leave.scale + leave.mean,
        )
