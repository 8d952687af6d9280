"""Programs that count: how often, which share, odd or even, the most frequent, brackets.

Sources: Weiss, Goldberg, Yahav 2021, "Thinking Like Transformers", and Lindner et al. 2023, "Tracr" (histogram, share
of the tokens so far, most frequent token, balanced brackets). Causal attention and a first position that is always
there change the arithmetic: a head that spreads over all positions sees `<bos>` too, and a head that selects equal
words shares its attention with `<bos>`, so that the share of `<bos>` tells how many it selected.
"""

import random
from collections import Counter
from collections.abc import Callable
from itertools import accumulate

from ._compile_named import NOUNS, replaced
from ._compile_program import NUMBER, POSITIONS, TOKENS, Attend, Lookup, Output, Pieces, Program, kept, said_as_is
from ._compile_tasks import Circuit, Task, Words

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
OPEN, CLOSE = "open", "close"


def count(rng: random.Random) -> Circuit:
    """How often the last word has stood in the prompt."""
    nouns = tuple(rng.sample(NOUNS, rng.randint(4, 6)))
    n_words = rng.randint(6, 8)
    numbers = NUMBERS[1 : n_words + 1]
    words, length = (*nouns, *numbers), n_words + 1
    operations = (
        Attend(
            "alone",
            {"0": (NUMBER[0], 1.0)},
            value=POSITIONS,
            key=TOKENS,
            query=TOKENS,
            pairs=tuple((word, word) for word in nouns),
            first=1.0,  # as strong as an equal word: <bos> gets 1 / (1 + how many there are)
            note="Attends to <bos> and to every word equal to the last: the more of them, the less to <bos>.",
            role="AGGREGATOR",
        ),
        Pieces(
            "number",
            {"alone": 1.0},
            tuple(sorted((1 / (1 + i), NUMBERS[i]) for i in range(1, n_words + 1))),
            "Turns the attention to <bos> into a number word.",
        ),
    )
    program = Program(words, length, operations, (Output("number", said_as_is(numbers)),))

    task = Task(
        draw=lambda r: r.choices(nouns, k=n_words),
        answer=lambda prompt: NUMBERS[prompt.count(prompt[-1])],
        changes={
            "key": lambda r, prompt: replaced(r, prompt, r.randrange(n_words - 1), nouns),
            "query": lambda r, prompt: replaced(r, prompt, n_words - 1, nouns),
            "all words": lambda r, prompt: r.choices(nouns, k=n_words),
        },
    )
    truth = (
        "The answer is how often the last word has stood so far: one head counts by equality, an MLP names the number."
    )
    return Circuit("count", truth, program, task)


def share(rng: random.Random) -> Circuit:
    """How many of the words are of one kind, by the mean over all positions."""
    return _tally(rng, "share_so_far", lambda n, n_words: NUMBERS[n], "counts the words of one kind")


def parity(rng: random.Random) -> Circuit:
    """Whether the number of words of one kind is odd or even."""
    return _tally(rng, "parity", lambda n, n_words: ("even", "odd")[n % 2], "tells odd from even")


def majority(rng: random.Random) -> Circuit:
    """Whether most words are of one kind."""
    return _tally(
        rng, "majority", lambda n, n_words: ("fewer", "more")[2 * n > n_words], "tells whether they are the majority"
    )


def most_frequent(rng: random.Random) -> Circuit:
    """The word that stands most often."""
    nouns = tuple(rng.sample(NOUNS, rng.randint(5, 8)))
    n_words = rng.randint(6, 9)
    length = n_words + 1
    head = Attend("shares", kept(nouns), note="Averages all words so far.", role="AGGREGATOR")
    # One more occurrence is worth half the full height.
    program = Program(nouns, length, (head,), (Output("shares", said_as_is(nouns, length / 2)),))

    def draw(r: random.Random) -> Words:
        while True:
            prompt = r.choices(nouns, k=n_words)
            (_, most), *others = Counter(prompt).most_common(2)
            if not others or others[0][1] < most:
                return prompt

    def value(r: random.Random, prompt: Words) -> Words:
        """The most frequent word becomes another everywhere."""
        most = answer(prompt)
        other = r.choice([word for word in nouns if word not in prompt] or [w for w in nouns if w != most])
        return [other if word == most else word for word in prompt]

    def answer(prompt: Words) -> str:
        return Counter(prompt).most_common(1)[0][0]

    task = Task(draw, answer, {"value": value, "all words": lambda r, prompt: draw(r)})
    truth = "The answer is the most frequent word: one head averages all words, and the largest share wins."
    return Circuit("most_frequent", truth, program, task)


def brackets(rng: random.Random) -> Circuit:
    """Whether brackets are balanced: as many closed as opened, and never more closed than opened."""
    n_words = rng.choice((6, 8))
    length, words = n_words + 1, (OPEN, CLOSE, "balanced", "broken")
    signs = {OPEN: (NUMBER[0], 1.0), CLOSE: (NUMBER[0], -1.0)}
    operations = (
        Attend("level", signs, note="Opened less closed brackets, as a mean over all so far.", role="AGGREGATOR"),
        Pieces(
            "below",
            {"level": 1.0},
            ((-1.0, "yes"), (-1 / length, "yes"), (0.0, "no"), (1.0, "no")),
            "Whether more are closed than opened so far.",
        ),
        Attend("ever", {"yes": (NUMBER[0], 1.0)}, value="below", note="How often that was so far.", role="AGGREGATOR"),
        Pieces(
            "verdict",
            # Whenever the level was ever below zero the second part is at least 2, more than the first can take away.
            {"level": 1.0, "ever": 2.0 * length},
            ((0.0, "balanced"), (1 / length, "broken"), (2.0 * length + 1, "broken")),
            "Balanced where the last level is zero and none was below.",
        ),
    )
    program = Program(words, length, operations, (Output("verdict", said_as_is(("balanced", "broken"))),))

    def draw(r: random.Random) -> Words:
        return _balanced(r, n_words) if r.random() < 0.5 else list(r.choices((OPEN, CLOSE), k=n_words))

    def order(r: random.Random, prompt: Words) -> Words:
        """The same brackets in another order."""
        return r.sample(prompt, len(prompt))

    task = Task(
        draw,
        _verdict,
        {"number": lambda r, prompt: replaced(r, prompt, r.randrange(n_words), (OPEN, CLOSE)), "order": order},
    )
    truth = (
        "Balanced brackets: a head takes the level, an MLP marks levels below zero, a head looks for one, and an MLP "
        "decides."
    )
    return Circuit("brackets", truth, program, task)


def _verdict(prompt: Words) -> str:
    levels = list(accumulate(1 if word == OPEN else -1 for word in prompt))
    return "balanced" if levels[-1] == 0 and min(levels) >= 0 else "broken"


def _balanced(r: random.Random, n_words: int) -> Words:
    prompt: Words = []
    for left in range(n_words, 0, -1):
        level = prompt.count(OPEN) - prompt.count(CLOSE)
        may_open, may_close = level < left, level > 0
        prompt.append(r.choice([OPEN] * may_open + [CLOSE] * may_close))
    return prompt


def _tally(rng: random.Random, name: str, says: Callable[[int, int], str], what: str) -> Circuit:
    """An MLP marks the words of one kind, a head takes the mean of the marks, an MLP says what follows from it."""
    nouns = tuple(rng.sample(NOUNS, rng.randint(5, 8)))
    kind = nouns[: len(nouns) // 2]
    n_words = rng.randint(5, 8)
    length = n_words + 1
    said = tuple(dict.fromkeys(says(n, n_words) for n in range(n_words + 1)))
    operations = (
        Lookup("marked", (TOKENS,), {(word,): "yes" for word in kind}, f"Marks {', '.join(kind)}.", "INDICATOR"),
        Attend(
            "mean",
            {"yes": (NUMBER[0], 1.0)},
            value="marked",
            note="Averages the marks over all positions so far.",
            role="AGGREGATOR",
        ),
        Pieces(
            "result",
            {"mean": 1.0},
            tuple((n / length, says(n, n_words)) for n in range(n_words + 1)),
            f"From the mean it {what}.",
        ),
    )
    program = Program((*nouns, *said), length, operations, (Output("result", said_as_is(said)),))

    def answer(prompt: Words) -> str:
        return says(sum(word in kind for word in prompt), n_words)

    task = Task(
        draw=lambda r: r.choices(nouns, k=n_words),
        answer=answer,
        changes={
            "value": lambda r, prompt: replaced(r, prompt, r.randrange(n_words), nouns),
            "all words": lambda r, prompt: r.choices(nouns, k=n_words),
        },
    )
    truth = f"An MLP marks the words {', '.join(kind)}, a head averages the marks, and an MLP {what}."
    return Circuit(name, truth, program, task)
