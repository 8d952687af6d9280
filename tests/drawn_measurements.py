"""Measurements of the reference model, one of every form that the browser has a picture for."""

from functools import cache
from typing import Any

from causal_measurements import CARD, FAMILIES, NAMED, PAIRS, TWO_HOP, made
from vesalius.tools import Measurement, Subject

PROMPT = TWO_HOP.format("Dallas")
ARGS: dict[str, dict[str, Any]] = {
    "attention_patterns": {"prompt": PROMPT},
    "attribution_patch": {"families": FAMILIES, "check": 2},
    "describe_feature": {"feature": "0/329", "top_k": 3},
    "explain_attention": {"prompt": PROMPT, "head": "1.0", "top_n": 4},
    "feature_activations": {"prompts": [PROMPT], "top_k": 3},
    "intervene_features": {"prompt": PROMPT, "features": ["0/129@7"], "answers": ["Austin"], "random_draws": 20},
    "logit_lens": {"prompts": [PROMPT], "track": ["Austin"]},
    "next_token": {"prompts": [PROMPT], "top_k": 4},
    "patch": {"pairs": NAMED, "sites": ["resid_post.1"], "positions": ["entity"], "random_draws": 20},
    "patch_sweep": {"pairs": PAIRS, "kinds": ["resid_pre", "head"], "spot_checks": 1},
    "path_patch": {"pairs": PAIRS[:1]},
    "steer": {
        "positive": CARD["positive"],
        "negative": CARD["negative"],
        "site": "resid_post.1",
        "prompts": CARD["contexts"][0]["prompts"],
        "answer": "Austin",
        "foil": "Springfield",
        "strengths": [0.5, 1.0, 2.0],
        "neutral_texts": CARD["neutral_texts"],
    },
    "steering_card": CARD,
    "substitutions": {"prompt": PROMPT, "answer": "Austin", "samples": 8, "per_word": 2},
}


@cache
def drawn(subject: Subject, tool: str) -> Measurement:
    """A measurement that has a picture."""
    return made(subject, tool, **ARGS[tool])


def with_each(value: Any, change: Any) -> Any:
    """The same data with every number, text or list put through a change; what is nested is changed first."""
    if isinstance(value, dict):
        return {name: with_each(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return change([with_each(one, change) for one in value])
    return change(value)
