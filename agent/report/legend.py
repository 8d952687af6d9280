"""What the words of an answer mean, for a reader who is new to them: one text for terminal, Markdown and page."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from .._attempts import tier_of
from .schema import Report

VERDICTS = {
    "supported": ("✓", "The sealed prediction held on new prompts, and every control that was due came out."),
    "refuted": ("✗", "The evidence excludes what was predicted."),
    "inconclusive": ("?", "The evidence decides neither way; the reason says what was missing."),
}
TIERS = {
    "observed": "Seen; no test has shown that it matters.",
    "causal": "Intervening on new prompts came out as predicted, beyond chance.",
    "controlled": "Causal, and the controls came out: random changes of equal size and re-initialised weights do no "
    "such thing.",
    "replicated": "Controlled, and the same by two kinds of counterfactual prompt, on held-out words and wordings.",
}
OUTCOMES = {"pass": ("✓", "pass"), "fail": ("✗", "fail"), "not_evaluated": ("–", "not evaluated")}
PHASES = {
    "explore": "exploration: suggests, confirms nothing",
    "confirm": "confirmation, sealed before it ran",
    "control": "control",
    "black_box": "black box: prompting alone",
}


class Word(NamedTuple):
    """A word with its meaning, and how to tell that a text uses it."""

    name: str
    meaning: str
    used: str


_PLACES = (
    Word("resid_pre.0", "The token's embedding: the residual stream before block 0.", r"\bresid_pre\.0\b"),
    Word("resid_pre.L", "The residual stream before block L, counted from 0.", r"\bresid_pre\.[1-9]"),
    Word(
        "resid_post.L",
        "The residual stream after block L (counted from 0): what all blocks so far wrote at a token.",
        r"\bresid_post\.\d",
    ),
    Word("resid_mid.L", "The residual stream of block L between its attention and its MLP.", r"\bresid_mid\.\d"),
    Word("attn_out.L", "What the attention of block L adds to the residual stream.", r"\battn_out\.\d"),
    Word("mlp_in.L", "What the MLP of block L reads, after its norm.", r"\bmlp_in\.\d"),
    Word("mlp_act.L", "Activations of the MLP's neurons in block L.", r"\bmlp_act\.\d"),
    Word("mlp_out.L", "What the MLP of block L adds to the residual stream.", r"\bmlp_out\.\d"),
    Word("pattern.L", "Attention pattern of block L: how much each token reads of each.", r"\bpattern\.\d"),
    Word("head.L.H", "Output of attention head H of block L.", r"\bhead\.\d+\.\d"),
    Word(
        "q.L, k.L, v.L",
        "Queries, keys and values of block L; q.L.H of head H, k.L.G and v.L.G of the heads of group G.",
        r"\b[qkv]\.\d",
    ),
    Word("feature L/F", "Unit F of the sparse dictionary of block L's MLP.", r"\bfeatures?\b"),
    Word(
        "circuit",
        "Links from what parts of the model write to what others read: those that carry an answer. A random circuit "
        "has as many.",
        r"\bcircuits? of\b",
    ),
    Word(
        "supernode",
        "Features that fire alike, under one name; a suggestion until predictions about what they do have held.",
        r"\bsupernodes?\b|\bfeatures named\b",
    ),
)
_NUMBERS = (
    Word(
        "effect",
        "Share of the way from one answer to the other that a change moves it: of their logit gap where something "
        "inside was changed, of both answers' share where prompts were exchanged; 1 is all the way.",
        r"\beffects?\b",
    ),
    Word("interval", "Where the effect lies with 95 % confidence.", r"\binterval\b"),
    Word("moved", "The answer became the other prompt's answer.", r"\bmove[sd]?\b|\bturns the answer\b"),
    Word("patching", "Running a prompt with a site's value of another prompt.", r"\bpatch(?:ed|ing)?\b|\btaking its\b"),
    Word(
        "does nothing",
        "No effect that matters: the interval lies within 5 % of the gap either way. There, controlled means by two "
        "kinds of counterfactual prompt.",
        r"\bdoes nothing\b",
    ),
    Word(
        "replacement",
        "Share of an attribution graph's influence that comes from tokens rather than from what its features miss.",
        r"\breplacement\b",
    ),
    Word(
        "completeness",
        "Share of what the nodes of an attribution graph read that comes from features and tokens, errors aside.",
        r"\bcompleteness\b",
    ),
    Word(
        "row space, null space",
        "Of what a part writes, what the matrix behind it passes on, and what it drops, so that nothing else sees it.",
        r"\b(?:row|null)[- ]space\b",
    ),
    Word(
        "illusion",
        "A direction that moves the answer only together with a part that nothing sees: it carries nothing by itself.",
        r"\billusions?\b",
    ),
    Word(
        "taken out",
        "A head or MLP made to write zeros at every token, so that others have to do without it.",
        r"\btaken out\b",
    ),
    Word("selectivity", "What one task loses less what the other loses.", r"\bselectivity\b"),
    Word(
        "no-op",
        "The same intervention with a prompt's own values, which has to change nothing.",
        r"\bno-op\b",
    ),
    Word("nats", "Unit of logits: 2.3 more make an answer ten times as likely.", r"\bnats\b"),
)
_PROMPTS = (
    Word("held out", "Kept apart from all that was used to find what is tested.", r"\bheld[- ]out\b"),
    Word("cluster", "Prompts that share a word or a context; they count as one piece of evidence.", r"\bclusters?\b"),
    Word(
        "class mean",
        "Average over prompts of one class, such as all cities of one state: what they have in common.",
        r"\bclass means?\b|\bha(?:s|ve) in common\b",
    ),
    Word(
        "re-initialised",
        "The twin: the same architecture with random weights, so what shows there was not learned.",
        r"\bre-initialised\b|\btwin\b",
    ),
)
_ATTEMPT = Word(
    "attempt to break",
    "A sealed prediction that nothing happens at a claim's place on other prompts: a claim of an effect is broken "
    "where that was supported, and survived where it was refuted.",
    r"\battempts? to break\b",
)
_SOURCE = Word("[m-…]", "The measurement that a figure was read from; vesalius verify makes it again.", r"\[m-")
_OTHER = (*_PLACES, *_NUMBERS, *_PROMPTS, _ATTEMPT, _SOURCE)


def words_of(text: str) -> list[Word]:
    """The words that a text uses, each with its meaning: places first, then numbers, prompts, verdicts and tiers."""
    used = [word for word in _OTHER if re.search(word.used, text, re.IGNORECASE)]
    verdicts = {verdict: VERDICTS[verdict][1] for verdict in _named(VERDICTS, text)}
    steps, named = list(TIERS), _named(TIERS, text)
    highest = max((steps.index(tier) for tier in named), default=-1)
    # A tier is told by the one beneath it, so those from `causal` up to the highest used are told together.
    tiers = {tier: TIERS[tier] for tier in steps[: highest + 1] if tier in named or tier != steps[0]}
    return used + [Word(name, meaning, name) for name, meaning in (verdicts | tiers).items()]


def _named(words: Iterable[str], text: str) -> list[str]:
    return [word for word in words if re.search(rf"\b{word}\b", text)]


def words_of_report(report: Report) -> list[Word]:
    """The words of a whole report: of its prose, its steps, and the verdicts' reasons."""
    return words_of("\n".join(_texts(report)))


def _texts(report: Report) -> Iterable[str]:
    yield from (sentence.text for sentence in report.sentences)
    for claim in report.claims:
        yield f"effect, interval, {claim.judgement.verdict}, {tier_of(claim)}"
        yield from (claim.judgement.reason, *(gate.reason for gate in claim.judgement.gates))
    if report.refuting:
        yield "attempts to break"
    if report.beside:
        yield from (f"{claim.verdict}, {claim.tier}" for claim in report.beside.hidden.claims)
    yield from (record.why for record in report.measurements)
