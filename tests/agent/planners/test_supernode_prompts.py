"""Prompts on which names are tried: kept from what naming read, and each able to contradict the name."""

import pytest
from vesalius.agent.planners._supernode_prompts import (
    FEWEST_CLUSTERS,
    Setting,
    n_clusters,
    other_answers,
    prompts_of_others,
    relation_pairs,
    say_pairs,
    slot_of,
    swap_pairs,
    word_pairs,
)
from vesalius.tools import get_tool

PROMPT = "the capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def setting(atlas) -> Setting:
    """The Dallas prompt."""
    return Setting(atlas.tasks, atlas.tasks[0], PROMPT, 0)


def naming_texts(atlas, prompt: str, target: str, **more: str) -> set[str]:
    """All texts that are probes of a prompt, held-out ones included."""
    tool = get_tool("make_probes")
    made = tool(atlas, tool.parse({"prompt": prompt, "target": target, "seed": 0, "contexts": 0, **more}))
    return {probe.text for probe in made.probes}


def states(setting: Setting) -> dict[str, str]:
    return {row.slots["city"]: row.slots["state"] for row in setting.asked.rows}


def city_of(setting: Setting, prompt: str) -> str:
    (city,) = set(prompt.split()) & set(states(setting))
    return city


def test_no_probing_reads_a_city_or_a_wording_that_confirms(atlas, setting):
    texts = naming_texts(atlas, PROMPT, "Austin")
    for prompt, answer in prompts_of_others(setting, 3):
        texts |= naming_texts(atlas, prompt, answer, split_as=PROMPT)
    read = {word for text in texts for word in text.split()}
    for family in setting.families:
        assert setting.templates(family, "kept back")
        for template in setting.templates(family, "kept back"):
            made = tuple(template.fill(row.slots) for row in family.rows)
            assert not [text for text in texts if text.startswith(made)]
    for family in setting.related:
        assert not {row.slots["city"] for row in setting.rows(family, "kept back")} & read


def test_what_is_seen_and_what_is_kept_back_is_everything_once(setting):
    for family in setting.families:
        for of in (setting.templates, setting.rows):
            seen, kept = of(family, "seen"), of(family, "kept back")
            assert len(seen) + len(kept) == len(family.templates if of == setting.templates else family.rows)
    by_name = {family.name: family for family in setting.families}
    for name in ("gender", "pronoun"):
        assert len(setting.rows(by_name[name], "kept back")) == 30


def test_no_city_that_training_held_out_is_seen_before_confirmation(setting):
    held_out = {row.slots["city"] for row in setting.asked.rows if row.split == "held_out"}
    for family in setting.related:
        assert not held_out & {row.slots["city"] for row in setting.rows(family, "seen")}


def test_an_asked_city_of_those_kept_back_takes_the_place_of_another_of_its_state(setting):
    kept = {row.slots["city"] for row in setting.rows(setting.asked, "kept back")}
    texan = {row.slots["city"] for row in setting.asked.rows if row.slots["state"] == "Texas"}
    city = sorted(kept & texan)[0]
    again = Setting(setting.families, setting.asked, f"the capital of the state containing {city} is", 0)
    now = {row.slots["city"] for row in again.rows(setting.asked, "kept back")}
    assert city not in now
    assert len(now & texan) == len(kept & texan) == 7
    assert now - texan == kept - texan


def test_a_name_that_the_prompt_shows_in_another_slot_is_not_kept_back(atlas):
    family = next(family for family in atlas.tasks if family.name == "ioi")
    kept = {row.slots["io"] for row in Setting(atlas.tasks, family, "", 0).rows(family, "kept back")}
    row = next(row for row in family.rows if row.slots["s"] in kept and row.slots["io"] not in kept)
    asked = Setting(atlas.tasks, family, family.templates[0].fill(row.slots), 0)
    assert {one.slots["io"] for one in asked.rows(family, "kept back")} == kept - {row.slots["s"]}


def test_a_swap_puts_another_state_into_the_same_wording(setting):
    others = ["Georgia", "Ohio", "Florida", "Oregon", "Arizona", "Michigan", "Illinois", "California"]
    pairs = swap_pairs(setting, "Texas", others, "kept back", 24)
    known = states(setting)
    assert len({pair["base"] for pair in pairs}) == len(pairs)
    assert n_clusters(pairs) >= FEWEST_CLUSTERS
    for pair in pairs:
        own, other = (city_of(setting, pair[side]) for side in ("base", "corrupted"))
        assert (known[own], known[other]) == ("Texas", pair["counterpart"])
        assert pair["base"].replace(own, "_") == pair["corrupted"].replace(other, "_")
        assert pair["answer"] in ("Austin", "Texas")


def test_discovery_and_confirmation_share_no_prompt(setting):
    found = [swap_pairs(setting, "Texas", ["Georgia", "Ohio"], part, 24) for part in ("seen", "kept back")]
    seen, confirmed = ({pair[side] for pair in part for side in ("base", "corrupted")} for part in found)
    assert seen
    assert confirmed
    assert not seen & confirmed


def test_texts_are_cut_right_before_the_word_that_is_said(setting):
    pairs = say_pairs(setting, "Austin", "kept back", 24)
    made = {t.fill(r.slots): r.slots[f.answer] for f in setting.related for t in f.templates for r in f.rows}
    assert pairs
    for pair in pairs:
        assert made[pair["base"]] == pair["answer"] == "Austin"
        assert pair["foil"] != "Austin"
        assert made.get(pair["corrupted"]) != "Austin"


def test_other_answers_are_other_answers(setting):
    pairs = other_answers(setting, "Austin", "kept back", 48)
    assert len({pair["base"] for pair in pairs}) == len(pairs) == 48
    assert "Austin" not in {pair["answer"] for pair in pairs}


def test_prompts_with_a_word_hold_it_as_a_word_of_the_wording(setting):
    assert all("capital" in pair["base"].split() for pair in word_pairs(setting, "capital", "seen", 30))
    without = word_pairs(setting, "capital", "seen", 30, stands=False)
    assert without
    assert not any("capital" in pair["base"].split() for pair in without)
    assert word_pairs(setting, "elephant", "seen", 30) == ()


def test_a_relation_is_asked_in_its_own_family_alone(setting):
    made = {t.fill(r.slots) for t in setting.asked.templates for r in setting.asked.rows}
    assert {pair["base"] for pair in relation_pairs(setting, "seen", 30)} <= made


def test_a_value_is_found_in_the_slot_that_is_swapped(setting):
    assert [slot_of(setting, word) for word in ("Texas", "Austin", "Dallas", "capital")] == [
        "state",
        "capital",
        "city",
        "",
    ]


def test_other_prompts_have_other_answers_in_the_asked_wording(setting):
    found = prompts_of_others(setting, 8)
    assert len({answer for _, answer in found} - {"Austin"}) == 8
    assert all(prompt.startswith("the capital of the state containing ") for prompt, _ in found)
    elsewhere = Setting(setting.families, setting.asked, "no prompt of the task", 0)
    assert prompts_of_others(elsewhere, 8) == ()


def test_equal_seeds_give_equal_prompts_and_others_do_not(setting):
    def pairs(seed):
        again = Setting(setting.families, setting.asked, PROMPT, seed)
        return swap_pairs(again, "Texas", ["Georgia", "Ohio"], "kept back", 24)

    assert pairs(0) == pairs(0)
    assert pairs(0) != pairs(1)
