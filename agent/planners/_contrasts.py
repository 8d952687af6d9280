"""Contrast pairs for a prompt that no task data describe: made of the words that its answer was seen to hang on."""

from collections import Counter
from typing import Any

from ...tools import Measurement
from ._pairs import AS_ASKED
from .interface import ContrastPair

MOST_CONTEXTS = 24
MOST_REPLACEMENTS = 6


class WordSwap:
    """The word whose replacement changes the answer most, its replacements, and contexts that change nothing."""

    def __init__(self, prompt: str, answer: str, found: Measurement) -> None:
        self.prompt, self.answer = prompt, answer
        tried: list[dict[str, Any]] = found.result["substitutions"]
        start = _decisive_place(tried, found.result["probability"])
        here = [t for t in tried if t["start"] == start and _flips(t)]
        self.exists = bool(here)
        if not here:
            return
        self.start, self.word = here[0]["start"], here[0]["word"]
        self.foil = Counter(t["answer"] for t in here).most_common(1)[0][0]
        self.replacements = [t["replacement"] for t in here if t["answer"] == self.foil][:MOST_REPLACEMENTS]
        elsewhere = [t for t in tried if t["start"] != self.start and t["keeps"]]
        self.contexts = elsewhere[:: max(1, -(-len(elsewhere) // MOST_CONTEXTS))]
        self.edits = [(), *((one,) for one in self.contexts), *_two_at_once(self.contexts)][: MOST_CONTEXTS + 1]

    def candidates(self) -> list[tuple[ContrastPair, str]]:
        """Every context with every replacement, the prompt itself first; the cluster is the context."""
        pairs = []
        for edits in self.edits:
            clean, place = self.prompt, self.start
            for edit in sorted(edits, key=lambda e: -e["start"]):  # from the end, so that earlier places stay
                start, word, new = edit["start"], edit["word"], edit["replacement"]
                clean = clean[:start] + new + clean[start + len(word) :]
                place += len(new) - len(word) if start < self.start else 0
            # Contexts that share an edit are not independent: the first one names the cluster.
            name = "{word}→{replacement} at {start}".format(**edits[0]) if edits else AS_ASKED
            for replacement in self.replacements:
                corrupted = clean[:place] + replacement + clean[place + len(self.word) :]
                pair = ContrastPair(clean=clean, corrupted=corrupted, answer=self.answer, foil=self.foil, cluster=name)
                pairs.append((pair, replacement))
        return pairs


def _two_at_once(contexts: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of replacements at different places, for prompts where few single ones change nothing."""
    return [
        (one, other) for i, one in enumerate(contexts) for other in contexts[i + 1 :] if one["start"] != other["start"]
    ]


def as_said(pairs: list[tuple[ContrastPair, str]], check: Measurement) -> list[tuple[ContrastPair, str]]:
    """Pairs that the model answers as they say; `check` asked all prompts, then all counterfactuals."""
    answers = check.result["answers"]
    clean, corrupted = answers[: len(pairs)], answers[len(pairs) :]
    return [pair for pair, a, b in zip(pairs, clean, corrupted, strict=True) if a["rank"] == 1 and b["rank"] == 1]


def are_aligned(check: Measurement) -> bool:
    """Whether every prompt has as many tokens as its counterfactual."""
    lengths = [answer["n_tokens"] for answer in check.result["answers"]]
    half = len(lengths) // 2
    return lengths[:half] == lengths[half:]


def _flips(tried: dict[str, Any]) -> bool:
    return not tried["keeps"] and tried["same_length"] and tried["answer"].strip() != ""


def _decisive_place(tried: list[dict[str, Any]], probability: float) -> int | None:
    """The place where replacements that change the answer take most from its probability, summed over them."""
    loss: Counter[int] = Counter()
    for one in tried:
        if _flips(one):
            loss[one["start"]] += probability - one["kept_probability"]  # pyright: ignore[reportArgumentType]
    return max(loss, key=lambda start: (loss[start], -start), default=None)
