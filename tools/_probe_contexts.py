"""Concepts from the features' own contexts: the words at which they peak in the model's neutral texts.

Half of the texts are looked at, drawn by the seed, and no probe is made of those: a text that a concept was found in
would show the feature peaking there whatever the name is worth.
"""

import random
from collections.abc import Collection, Sequence

from ._dictionary import Dictionary
from ._probe_signatures import Feature, read_features
from ._probe_texts import ProbeMaker
from ._probe_tokens import FunctionWords, bare, is_functional, words_in
from ._readable import can_read
from ._subject import Subject

MOST_TEXTS = 200


def looked_at(maker: ProbeMaker) -> tuple[str, ...]:
    """The texts to look for contexts of a prompt in; none with a word that is kept back.

    They follow from subject, prompt and seed alone, so that whoever scores names later finds the same.
    """
    texts = [text for text in dict.fromkeys(maker.subject.texts) if set(words_in(text)).isdisjoint(maker.kept_back)]
    random.Random(f"{maker.seed} contexts").shuffle(texts)
    return tuple(text for text in texts[: min(len(texts) // 2, MOST_TEXTS)] if can_read(maker.subject, text))


def context_words(
    subject: Subject,
    dictionary: Dictionary,
    features: Sequence[Feature],
    texts: Sequence[str],
    grammar: FunctionWords,
    known: Collection[str],
) -> tuple[str, ...]:
    """Meaningful words at which features peak over all of these texts, those of most features first.

    Args:
        known: Words that are concepts already.
    """
    if not texts or not features:
        return ()
    read = read_features(subject, dictionary, features, texts)
    barred = set(map(bare, known))
    votes: dict[str, int] = {}
    for column in range(len(features)):
        best = max(read, key=lambda one: one.acts[one.peak(column), column].item())
        place = best.peak(column)
        word = best.within[place].text
        if best.acts[place, column] > 0 and bare(word) not in barred and not is_functional(word, grammar):
            votes[word] = votes.get(word, 0) + 1
    return tuple(sorted(votes, key=lambda word: (-votes[word], word)))
