"""Training of dictionaries on a subject's own reading of text: every kind, at every site that the recipe names.

Each layer's dictionary is trained alone, a cross-layer set together, and measured on texts held out. One thread, so
that a seed gives the same weights on the same machine.
"""

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
from ._dictionary_texts import WATCHED, parts_of, read_texts
from ._subject import REFERENCE_FOLDER, Subject
from ._threads import one_thread

MOST_TEXTS = 10_000  # of a file


class Trained(NamedTuple):
    """A dictionary, its file, and how well its layers do all together."""

    dictionary: Dictionary
    path: Path
    together: SetStats


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
    overwrite: bool = False,
) -> Trained:
    """Train on a file of texts and write the dictionary where `dictionary_of` finds it, or at `out`.

    Args:
        texts: JSON (a list of texts, or an object with the list under `texts`), or plain text with one text a line. At
            most `MOST_TEXTS` of them are drawn, each cut to what the subject reads at once.
        resume: Whether to go on from the checkpoint of a training that was stopped.
        overwrite: Whether a dictionary that stands there already may go.

    Raises:
        ToolError: a file without texts, a place that cannot be written or is taken, or whatever `train_transcoders`
            refuses.
    """
    _check_subject(subject, recipe)
    destination = out or _own_place(subject, recipe)
    given = read_texts(texts)
    _check_place(destination, overwrite or resume)  # what is resumed was allowed to write there
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


def _own_place(subject: Subject, recipe: TranscoderRecipe) -> Path:
    """Beside the model, where `dictionary_of` looks, unless the model is one that ships."""
    if subject.folder is None or subject.folder.is_relative_to(REFERENCE_FOLDER):
        raise ToolError(
            f"{subject.name} has no folder of yours to write to.", mend="Say where with `--out FILE.safetensors`."
        )
    return dictionary_place(subject, dictionary_name(recipe))


def _check_place(path: Path, overwrite: bool) -> None:
    mend = "Give `--out` a file ending in .safetensors, in a folder that you may write to."
    if path.suffix != ".safetensors" or path.is_dir():
        raise ToolError(f"{path} is no place for a dictionary.", mend=mend)
    if path.exists() and not overwrite:
        raise ToolError(
            f"{path} stands already.", mend="Write to another file with `--out`, or let it go with `--overwrite`."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ToolError(f"{path.parent} cannot be written: {error.strerror}.", mend=mend) from error
