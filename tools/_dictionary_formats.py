"""Where a dictionary lies, and which format it has: a name, a file, a folder, or a repository in the hub's cache.

| format | recognised by |
| --- | --- |
| our own | a safetensors file with our metadata |
| SAELens | `cfg.json` in the folder, or in folders of the folder |
| circuit-tracer | `config.yaml` |
| Gemma Scope | `params.npz` |
| Gemma Scope 2 | `params.safetensors`, or `params_layer_L.safetensors` |

Nothing is fetched unless the caller allows it, and never where `HF_HUB_OFFLINE` forbids it.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open

from ._base import ToolError
from ._dictionary import FOLDER, NEURONS, TRANSCODERS
from ._dictionary_circuit_tracer import CONFIG as CIRCUIT_TRACER_CONFIG, read_circuit_tracer
from ._dictionary_gemmascope import CROSS_LAYER, PARAMETERS, PARAMETERS_2, read_gemmascope, read_gemmascope_2
from ._dictionary_saelens import CONFIG as SAELENS_CONFIG, WEIGHTS, read_saelens
from ._dictionary_source import Source

ENTRY = "vesalius_dictionary"
"""Key of our own files' metadata."""

ALLOWED = (
    f"Give `{NEURONS}`, `{TRANSCODERS}`, or a path ending in .safetensors, to a folder of SAELens, circuit-tracer or "
    "Gemma Scope, or hub:ORG/REPO/PATH@REVISION."
)
FILES = (WEIGHTS, SAELENS_CONFIG, CIRCUIT_TRACER_CONFIG, PARAMETERS, PARAMETERS_2)
_HUB = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<path>[^@]+?))?/?(?:@(?P<revision>[\w./-]+))?")
_WHOLE_REPOSITORY = (
    SAELENS_CONFIG,
    WEIGHTS,
    CIRCUIT_TRACER_CONFIG,
    "config.json",
    "params.*",
    "layer_*.safetensors",
    "W_???_*.safetensors",
)


class HubPath(NamedTuple):
    """A file or folder of a repository on a hub."""

    repo: str
    path: str
    revision: str | None

    def __str__(self) -> str:
        return "/".join(filter(None, (self.repo, self.path))) + (f"@{self.revision}" if self.revision else "")


def hub_path(name: str) -> HubPath | None:
    """The hub path that a name is, with `hub:` or `hf://` in front or bare; none where it is none."""
    if name.startswith("hf://"):
        parts = urlsplit(name)
        revision = parse_qs(parts.query).get("revision", [None])[0]
        name = f"{parts.netloc}{parts.path}" + (f"@{revision}" if revision else "")
    found = _HUB.fullmatch(name.removeprefix("hub:"))
    if not found or {"", ".", ".."} & set((found["path"] or "file").split("/")):  # no way out of the snapshot
        return None
    return HubPath(found["repo"], found["path"] or "", found["revision"])


def located(name: str, folder: Path | None, download: bool = False) -> Path:
    """The file or folder of a dictionary.

    Args:
        name: A plain name, a path, or a hub path. What is here goes before what a hub has.
        folder: Where plain names are looked for; none where there is no model.
        download: Whether what the cache lacks may be fetched.

    Raises:
        ToolError: nothing there, or a name of another form.
    """
    if re.fullmatch(r"[\w-]+", name) and folder is not None:
        plain = folder / FOLDER / name
        return plain if plain.is_dir() and not _with_suffix(plain).is_file() else _with_suffix(plain)
    if name and not name.startswith(("hub:", "hf://")) and (os.path.exists(name) or name.endswith(".safetensors")):
        return Path(name)
    there = hub_path(name)
    if there is None:
        raise ToolError(f"`{name}` names no dictionary.", mend=ALLOWED)
    return fetched(there, download)


def _with_suffix(plain: Path) -> Path:
    return plain.parent / f"{plain.name}.safetensors"


def fetched(there: HubPath, download: bool) -> Path:
    """Where the hub's cache has this file or folder.

    Raises:
        ToolError: it is not there, and may not or cannot be fetched.
    """
    wanted = [there.path, f"{there.path}/*"] if there.path else [*_WHOLE_REPOSITORY]
    try:
        snapshot = snapshot_download(
            there.repo, revision=there.revision, allow_patterns=wanted, local_files_only=not download
        )
    except (OSError, ValueError) as error:  # what huggingface_hub raises for a bad name, no cache, and no network
        how = "could not be fetched" if download else "was not fetched before"
        raise ToolError(
            f"{there} is no dictionary here, and {how} from a hub.",
            mend=f"Fetch it once with `vesalius dictionary show hub:{there} --download`. {ALLOWED}",
        ) from error
    path = Path(snapshot) / there.path
    if not path.exists():
        raise ToolError(
            f"The cache has {there.repo}, but not {there.path or 'its files'}.",
            mend=f"Fetch it once with `vesalius dictionary show hub:{there} --download`.",
        )
    return path


def _is_our_own(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return ENTRY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def published(path: Path, download: bool = False) -> Source | None:
    """The dictionary of a published format that is there; none where it must be one of ours.

    Raises:
        ToolError: no format that is known, or a file of one that cannot be read.
    """

    def fetch(reference: str) -> Path:
        there = hub_path(reference)
        if there is None or not there.path:
            raise ToolError(f"{path} refers to {reference!r}, which is no file.", mend="Write hf://ORG/REPO/FILE.")
        return fetched(there, download)

    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name not in FILES:
        if path.suffix == ".safetensors":
            return None
        raise ToolError(f"{path} is no dictionary of a known format.", mend=ALLOWED)
    if path.suffix == ".safetensors" and _is_our_own(path):
        return None
    if (folder / PARAMETERS).is_file():
        return read_gemmascope(folder / PARAMETERS)
    if (folder / CIRCUIT_TRACER_CONFIG).is_file():
        return read_circuit_tracer(folder, fetch)
    if (folder / PARAMETERS_2).is_file() or any(folder.glob(CROSS_LAYER)):
        return read_gemmascope_2(folder)
    if (folder / SAELENS_CONFIG).is_file() or any(folder.glob(f"*/{SAELENS_CONFIG}")):
        return read_saelens(folder)
    raise ToolError(
        f"{path} is no dictionary of a known format.",
        mend=f"A folder has {SAELENS_CONFIG} and {WEIGHTS} (SAELens), {CIRCUIT_TRACER_CONFIG} (circuit-tracer), "
        f"{PARAMETERS} or {PARAMETERS_2} (Gemma Scope).",
    )
