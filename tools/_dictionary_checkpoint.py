"""Checkpoints of a training that may be stopped at any moment: written beside the output, atomically, and strict.

`OUT.checkpoint.json` says what is trained and names up to two other files with their SHA-256: the state of the layers
in training, which is none between two groups of layers, and the dictionary of those that are finished. The first is
replaced last, so a reader sees one checkpoint whole or the one before it. A training that goes on from a checkpoint
ends in the same weights, bit for bit on one thread of the same machine, as one that was never stopped.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ._base import ToolError, canonical, digest
from ._dictionary import Dictionary
from ._dictionary_file import load_dictionary, save_dictionary
from ._dictionary_recipe import TranscoderRecipe
from ._dictionary_stream import BLOCKS
from ._whole_file import write_file

SECONDS = 60.0  # between checkpoints
FORMAT = 1  # of what is saved and of how training goes on from it: a checkpoint of another one is refused


State = tuple[dict[str, torch.Tensor], dict[str, Any]]
"""What the layers in training depend on: tensors and plain values."""


@dataclass(frozen=True)
class Saved:
    """A training that was stopped."""

    finished: Dictionary | None
    begins: tuple[tuple[int, int, int], ...]  # of the buffer's blocks
    state: State | None  # none where it was stopped between two groups of layers


def identity(recipe: TranscoderRecipe, fingerprint: str, texts: list[str]) -> dict[str, Any]:
    """What a checkpoint must have been made of to be taken up again."""
    parts = {"recipe": json.loads(canonical(asdict(recipe))), "model": fingerprint, "texts": digest(texts)}
    return parts | {"format": FORMAT}


def _differences(saved: dict[str, Any], due: dict[str, Any]) -> list[str]:
    named = {"model": "another model", "texts": "other texts", "format": "another version of the trainer"}
    found = [said for name, said in named.items() if saved[name] != due[name]]
    recipes = saved["recipe"], due["recipe"]
    return found + [
        f"{name} {recipes[0].get(name)} (now {recipes[1].get(name)})"
        for name in sorted({*recipes[0], *recipes[1]})
        if recipes[0].get(name) != recipes[1].get(name)
    ]


def _places(begins: Any) -> tuple[tuple[int, int, int], ...]:
    """Where the blocks of a buffer begin: of all of them, or of none where it holds every token."""
    whole = len(begins) in (0, BLOCKS) and all(
        len(begin) == 3 and all(type(part) is int and part >= 0 for part in begin) for begin in begins
    )
    if not whole:
        raise ValueError("the places where the buffer's blocks begin are none")
    return tuple((epoch, text, token) for epoch, text, token in begins)


class Checkpoints:
    """The checkpoint of one training."""

    def __init__(self, out: Path, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            out: The file that the training will write.
            seconds: Least time between two checkpoints (seconds).
        """
        self._out, self._seconds, self._clock = out, seconds, clock
        self._last = clock()
        self._identity: dict[str, Any] = {}
        self._known: dict[str, str] = {}  # digests of files; the dictionary of finished layers may be large

    @property
    def path(self) -> Path:
        """The file that names the others."""
        return self._out.with_name(f"{self._out.name}.checkpoint.json")

    def open(self, made_of: dict[str, Any], resume: bool) -> Saved | None:
        """What was saved, where the training goes on; nothing where it begins.

        Raises:
            ToolError: nothing to resume, a checkpoint in the way, one that is damaged or was made of something else.
        """
        self._identity = made_of
        if not resume:
            if self.path.exists():
                raise ToolError(
                    f"{self.path} holds a training that was stopped.",
                    mend="Go on with `--resume`, or delete that file to begin anew.",
                )
            self._remove(keep=set())  # what a checkpoint named that was deleted since
            return None
        if not self.path.is_file():
            raise ToolError(f"There is no checkpoint at {self.path}.", mend="Leave `--resume` out to begin.")
        return self._read()

    def _read(self) -> Saved:
        try:
            head = json.loads(self.path.read_text(encoding="utf-8"))
            if head.pop("digest") != digest(head):
                raise ValueError("it was changed since it was written")
            differs = _differences(head["made_of"], self._identity)
            if differs:
                raise ToolError(
                    f"{self.path} was made with {', '.join(differs)}.",
                    mend="Resume with the same options, model and texts, or delete that file to begin anew.",
                )
            for name, due in head["sha256"].items():
                if self._sha256(name) != due:
                    raise ValueError(f"{name} was changed since it was written")
            finished = load_dictionary(self._beside(head["finished"])) if head["finished"] else None
            state = (load_file(self._beside(head["state"])), head["plain"]) if head["state"] else None
            if state and not isinstance(state[1], dict):
                raise ValueError("it says nothing of the step it is of")
            begins = _places(head["begins"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
            raise ToolError(
                f"{self.path} holds no checkpoint: {str(error).splitlines()[0]}.", mend="Delete it to begin anew."
            ) from error
        self._remove(keep={self.path.name, *head["sha256"]})
        return Saved(finished, begins, state)  # pyright: ignore[reportArgumentType]

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is long enough ago."""
        return self._clock() - self._last >= self._seconds

    def save(self, finished: Dictionary | None, begins: tuple[Any, ...] = (), state: State | None = None) -> None:
        """Write a checkpoint and remove the one before it."""
        done = len(finished.layers) if finished else 0
        names: dict[str, str | None] = {"state": None, "finished": None}
        if state:
            tensors, plain = state
            names["state"] = name = f"{self._out.name}.checkpoint.{done}-{plain['step']}.safetensors"
            kept = {part: value.detach().cpu().contiguous().clone() for part, value in tensors.items()}
            write_file(self._beside(name), lambda part: save_file(kept, part))
            self._known.pop(name, None)
        if finished:
            names["finished"] = name = f"{self._out.name}.checkpoint.{done}.safetensors"
            if not self._beside(name).is_file():  # else it is of an earlier checkpoint of this training
                save_dictionary(finished, self._beside(name))
        files = [name for name in names.values() if name]
        head = {"made_of": self._identity, **names, "begins": [[*begin] for begin in begins]}
        head |= {"plain": state[1] if state else None, "sha256": {name: self._sha256(name) for name in files}}
        head["digest"] = digest(head)
        write_file(self.path, lambda part: part.write_text(canonical(head), encoding="utf-8"))
        self._remove(keep={self.path.name, *files})
        self._last = self._clock()

    def _sha256(self, name: str) -> str:
        if name not in self._known:
            with self._beside(name).open("rb") as file:
                self._known[name] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[name]

    def remove(self) -> None:
        """Remove the checkpoint: the training is finished."""
        self._remove(keep=set())

    def _beside(self, name: str) -> Path:
        if Path(name).name != name:
            raise ValueError(f"{name} is no file name")
        return self._out.parent / name

    def _remove(self, keep: set[str]) -> None:
        if not self._out.parent.is_dir():
            return
        prefix = f"{self._out.name}.checkpoint."
        prefixes = prefix, f".{prefix}"  # the second is of a file that was being written
        for path in sorted(self._out.parent.iterdir(), key=lambda path: path.suffix == ".json", reverse=True):
            if path.name.startswith(prefixes) and path.name not in keep:
                path.unlink(missing_ok=True)
