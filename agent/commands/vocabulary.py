"""What a model does know, for a question in words that it does not know."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from ...tools import TaskFamily, Template, ToolError

UNKNOWN = ("The model's vocabulary lacks", "The tokenizer splits")
SHOWN = 6  # words of a slot


def with_known_words(error: ToolError, prompt: str, tasks: Iterable[TaskFamily]) -> ToolError:
    """The error, its mend extended by the words that fit the prompt's form where the model came with such data."""
    if not error.message.startswith(UNKNOWN):
        return error
    for family in tasks:
        for template in family.templates:
            if found := re.fullmatch(_pattern(template), prompt.strip()):
                return ToolError(error.message, mend=_known(family, found.groupdict()))
    return error


def _pattern(template: Template) -> str:
    """A template as an expression that any words fill."""
    parts = re.split(r"\{(\w+)\}", template.text)
    seen: set[str] = set()
    pattern = ""
    for i, part in enumerate(parts):
        pattern += re.escape(part) if i % 2 == 0 else f"(?P={part})" if part in seen else f"(?P<{part}>.+?)"
        seen |= {part} if i % 2 else set()
    return pattern


def _known(family: TaskFamily, filled: dict[str, str]) -> str:
    words = {slot: dict.fromkeys(row.slots[slot] for row in family.rows) for slot in (*filled, family.answer)}
    unknown = [slot for slot, text in filled.items() if text not in words[slot]]
    parts = [f"as {slot} {_some(filled[slot], list(words[slot]))}" for slot in unknown]
    parts.append(f"as answer {_some('', list(words[family.answer]))}")
    return f"In this prompt it knows {'; '.join(parts)}."


def _some(meant: str, words: list[str]) -> str:
    """Some of the words, those first that look like what was meant."""
    near = get_close_matches(meant, words, n=SHOWN // 2) if meant else []
    chosen = list(dict.fromkeys([*near, *words]))[:SHOWN]
    more = f" and {len(words) - len(chosen)} more" if len(words) > len(chosen) else ""
    return ", ".join(chosen) + more
