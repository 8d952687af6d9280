"""Where a word is put into a prompt."""

import re
from typing import Literal

Place = Literal["front", "middle"]


def put_in(prompt: str, word: str, place: Place) -> str:
    """A prompt with a word in it, before its first word or half way; without one where the word is empty."""
    starts = [found.start() for found in re.finditer(r"\S+", prompt)]
    if not word or not starts:
        return prompt
    at = starts[0] if place == "front" else starts[len(starts) // 2]
    return f"{prompt[:at]}{word} {prompt[at:]}"
