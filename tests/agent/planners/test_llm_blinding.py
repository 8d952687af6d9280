"""What is hidden from a planner stays hidden, and comes back as it was."""

import json

import pytest
from vesalius.agent.planners.llm_blinding import WITH_ARMS, WITH_NAMES, Blinding
from vesalius.tools import Measurement, SubjectKey, ToolError, digest, get_tool

NAMES = Blinding("names", seed=3, n_layers=4, n_heads=4)
ARMS = Blinding("arms", seed=3, n_layers=4, n_heads=4)
SITES = [f"{kind}.{layer}" for kind in ("resid_pre", "resid_post", "attn_out", "mlp_out") for layer in range(4)]
HEADS = [f"head.{layer}.{head}" for layer in range(4) for head in range(4)]


def patched(*cells: tuple[str, float, tuple[float, ...]]) -> Measurement:
    result = {
        "cells": [
            {"site": site, "position": "last", "effect": effect, "moved": effect, "random_effects": list(random)}
            for site, effect, random in cells
        ]
    }
    key = SubjectKey(model="x", fingerprint="f" * 64)
    return Measurement.model_validate(
        {
            "id": "m-0123abcd",
            "tool": "patch",
            "args": {},
            "subject": key,
            "result": result,
            "digest": digest(result),
            "seconds": 0.1,
        }
    )


@pytest.mark.parametrize("site", [*SITES, *HEADS])
def test_a_name_comes_back_as_it_was(site):
    assert NAMES.true_site(NAMES.named(site)) == site
    assert Blinding("names", 4, 4, 4).true_site(NAMES.named(site)).split(".")[0] == site.split(".")[0]


def test_names_are_exchanged_one_for_one_and_kinds_stay():
    assert sorted(map(NAMES.named, SITES)) == sorted(SITES)
    assert sorted(map(NAMES.named, HEADS)) == sorted(HEADS)
    assert [*map(NAMES.named, HEADS)] != HEADS
    # One layer goes by one number, whatever is meant of it.
    assert NAMES.named("resid_post.2").split(".")[1] == NAMES.named("head.2.0").split(".")[1]


def test_names_of_other_programs_are_put_back_too():
    layer, head = NAMES.named("head.1.2").split(".")[1:]
    assert NAMES.true_site(f"blocks.{layer}.attn.hook_z.{head}") == "head.1.2"
    assert NAMES.true_site(f"a{layer}.h{head}") == "head.1.2"


@pytest.mark.parametrize("odd", ["resid_post.9", "embed", "nonsense", "head.0.7"])
def test_what_names_no_layer_stays_as_it_is_and_is_refused_where_all_is(odd):
    assert NAMES.true_site(odd) == odd
    assert NAMES.named(odd) == odd


def test_every_name_in_a_text_is_exchanged_but_for_the_planners_own_words():
    text = "Of 2 places the largest is `head.1.2`, then resid_post.0."
    assert (
        NAMES.named(text)
        == f"Of 2 places the largest is `{NAMES.named('head.1.2')}`, then {NAMES.named('resid_post.0')}."
    )
    said = [{"role": "assistant", "content": text}, {"role": "tool", "content": text}]
    mine, told = NAMES.messages(said)
    assert mine["content"] == text
    assert told["content"] == NAMES.named(text)
    assert ARMS.named(text) == text


def test_two_effects_are_shown_of_each_place_and_nothing_else():
    cells = [(f"resid_post.{i}", 0.9, (0.1, 0.3)) for i in range(4)] + [
        (f"mlp_out.{i}", 0.9, (0.1, 0.3)) for i in range(4)
    ]
    measured = patched(*cells)
    shown = json.loads(ARMS.shown(measured, most=60) or "")
    assert shown.keys() == {"id", "effects"}
    letters = ARMS.key([measured])["place_is"][measured.id]
    for place, (site, *_) in zip(shown["effects"], cells, strict=True):
        mine = letters[f"{site} at last"]
        assert place == {"site": site, "position": "last", mine: 0.9, {"A": "B", "B": "A"}[mine]: 0.2}
    assert {*letters.values()} == {"A", "B"}, "an order that never changes hides nothing"


def test_where_room_is_short_the_smallest_places_are_left_out_and_counted():
    measured = patched(("resid_post.0", 0.1, (0.0,)), ("resid_post.1", -0.9, (0.0,)), ("resid_post.2", 0.5, (0.0,)))
    shown = json.loads(ARMS.shown(measured, most=2) or "")
    assert [place["site"] for place in shown["effects"]] == ["resid_post.1", "resid_post.2"]
    assert shown["left_out"] == "1 of smallest effect"


def test_an_effect_without_a_control_is_not_shown_and_what_has_no_effect_is():
    assert "hidden: no random change" in (ARMS.shown(patched(("resid_post.0", 0.1, ())), most=9) or "")
    assert ARMS.shown(patched(), most=9) is None
    assert NAMES.shown(patched(("resid_post.0", 0.1, (0.2,))), most=9) is None


def test_every_patch_of_a_planner_without_arms_has_controls_whatever_it_asked_for():
    assert ARMS.true_args({"sites": ["head.0.1"], "random_draws": 0})["random_draws"] > 0
    assert "random_draws" not in NAMES.true_args({"sites": ["head.0.1"]})


def test_features_cannot_be_named_where_layers_are_hidden():
    with pytest.raises(ToolError, match="Name sites alone"):
        NAMES.true_args({"sites": ["1/3"]})


@pytest.mark.parametrize(
    ("blinding", "tool"), [(NAMES, "logit_lens"), (ARMS, "eap"), (Blinding("both", 0, 4, 4), "steer")]
)
def test_an_instrument_that_would_show_it_is_refused_with_those_that_do_not(blinding, tool):
    with pytest.raises(ToolError, match=r"Use .*patch"):
        blinding.refuse(tool)
    Blinding().refuse(tool)


def fields(schema: object) -> set[str]:
    if isinstance(schema, list):
        return {name for one in schema for name in fields(one)}
    if not isinstance(schema, dict):
        return set()
    return {*schema.get("properties", {})} | {name for one in schema.values() for name in fields(one)}


@pytest.mark.parametrize("name", sorted(WITH_NAMES))
def test_no_instrument_that_may_be_used_tells_a_layer_in_another_way(name):
    tool = get_tool(name)
    told = fields(tool.result_model.model_json_schema())
    assert not told & {"layer", "layers", "head", "heads", "feature", "features", "sites", "link", "links", "slot"}


@pytest.mark.parametrize("name", sorted(WITH_ARMS))
def test_no_instrument_that_may_be_used_shows_an_effect_without_its_control(name):
    told = fields(get_tool(name).result_model.model_json_schema())
    assert not told & {"effect", "effects", "influence", "relevance", "score", "kl"} or "random_effects" in told
