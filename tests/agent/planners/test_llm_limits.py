"""What a planner may not ask for, however it is wrapped up."""

import json
from typing import Any

import pytest
from vesalius.agent.planners._pairs import DISCOVERY_PAIRS, Pool, Split
from vesalius.agent.planners.llm_blinding import DRAWS
from vesalius.agent.planners.llm_functions import DEEPEST, wanted_of
from vesalius.agent.planners.llm_limits import kept_back, refuse_endless, refuse_places_on_disk
from vesalius.agent.planners.llm_turns import Call
from vesalius.tools import ToolError, get_tool

AIM = {"why": "to see", "would_change": "nothing moves"}


def pair(base: str, **more: str) -> dict[str, Any]:
    return {"base": base, "corrupted": f"{base} not", "answer": "a", "foil": "b", **more}


POOL = Pool(
    entity="word",
    place="the word",
    mediator=None,
    answer="answer",
    discovery=Split(swap=(pair("seen before"), pair("in both"))),
    confirmation=Split(swap=(pair("kept back"), pair("in both")), other=(pair("kept back", source="its donor"),)),
    entity_position="differs",
    holds_out_entities=True,
    holds_out_template=False,
)


def wanted(name: str, given: Any) -> Any:
    text = given if isinstance(given, str) else json.dumps({**given, **AIM})
    return wanted_of(Call(id="", name=name, arguments=text), POOL, kept_back(POOL))


def test_what_confirms_and_was_not_shown_is_kept_back():
    assert kept_back(POOL) == {"kept back", "kept back not", "its donor"}


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("next_token", {"prompts": ["  kept   back "]}),
        ("patch", {"sites": ["head.0.0"], "pairs": [pair("mine", source="its donor")]}),
        ("eap", {"families": [{"name": "x", "pairs": [pair("kept back")]}]}),
        ("logit_lens", {"prompts": ["seen before"], "track": ["its donor"]}),
    ],
)
def test_a_prompt_that_is_kept_back_is_refused_wherever_it_stands(tool: str, given: dict[str, Any]):
    with pytest.raises(ToolError, match=r"kept back to test predictions on.*`discovery`"):
        wanted(tool, given)


def test_its_own_prompts_stand_for_their_name():
    assert wanted("patch", {"pairs": "discovery", "sites": ["head.0.0"]}).args["pairs"][0]["base"] == "seen before"
    assert wanted("next_token", {"prompts": "discovery"}).args["prompts"] == ["seen before", "in both"]
    with pytest.raises(ToolError, match=r"no `reference` named discovery_one_hop.*list of your own"):
        wanted("patch", {"pairs": "discovery", "sites": ["x"], "value": "class_mean", "reference": "discovery_one_hop"})


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "..", "org/repo/x@main", "", "a b", "x" * 99, 7, None, ["neurons"]]
)
@pytest.mark.parametrize("field", ["dictionary", "neighbours_from"])
def test_a_dictionary_that_is_a_place_on_disk_is_refused_however_deep(field: str, name: Any):
    for given in ({field: name}, {"deeper": [{"still": {field: name}}]}):
        with pytest.raises(ToolError, match="model's own dictionaries"):
            refuse_places_on_disk(given)
    refuse_places_on_disk({field: "transcoders", "force_dictionary": False})


@pytest.mark.parametrize("value", [True, 1, "yes", None])
def test_no_dictionary_is_forced(value: Any):
    with pytest.raises(ToolError, match="force none"):
        refuse_places_on_disk({"force_dictionary": value})


@pytest.mark.parametrize(
    "given",
    [
        {"random_draws": 999},
        {"random_draws": 10**400},
        {"search": {"steps": 10_000}},
        {"prompts": ["x"] * 3_000},
        {"sites": ["x"] * 100, "positions": ["y"] * 100},
        {"sites": ["x"] * 100, "random_draws": 100},
        {"sites": ["x"] * 144, "positions": ["y"] * 2, "pairs": [{}] * 1_000},
        {"sites": ["x"] * 20, "random_draws": 20, "pairs": [{}] * 400},
        {"families": [{"pairs": [{}] * 900}, {"pairs": [{}] * 900}], "random_draws": 100},
        {"strengths": [1.0] * 40, "prompts": ["p"] * 300, "random_draws": 20},
    ],
)
def test_a_measurement_that_would_take_for_ever_is_refused_before_it_begins(given: dict[str, Any]):
    with pytest.raises(ToolError, match="Pass"):
        refuse_endless(given, get_tool("patch"))


def test_what_takes_as_long_as_by_default_is_not_refused():
    refuse_endless({"samples": 384, "sites": ["x"] * 40, "positions": ["y"] * 4}, get_tool("substitutions"))


def test_how_many_runs_are_too_many_is_told_with_what_to_pass():
    asked = {"sites": ["x"] * 144, "positions": ["y"] * 2, "pairs": [{}] * 1_000}
    with pytest.raises(ToolError, match=r"288 places on 1000 prompts.*288000 runs.*fewer sites.*60000 runs at most"):
        refuse_endless(asked, get_tool("patch"))


@pytest.mark.parametrize("draws", [0, DRAWS])
def test_a_sweep_of_all_heads_of_a_small_model_at_two_places_is_not_endless(draws: int):
    """As the deterministic planner makes it, and hidden among random changes as a blinded one does."""
    asked = {"sites": ["x"] * 144, "positions": ["entity", "last"], "pairs": [{}] * DISCOVERY_PAIRS}
    refuse_endless({**asked, "random_draws": draws}, get_tool("patch"))


NONE = (
    "",
    "[]",
    "null",
    "7",
    "{",
    "[" * 5_000,
    '{"a": NaN}',
    '{"a": Infinity}',
    '{"prompts": ["\\ud800"]}',
    "x" * 100_000,
)
DEEP = '{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1)


@pytest.mark.parametrize("text", [*NONE, DEEP, '{"a": 1' + "0" * 5_000])
def test_arguments_that_are_none_are_refused_with_how_to_write_them(text: str):
    with pytest.raises(ToolError, match=r"Write them as|Name the prompts|`why`"):
        wanted("next_token", text)


def test_what_does_not_fit_is_told_with_what_there_is():
    with pytest.raises(ToolError, match=r"Its arguments: pairs, sites"):
        wanted("patch", {"pairs": "discovery"})
    with pytest.raises(ToolError, match=r"no function 'reveal'.*open_instrument, predict, finish.*patch"):
        wanted("reveal", {})
