"""Words that a vocabulary has whole: one token each, so that one can stand where another does and move nothing else."""

import re

from ._readable import can_read
from ._subject import Subject

WORD = re.compile(r"(?=.*[^\W\d_])[^\W_]{2,}")


def whole_words(subject: Subject) -> tuple[str, ...]:
    """Every word of two letters or more that is one token behind another word, in the order of the vocabulary."""
    texts = subject.token_strings(range(subject.shape.n_vocab))
    words = dict.fromkeys(text.strip() for text in texts if WORD.fullmatch(text.strip()))
    return tuple(word for word in words if can_read(subject, word) and _is_one_token(subject, word))


def _is_one_token(subject: Subject, word: str) -> bool:
    return len(subject.reader.split(f"{word} {word}").ids) == len(subject.reader.split(word).ids) + 1
