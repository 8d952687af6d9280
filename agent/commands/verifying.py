"""`vesalius verify`: every number of a report, measured again."""

from ..settings import Settings


def verify_command(settings: Settings, run: str, download: bool, as_json: bool) -> int:
    """Measure again, print what came of it; returns the exit status."""
    raise NotImplementedError
