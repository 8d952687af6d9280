"""Measurements of the causal instruments on the reference model, small and shared by the tests that look at them."""

from functools import cache
from typing import Any

from dormant_paths import dormant_path, neurons, pairs_of
from vesalius.tools import Measurement, Subject, digest, get_tool

TWO_HOP, ONE_HOP = "the capital of the state containing {} is", "the state containing {} is"
CITIES = {
    "Dallas": ("Texas", "Austin"),
    "Sacramento": ("California", "Sacramento"),
    "Chicago": ("Illinois", "Springfield"),
    "Atlanta": ("Georgia", "Atlanta"),
    "Houston": ("Texas", "Austin"),
}
OPPOSITES = {"hot": "cold", "big": "small", "fast": "slow", "high": "low", "hard": "soft", "rich": "poor"}


def pair(one: str, other: str, template: str = TWO_HOP, what: int = 1, **more: str) -> dict[str, str]:
    """A city's prompt and another's."""
    texts = {"base": template.format(one), "corrupted": template.format(other)}
    return texts | {"answer": CITIES[one][what], "foil": CITIES[other][what]} | more


PAIRS = [pair("Dallas", "Chicago"), pair("Chicago", "Atlanta"), pair("Atlanta", "Houston")]
FAMILIES = [
    {"name": "city swapped", "pairs": PAIRS},
    {"name": "state asked", "pairs": [pair("Dallas", "Chicago", ONE_HOP, 0), pair("Chicago", "Atlanta", ONE_HOP, 0)]},
]
NAMED = [pair(one, other, base_entity=one, source_entity=other) for one, other in (("Dallas", "Chicago"),)]
LEARNED = [pair(one, other, base_entity=one, source_entity=other) for one, other in (("Atlanta", "Houston"),)]
RECALL = [
    {"prompt": ONE_HOP.format(city), "answer": CITIES[city][0]} for city in ("Dallas", "Chicago", "Atlanta", "Houston")
]
ANTONYMS = [{"prompt": f"the opposite of {word} is", "answer": other} for word, other in OPPOSITES.items()]
CARD: dict[str, Any] = {
    "site": "resid_post.1",
    "positive": [TWO_HOP.format("Dallas"), TWO_HOP.format("Houston")],
    "negative": [TWO_HOP.format("Atlanta"), TWO_HOP.format("Chicago")],
    "contexts": [
        {"name": "containing", "prompts": [TWO_HOP.format("Chicago"), TWO_HOP.format("Atlanta")]},
        {"name": "lies in", "prompts": ["Chicago lies in a state whose capital is"]},
    ],
    "answer": "Austin",
    "foil": "Springfield",
    "prompt_only": ["the capital of Texas is Austin", "Dallas lies in Texas", "Austin"],
    "off_target": ANTONYMS[:4],
    "neutral_texts": ["the capital of Texas is Austin", "the opposite of hot is cold"],
    "multiples": [0.5, 2.0],
}
ARGS: dict[str, dict[str, Any]] = {
    "ablate_neurons": {"first": RECALL, "second": ANTONYMS, "allow_unmatched": True, "n_folds": 2, "doses": [4, 1]},
    "attribution_patch": {"families": FAMILIES},
    "contextual_decomposition": {"pairs": PAIRS},
    "eap": {"families": FAMILIES},
    "eap_ig": {"families": FAMILIES, "check": 2},
    "observable": {
        "observables": [
            {"answer": one["answer"], "foil": one["foil"], "prompt": one["base"], "path": ["mlp_out.3"]}
            for one in PAIRS
        ]
    },
    "patch_sweep": {"pairs": PAIRS, "kinds": ["head", "resid_pre"], "spot_checks": 1},
    "path_patch": {"pairs": PAIRS},
    "relp": {"families": FAMILIES, "check": 0, "units": "nodes"},
    "secant_patch": {"families": FAMILIES, "check": 2},
    "steering_card": CARD,
    "subspace_patch": {
        "pairs": NAMED,
        "discovery": LEARNED,
        "site": "resid_post.1",
        "positions": ["last", "entity"],
        "direction": "das",
        "dimension": 4,
        "search": {"steps": 10},
    },
}


@cache
def measured(subject: Subject, tool: str) -> Measurement:
    """A measurement of the instrument on the reference model."""
    return made(subject, tool, **ARGS[tool])


def made(subject: Subject, tool: str, **args: Any) -> Measurement:
    """A measurement with these arguments."""
    instrument = get_tool(tool)
    return instrument.measure(subject, instrument.parse(args))


@cache
def dormant(true: bool) -> Measurement:
    """A subspace of a model with a dormant path: its true neuron, or the direction that only seems to matter."""
    vector = neurons(true=1) if true else neurons(correlated=1, dormant=1)
    args = {"pairs": pairs_of("w5", "w6"), "site": "mlp_act.1", "direction": "given", "vectors": [vector]}
    return made(dormant_path(3.0 if true else 0.0), "subspace_patch", **args)


def changed(m: Measurement, **changes: Any) -> Measurement:
    """A measurement with parts of its result changed."""
    result = m.result | changes
    return m.model_copy(update={"result": result, "digest": digest(result)})
