"""Which tokens carry meaning and which only grammar, and what a grammatical token is about to introduce.

The split of "Automated Circuit Interpretation via Probe Prompting" (2025): punctuation, words of a closed list and
short words are functional, all else is semantic. Deviations: the list of function words is our own; a short word that
is not in it searches forward, which the paper leaves open.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

BOTH_WAYS = frozenset({"and", "or", "but", "nor", "yet", "so"})
_DETERMINERS = "a an the this that these those"
_PREPOSITIONS = "of in on at to from by for with without into onto over under between about as than"
_AUXILIARIES = (
    "is are was were be been being am has have had do does did will would can could shall should may might must"
)
_PRONOUNS = "i you he she it we they me him her us them his its our your their who whom whose which what where when"
_CONJUNCTIONS = "because if while"
FORWARD = frozenset(" ".join((_DETERMINERS, _PREPOSITIONS, _AUXILIARIES, _PRONOUNS, _CONJUNCTIONS)).split())


def bare(token: str) -> str:
    """The token as words are compared: no spaces, lower case."""
    return token.strip().lower()


def is_punctuation(token: str) -> bool:
    """Nothing in it is a letter or a digit."""
    return not any(char.isalnum() for char in token)


def is_functional(token: str, short: int) -> bool:
    """Whether a token carries grammar rather than meaning; `short` is the most letters that a short word has."""
    text = token.strip()
    if is_punctuation(text) or bare(text) in FORWARD | BOTH_WAYS:
        return True
    return text.isalpha() and len(text) <= short and not (text.isupper() and len(text) > 1)


def target_of(tokens: Sequence[str], place: int, window: int, short: int) -> int | None:
    """The semantic token that a token is, or introduces: the nearest within the window, of equals the one before.

    Punctuation and conjunctions look both ways, other functional tokens forward.
    """
    if not is_functional(tokens[place], short):
        return place
    both = is_punctuation(tokens[place]) or bare(tokens[place]) in BOTH_WAYS
    for distance in range(1, window + 1):
        for step in (-distance, distance) if both else (distance,):
            found = place + step
            if 0 <= found < len(tokens) and not is_functional(tokens[found], short):
                return found
    return None


def whole_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word stands in the texts; commas and full stops are words of their own."""
    return Counter(word for text in texts for word in re.sub(r"([,.])", r" \1 ", text).lower().split())


def has_word(text: str, word: str) -> bool:
    """Whether the word stands in the text, not as a part of another."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def words(text: str) -> tuple[str, ...]:
    """The words of a text without punctuation, each once, in order."""
    return tuple(dict.fromkeys(re.findall(r"\w+(?:['-]\w+)*", text)))


def content_words(text: str, short: int) -> tuple[str, ...]:
    """The semantic words of a text, each once, in order."""
    return tuple(word for word in words(text) if not is_functional(word, short))
