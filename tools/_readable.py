"""Whether a subject can read a text: for texts that are drawn or found, of which the unreadable ones are left out."""

from ._base import ToolError
from ._subject import Subject


def can_read(subject: Subject, text: str) -> bool:
    """Whether the text is not empty, its words are in the vocabulary and it is no longer than the context."""
    try:
        subject.tokenise([text])
    except ToolError:
        return False
    return True
