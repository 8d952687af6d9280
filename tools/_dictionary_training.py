"""Training of dictionaries on a subject's own reading of text: every kind, at every site that the recipe names.

Each layer's dictionary is trained alone, a cross-layer set together, and measured on texts held out. One thread, so
that a seed gives the same weights on the same machine.
"""

import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from ._base import Progress, ToolError, silent
from ._dictionary import TRANSCODERS, Dictionary, LayerStats, Transcoder, dictionary_place
from ._dictionary_checkpoint import Checkpoints, Saved, identity
from ._dictionary_file import save_dictionary
from ._dictionary_fit import Outcome, Training
from ._dictionary_quality import MOST_ACTIVATIONS, SetStats, evaluate_set, evaluate_transcoder, mean_loss
from ._dictionary_recipe import TranscoderRecipe, check_recipe
from ._dictionary_stream import Buffer, Place, TextStream
from ._subject import Subject
from ._threads import one_thread

MOST_TEXTS = 10_000  # of a file
HELD_OUT = 0.2  # share of the texts
HELD_OUT_TOKENS = 2**14  # at most, of those texts; the others are trained on
WATCHED_SHARE, WATCHED = 0.1, 4096  # of the other texts, and tokens at most: where training may stop early


class Trained(NamedTuple):
    """A dictionary, its file, and how well its layers do all together."""

    dictionary: Dictionary
    path: Path
    together: SetStats


def split_texts(texts: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Different texts, shuffled, as (trained on, held out).

    Raises:
        ToolError: too few texts to hold any out.
    """
    distinct = sorted(set(texts))
    random.Random(f"dictionary {seed}").shuffle(distinct)
    held_out = int(len(distinct) * HELD_OUT)
    if not held_out:
        raise ToolError(
            f"{len(distinct)} different texts are too few, for some are held out.",
            mend=f"Pass at least {round(1 / HELD_OUT)}; in a plain file each line is a text.",
        )
    return distinct[held_out:], distinct[:held_out]


def train_transcoders(
    subject: Subject,
    texts: Sequence[str],
    recipe: TranscoderRecipe | None = None,
    progress: Progress = silent,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> Dictionary:
    """Train a dictionary, and measure each layer on held-out texts.

    Args:
        texts: Read whole; a fifth of them is held out.
        checkpoints: Where to save what is under way.
        resume: Whether to go on from there.

    Raises:
        ToolError: a recipe that does not fit the subject, too few texts, a text that the subject cannot read, the
            re-initialised twin, or a checkpoint that is not of this training.
    """
    recipe = recipe or TranscoderRecipe()
    _check_subject(subject, recipe)
    with one_thread():
        return _Run(subject, texts, recipe, progress, checkpoints, resume).train()


def _check_subject(subject: Subject, recipe: TranscoderRecipe) -> None:
    if subject.key.reinit_seed is not None:
        raise ToolError("The re-initialised twin has no dictionaries.", mend="Train on the model itself.")
    check_recipe(recipe, subject.shape.n_layers)


class _Run:
    """One training of all layers."""

    def __init__(
        self,
        subject: Subject,
        texts: Sequence[str],
        recipe: TranscoderRecipe,
        progress: Progress,
        checkpoints: Checkpoints | None,
        resume: bool,
    ) -> None:
        self.subject, self.recipe, self.progress, self.checkpoints = subject, recipe, progress, checkpoints
        self.trained_on, self.watched, self.held_out = parts_of(subject, texts, recipe)
        self.groups = recipe.groups(subject.shape.n_layers)
        self.total = len(self.groups) * recipe.steps
        self.layers: list[Transcoder] = []
        self.stats: list[LayerStats] = []
        self.saved: Saved | None = None
        if checkpoints:
            made_of = identity(recipe, subject.key.fingerprint, [*self.trained_on, *self.watched, *self.held_out])
            self.saved = checkpoints.open(made_of, resume)

    def train(self) -> Dictionary:
        """Every group in turn."""
        if self.saved and self.saved.finished:
            finished, device = self.saved.finished, self.subject.device
            self.layers += [on_device(one, device) for one in finished.layers if isinstance(one, Transcoder)]
            self.stats += finished.stats
        loss_clean = mean_loss(self.subject, self.held_out)
        for group in self.groups[len(self.layers) :]:
            buffer, made = self._train_group(group)
            self.progress(self._done(self.recipe.steps), self.total, f"{_named(group)}, measured on held-out texts")
            stats = []
            for i, one in enumerate(made):
                fired = _fired(one, buffer)
                stats.append(evaluate_transcoder(self.subject, one, self.held_out, fired, loss_clean, made[:i]))
            self.layers += made
            self.stats += stats
            if self.checkpoints:
                self.checkpoints.save(self._dictionary())
        self.progress(self.total, self.total, "trained")
        return self._dictionary()

    def _train_group(self, group: tuple[int, ...]) -> tuple[Buffer, list[Transcoder]]:
        recipe, saved, self.saved = self.recipe, self.saved, None
        self.progress(self._done(0), self.total, f"{_named(group)}, reading texts")
        sites = [f"{kind}.{layer}" for kind in (recipe.reads_at, recipe.writes_at) for layer in group]
        begins = [Place(*begin) for begin in saved.begins] if saved else []
        buffer = Buffer.of(TextStream(self.subject, sites, self.trained_on, recipe.seed), recipe.buffer, begins)
        watched = None
        if recipe.patience:
            watched = next(TextStream(self.subject, sites, self.watched).chunks(WATCHED))
        training = Training(recipe, group, buffer, watched)
        if saved and saved.state:
            training.restore(*saved.state)

        def save(checkpoints: Checkpoints) -> None:
            checkpoints.save(self._dictionary() if self.layers else None, buffer.begins, training.state())

        def report(outcome: Outcome) -> None:
            if self.checkpoints and self.checkpoints.due:
                save(self.checkpoints)
            said = f"{_named(group)}, unexplained {outcome.unexplained:.3f}, {outcome.l0:.1f} active"
            try:
                self.progress(self._done(training.step), self.total, said)
            except KeyboardInterrupt:  # between two steps, so that the state is whole
                if self.checkpoints:
                    save(self.checkpoints)
                raise

        return buffer, training.run(report)

    def _done(self, step: int) -> int:
        groups = len(self.layers) if not self.recipe.rule.crosses else 0
        return groups * self.recipe.steps + step

    def _dictionary(self) -> Dictionary:
        name, fingerprint = dictionary_name(self.recipe), self.subject.key.fingerprint
        return Dictionary(name, fingerprint, (*self.layers,), (*self.stats,))


def on_device(one: Transcoder, device: torch.device) -> Transcoder:
    """A layer read from a file, where the subject is; in single precision, as it was trained."""
    parts = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "W_skip")
    moved = {name: value.to(device) for name in parts if (value := getattr(one, name)) is not None}
    return replace(one, **moved, W_dec_later=tuple(value.to(device) for value in one.W_dec_later))


def _named(group: Sequence[int]) -> str:
    return f"layer {group[0]}" if len(group) == 1 else f"layers {group[0]} to {group[-1]}"


def _fired(one: Transcoder, buffer: Buffer) -> Bool[Tensor, " feature"]:
    """Which features any token in the buffer activates."""
    values, size = buffer[one.reads], max(1, MOST_ACTIVATIONS // one.n_features)
    fired = [(one.encode(values[begin : begin + size]) > 0).any(0) for begin in range(0, len(values), size)]
    return torch.stack(fired).any(0)


class Parts(NamedTuple):
    """Texts by what they are for; no text is in two parts."""

    trained_on: list[str]
    watched: list[str]  # decide when training stops early, and so are no measure of how good it is
    held_out: list[str]


def parts_of(subject: Subject, texts: Sequence[str], recipe: TranscoderRecipe) -> Parts:
    """What each text is for: at most `HELD_OUT_TOKENS` tokens are held out, one text at least.

    Raises:
        ToolError: too few texts, or one that the subject cannot read.
    """
    trained_on, held_out = split_texts(texts, recipe.seed)
    kept = _fitting(subject, held_out, HELD_OUT_TOKENS)
    trained_on = [*trained_on, *held_out[kept:]]
    seen = _fitting(subject, trained_on[: max(1, int(len(trained_on) * WATCHED_SHARE))], WATCHED)
    if not recipe.patience:
        seen = 0
    return Parts(trained_on[seen:], trained_on[:seen], held_out[:kept])


def _fitting(subject: Subject, texts: Sequence[str], most_tokens: int) -> int:
    """How many of these texts have no more tokens; one at least."""
    tokens = 0
    for kept, text in enumerate(texts):
        tokens += len(subject.reader.encode(text))
        if kept and tokens > most_tokens:
            return kept
    return len(texts)


def dictionary_name(recipe: TranscoderRecipe) -> str:
    """What a dictionary is called by default; the plain transcoders are what instruments take unasked.

    A few layers get a name of their own, so that they do not take the place of all.
    """
    plain = (recipe.kind, recipe.site) == (TranscoderRecipe.kind, TranscoderRecipe.site)
    name = TRANSCODERS if plain else f"{recipe.kind}-{recipe.site}"
    return name if recipe.layers is None else f"{name}-layer-{'-'.join(map(str, recipe.layers))}"


def train_from_file(
    subject: Subject,
    texts: Path,
    out: Path | None,
    recipe: TranscoderRecipe,
    progress: Progress = silent,
    resume: bool = False,
) -> Trained:
    """Train on a file of texts and write the dictionary where `dictionary_of` finds it, or at `out`.

    Args:
        texts: JSON (a list of texts, or an object with the list under `texts`), or plain text with one text a line. At
            most `MOST_TEXTS` of them are drawn, each cut to what the subject reads at once.
        resume: Whether to go on from the checkpoint of a training that was stopped.

    Raises:
        ToolError: a file without texts, a place that cannot be written, or whatever `train_transcoders` refuses.
    """
    _check_subject(subject, recipe)
    if out is None and subject.folder is None:
        raise ToolError(f"{subject.name} has no folder to write to.", mend="Say where with `--out FILE.safetensors`.")
    destination = out or dictionary_place(subject, dictionary_name(recipe))
    given = read_texts(texts)
    _check_place(destination)
    drawn = random.Random(f"texts {recipe.seed}").sample(given, min(MOST_TEXTS, len(given)))
    cut = [subject.reader.beginning(text) for text in drawn]
    checkpoints = Checkpoints(destination)
    try:
        made = train_transcoders(subject, cut, recipe, progress, checkpoints, resume)
    except KeyboardInterrupt as stop:
        if not checkpoints.path.exists():
            raise
        raise KeyboardInterrupt(
            f"What is trained so far is in {checkpoints.path}; to go on, give the same command with `--resume`."
        ) from stop
    save_dictionary(made, destination)
    checkpoints.remove()
    held_out = parts_of(subject, cut, recipe).held_out
    layers = [one for one in made.layers if isinstance(one, Transcoder)]
    with one_thread():
        together = evaluate_set(subject, layers, held_out, made.stats[0].loss_clean)
    return Trained(made, destination, together)


def _check_place(path: Path) -> None:
    mend = "Give `--out` a file ending in .safetensors, in a folder that you may write to."
    if path.suffix != ".safetensors" or path.is_dir():
        raise ToolError(f"{path} is no place for a dictionary.", mend=mend)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ToolError(f"{path.parent} cannot be written: {error.strerror}.", mend=mend) from error


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
