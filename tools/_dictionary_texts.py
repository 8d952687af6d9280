"""The texts of a training: read from a file, and told apart by what they are for."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ._base import ToolError
from ._dictionary_recipe import TranscoderRecipe
from ._subject import Subject

HELD_OUT = 0.2  # share of the texts
HELD_OUT_TOKENS = 2**14  # at most, of those texts; the others are trained on
WATCHED_SHARE, WATCHED = 0.1, 4096  # of the other texts, and tokens at most: where training may stop early


def read_texts(path: Path) -> tuple[str, ...]:
    """The texts of a file.

    Raises:
        ToolError: no such file, or no texts in it.
    """
    mend = 'Give a JSON list of texts, {"texts": [...]}, or a plain file with one text a line.'
    try:
        content = path.read_text(encoding="utf-8")
        found = json.loads(content) if path.suffix == ".json" else content.splitlines()
    except (OSError, ValueError, RecursionError) as error:
        raise ToolError(f"{path} cannot be read: {str(error).splitlines()[0]}.", mend=mend) from error
    if isinstance(found, dict):
        found = found.get("texts")
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ToolError(f"{path} holds no list of texts.", mend=mend)
    texts = tuple(text for text in found if text.strip())
    if not texts:
        raise ToolError(f"{path} holds no text.", mend=mend)
    return texts


def split_texts(texts: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Different texts, shuffled, as (trained on, held out).

    Raises:
        ToolError: too few texts to hold any out.
    """
    distinct = sorted(set(texts))
    random.Random(f"dictionary {seed}").shuffle(distinct)
    held_out = int(len(distinct) * HELD_OUT)
    if not held_out:
        raise ToolError(
            f"{len(distinct)} different texts are too few, for some are held out.",
            mend=f"Pass at least {round(1 / HELD_OUT)}; in a plain file each line is a text.",
        )
    return distinct[held_out:], distinct[:held_out]


class Parts(NamedTuple):
    """Texts by what they are for; no text is in two parts."""

    trained_on: list[str]
    watched: list[str]  # decide when training stops early, and so are no measure of how good it is
    held_out: list[str]


def parts_of(subject: Subject, texts: Sequence[str], recipe: TranscoderRecipe) -> Parts:
    """What each text is for: at most `HELD_OUT_TOKENS` tokens are held out, one text at least.

    Raises:
        ToolError: too few texts, or one that the subject cannot read.
    """
    trained_on, held_out = split_texts(texts, recipe.seed)
    kept = _fitting(subject, held_out, HELD_OUT_TOKENS)
    trained_on = [*trained_on, *held_out[kept:]]
    seen = 0
    if recipe.patience:
        seen = _fitting(subject, trained_on[: max(1, int(len(trained_on) * WATCHED_SHARE))], WATCHED)
    return Parts(trained_on[seen:], trained_on[:seen], held_out[:kept])


def _fitting(subject: Subject, texts: Sequence[str], most_tokens: int) -> int:
    """How many of these texts have no more tokens; one at least."""
    tokens = 0
    for kept, text in enumerate(texts):
        tokens += len(subject.reader.encode(text))
        if kept and tokens > most_tokens:
            return kept
    return len(texts)
