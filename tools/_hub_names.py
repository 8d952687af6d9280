"""Models on a hub by name: `ORG/REPO`, or `ORG/REPO@REVISION` for one branch, tag or commit of it."""

from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError


def hub_parts(name: str) -> tuple[str, str | None]:
    """A hub id, and the revision that stands behind its last `@`, if any: a branch, a tag or a commit."""
    repo, at, revision = name.rpartition("@")
    return (repo, revision) if at else (name, None)


def cached_folder(name: str) -> Path | None:
    """Where a hub id lies on this machine; none where it was not fetched, or no hub would have such a name."""
    repo, revision = hub_parts(name)
    try:
        found = try_to_load_from_cache(repo, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None
