"""Where a word is put into a prompt."""

from typing import Literal

Place = Literal["front", "middle"]


def put_in(prompt: str, word: str, place: Place) -> str:
    """A prompt with a word in it, before its first word or half way; without one where the word is empty."""
    words = prompt.split()
    at = 0 if place == "front" else len(words) // 2
    return " ".join((*words[:at], *word.split(), *words[at:]))
