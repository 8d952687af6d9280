"""Tensors of a dictionary's files: sizes are known before anything is read, and what is read is finite numbers.

Only safetensors and numpy's npz without pickled objects are opened, so that a file from elsewhere is data and no
program.
"""

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ._base import ToolError

NUMBERS = ("F64", "F32", "F16", "BF16")
WHOLE_NUMBERS = ("I64", "I32")
DAMAGED = "The file is damaged or of another format; fetch it again."
MEMORY_OF_PROCESS = Path("/sys/fs/cgroup/memory.max")
MEMORY_OF_MACHINE = Path("/proc/meminfo")


@dataclass(frozen=True)
class TensorFile:
    """What a file holds, by name; read one tensor at a time."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    get: Callable[[str], Tensor]

    def size(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix.

        Raises:
            ToolError: no such tensor, or one that is no matrix.
        """
        self._refuse_missing([name])
        if len(self.shapes[name]) != 2:
            raise ToolError(f"{self.path}: `{name}` has shape {self.shapes[name]} and is no matrix.", mend=DAMAGED)
        rows, columns = self.shapes[name]
        return rows, columns

    def expect(self, due: Mapping[str, Sequence[int]], allowed: Iterable[str] = ()) -> None:
        """Refuse a file that lacks a tensor, has one of another shape or type, or one that nobody knows.

        Args:
            due: Shape of each tensor that is read as numbers.
            allowed: Names that may stand beside them.

        Raises:
            ToolError: any of these.
        """
        self._refuse_missing(due)
        for name, shape in due.items():
            if self.shapes[name] != tuple(shape):
                found = f"{self.path}: `{name}` has shape {self.shapes[name]}"
                raise ToolError(f"{found}, but {tuple(shape)} is due.", mend=DAMAGED)
            if self.types[name] not in NUMBERS:
                found = f"{self.path}: `{name}` is of type {self.types[name]}"
                raise ToolError(f"{found}.", mend=f"Give tensors of type {', '.join(NUMBERS)}.")
        unknown = sorted(set(self.shapes) - set(due) - set(allowed))
        if unknown:  # it could be part of what the dictionary computes
            raise ToolError(
                f"{self.path} has a tensor `{unknown[0]}`, which means nothing here.",
                mend=f"Of this kind of dictionary these are read: {', '.join(sorted({*due, *allowed}))}.",
            )

    def read(self, name: str) -> Float[Tensor, "*any"]:
        """A tensor, in single precision at least.

        Raises:
            ToolError: it holds NaN or infinity, or less than its header says.
        """
        found = self._get(name)
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        if not found.isfinite().all():
            bad = int((~found.isfinite()).sum())
            raise ToolError(f"{self.path}: `{name}` has {bad} entries that are NaN or infinite.", mend=DAMAGED)
        return found

    def read_whole(self, name: str) -> Int[Tensor, "*any"]:
        """A tensor of whole numbers.

        Raises:
            ToolError: it is of another type.
        """
        if self.types[name] not in WHOLE_NUMBERS:
            raise ToolError(f"{self.path}: `{name}` is of type {self.types[name]}, no whole number.", mend=DAMAGED)
        return self._get(name).to(torch.int64)

    def _get(self, name: str) -> Tensor:
        try:
            return self.get(name)
        except (SafetensorError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ToolError(f"{self.path}: `{name}` cannot be read: {_first_line(error)}.", mend=DAMAGED) from error

    def _refuse_missing(self, names: Iterable[str]) -> None:
        missing = [name for name in names if name not in self.shapes]
        if missing:
            raise ToolError(f"{self.path} lacks the tensor `{missing[0]}`.", mend=DAMAGED)


def open_tensors(path: Path) -> TensorFile:
    """A safetensors or npz file; its header is read, its tensors are not.

    Raises:
        ToolError: no such file, or none of these.
    """
    if not path.is_file():
        raise ToolError(f"There is no file {path}.", mend="Complete the folder, or fetch it again.")
    return _open_npz(path) if path.suffix == ".npz" else _open_safetensors(path)


def _open_safetensors(path: Path) -> TensorFile:
    def get(name: str) -> Tensor:
        with safe_open(path, framework="pt", device="cpu") as file:
            return file.get_tensor(name)

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            types = {name: str(part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ToolError(f"{path} is no safetensors file: {_first_line(error)}.", mend=DAMAGED) from error
    return TensorFile(path, shapes, types, get)


def _open_npz(path: Path) -> TensorFile:
    def get(name: str) -> Tensor:
        with np.load(path, allow_pickle=False) as file:
            return torch.from_numpy(file[name])

    shapes, types = {}, {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    shape, _, kind = header[version](stream)
                name = member.removesuffix(".npy")
                shapes[name] = tuple(shape)
                types[name] = {"f2": "F16", "f4": "F32", "f8": "F64"}.get(kind.str.lstrip("<|="), str(kind))
    except (zipfile.BadZipFile, OSError, ValueError, KeyError) as error:
        raise ToolError(f"{path} is no npz file: {_first_line(error)}.", mend=DAMAGED) from error
    return TensorFile(path, shapes, types, get)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def inside(folder: Path, name: str) -> Path:
    """A file that a configuration names, which must lie in its folder.

    Raises:
        ToolError: the name leads out of the folder.
    """
    # By the name alone: in a hub's cache the files themselves are links to elsewhere.
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or Path(name).is_absolute() or not parts.parts:
        raise ToolError(
            f"The configuration in {folder} names {name!r}, which is not in that folder.",
            mend="Put the file into the folder and name it by its path there, or as hf://ORG/REPO/FILE.",
        )
    return folder / parts


def room(device: torch.device | str) -> int:
    """Bytes that a dictionary may take on a device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if MEMORY_OF_MACHINE.is_file():
        rows = dict(line.split(":", 1) for line in MEMORY_OF_MACHINE.read_text().splitlines())
        limits.append(int(rows["MemAvailable"].split()[0]) * 1024)
    if MEMORY_OF_PROCESS.is_file() and (limit := MEMORY_OF_PROCESS.read_text().strip()) != "max":
        limits.append(int(limit))
    return min(limits)


LESS = "Load fewer layers or fewer features, use a shorter element type, or a machine with more memory."


def require_room(what: str, needed: int, device: torch.device | str, mend: str = LESS) -> None:
    """Refuse, before it is read, what would not fit in memory.

    Raises:
        ToolError: too large; says how large.
    """
    free = room(device)
    if needed > free:
        raise ToolError(
            f"{what} takes {needed / 2**30:.3g} GiB in memory, and {free / 2**30:.3g} GiB are free on {device}.",
            mend=mend,
        )
