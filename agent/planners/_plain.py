"""Small words for sentences: references in place of figures, names in backticks."""

from ..report.schema import Sentence


def share(reference: str, path: str) -> str:
    """A reference printed as a percentage."""
    return f"{{{{{reference}:{path}|.0%}}}}"


def number(reference: str, path: str, form: str = ".2f") -> str:
    """A reference printed as a number."""
    return f"{{{{{reference}:{path}|{form}}}}}"


def say(*parts: str) -> Sentence:
    """One sentence of several parts."""
    return Sentence(text=" ".join(part for part in parts if part))


def name(text: str) -> str:
    """Text of the model or the user, marked as such."""
    return "`" + text.replace("`", "'") + "`"
