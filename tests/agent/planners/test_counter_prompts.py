"""Prompts to try a claim on: facts are fixed, wordings alone are free."""

import pytest
from vesalius.agent.planners._counter_prompts import (
    MOST_ASKED,
    check_wording_slots,
    material_of,
    pairs_for,
    short_texts,
)
from vesalius.agent.planners._pairs import pool_from_task
from vesalius.agent.planners.llm_refuting import consultation, wordings_of
from vesalius.agent.planners.llm_turns import Call, Turn, terms_of
from vesalius.tools import ToolError

OPPOSITES = [
    {"base": "the opposite of hot is", "corrupted": "the opposite of big is", "answer": "cold", "foil": "small"},
    {"base": "the opposite of old is", "corrupted": "the opposite of hot is", "answer": "new", "foil": "cold"},
    {"base": "the opposite of wet is", "corrupted": "it is said that dry", "answer": "dry", "foil": "wet"},
    {"base": "the opposite of bad is", "corrupted": "the opposite of big is", "answer": "good", "foil": "little"},
]


@pytest.fixture(scope="module")
def two_hop(atlas):
    return next(family for family in atlas.tasks if family.name == "two_hop")


@pytest.fixture(scope="module")
def pool(atlas, two_hop):
    return pool_from_task(atlas.tasks, two_hop, two_hop.templates[0], 0)


def test_facts_of_pairs_are_words_with_one_answer_each():
    found = material_of({"pairs": OPPOSITES}, None)
    # `big` has two answers, and the third pair differs in more than a word.
    assert {fact.word: fact.answer for fact in found.facts} == {"hot": "cold", "old": "new", "bad": "good"}
    assert found.wordings == ("the opposite of {word} is",)
    assert not found.unused


def test_wordings_of_a_task_that_a_claim_was_not_tested_in_are_known(pool, two_hop):
    found = material_of({"pairs": pool.confirmation.swap}, two_hop)
    assert len(found.wordings) == 5
    # The first two explored, the others confirmed.
    assert found.unused == (
        "the capital of the state containing {word} is",
        "the capital of the state where {word} lies is called",
    )


def test_what_class_means_are_of_is_left_out(pool, two_hop):
    args = {"pairs": pool.confirmation.swap, "reference": pool.reference}
    means = {entry["entity"] for entry in pool.reference}
    facts = material_of(args, two_hop).facts
    assert facts
    assert not means & {fact.word for fact in facts}


def test_pairs_swap_the_word_alone_and_carry_its_answers(two_hop):
    material = material_of({"pairs": []}, two_hop)
    capital = {row.slots["city"]: row.slots["capital"] for row in two_hop.rows}
    pairs = pairs_for(material, ["{word} it is that lies in"], (), set(), "0")
    assert len(pairs) == MOST_ASKED
    assert len({pair["cluster"] for pair in pairs}) == MOST_ASKED
    for pair in pairs:
        assert pair["base"] == f"{pair['base_entity']} it is that lies in"
        assert pair["corrupted"] == f"{pair['source_entity']} it is that lies in"
        assert (pair["answer"], pair["foil"]) == (capital[pair["base_entity"]], capital[pair["source_entity"]])
        assert pair["base_label"] != pair["source_label"]


def test_what_stays_in_a_prompt_is_not_swapped_in(atlas):
    family = next(family for family in atlas.tasks if family.name == "ioi")
    material = material_of({"pairs": []}, family)
    assert material.slots == ("s", "place", "object")
    for pair in pairs_for(material, material.wordings, (), set(), "0"):
        assert pair["base"].replace(pair["base_entity"], pair["source_entity"]) == pair["corrupted"]


def test_prompts_that_were_measured_do_not_come_back(pool, two_hop):
    material = material_of({"pairs": pool.confirmation.swap}, two_hop)
    first = pairs_for(material, material.unused, (), set(), "0")
    measured = {first[0]["base"], first[1]["corrupted"]}
    again = pairs_for(material, material.unused, (), measured, "0")
    assert not measured & {pair[name] for pair in again for name in ("base", "corrupted")}


def test_a_sentence_in_front_holds_no_word_of_the_pair(two_hop):
    material = material_of({"pairs": []}, two_hop)
    texts = ("people like Dallas", "she saw a camera")
    pairs = pairs_for(material, material.wordings[:1], texts, set(), "0")
    for pair in pairs:
        front = "people like Dallas" if pair["base"].startswith("people") else "she saw a camera"
        assert pair["base"].startswith(front)
        assert pair["corrupted"].startswith(front)
        assert not {"Dallas"} & {pair["base_entity"], pair["source_entity"]} or front == "she saw a camera"


def test_the_same_seed_makes_the_same_pairs_and_another_makes_others(two_hop):
    material = material_of({"pairs": []}, two_hop)
    once, again, other = (pairs_for(material, material.wordings, (), set(), seed) for seed in ("0", "0", "1"))
    assert once == again
    assert once != other
    assert short_texts(["a b", "c " * 20, "d"], "0") == short_texts(["a b", "c " * 20, "d"], "0")
    assert set(short_texts(["a b", "c " * 20, "d"], "0")) == {"a b", "d"}


@pytest.mark.parametrize(
    ("wording", "mend"),
    [
        ("no slot at all", r"\{word\} in it once"),
        ("{word} and {word} are", r"\{word\} in it once"),
        ("{word} of {place} is", r"\{word\} in it once"),
        ("{word.__class__} is", r"\{word\} in it once"),
        ("{word!r} is", r"\{word\} in it once"),
        ("{word is", r"\{word\} in it once"),
        ("the capital of {word}", "more behind it"),
    ],
)
def test_a_wording_that_cannot_be_filled_is_refused_with_the_mend(wording, mend, two_hop):
    with pytest.raises(ToolError, match=mend):
        check_wording_slots(wording, material_of({"pairs": []}, two_hop))


def turn(arguments: str, name: str = "try_wordings", **also) -> Turn:
    return Turn(
        number=1,
        role="refuter",
        mode="native",
        model="tiny",
        calls=(Call(id="1", name=name, arguments=arguments),),
        **also,
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (turn("{}", name="finish"), "does not call"),
        (turn("{}"), "wordings"),
        (turn('{"wordings": []}'), "wordings"),
        (turn('{"wordings": ["{word} is\\nso"]}'), "line break"),
        (turn('{"wordings": ["{word} is"], "verdict": "broken"}'), "verdict"),
        (turn('{"wordings": ["Austin is"]}'), "right slots"),
        (turn("{}", problem="it breaks off"), "breaks off"),
    ],
)
def test_a_reply_without_wordings_is_told_why(said, why, two_hop):
    material = material_of({"pairs": []}, two_hop)
    with pytest.raises(ToolError, match=why):
        wordings_of(said, material)
    asked = consultation("It is so.", material, (), (), (), [said], 2, 0, terms_of([said]), room=24_000)
    assert why in asked.messages[-1]["content"]
    assert asked.seed == 1


def test_wordings_of_a_reply_are_read_from_its_words_too(two_hop):
    said = Turn(
        number=1,
        role="refuter",
        mode="json",
        model="tiny",
        content='{"call": "try_wordings", "arguments": {"wordings": ["{word} is", "{word} is"]}}',
    )
    assert wordings_of(said, material_of({"pairs": []}, two_hop)) == ("{word} is",)
