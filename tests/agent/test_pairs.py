"""Prompt pairs: discovery and confirmation never share an entity or, where there are enough, a template."""

import pytest
from vesalius.agent.planners._contrasts import WordSwap
from vesalius.agent.planners._mediation import _class_means
from vesalius.agent.planners._pairs import pool_from_pairs, pool_from_task
from vesalius.agent.planners.interface import ContrastPair
from vesalius.tools import Measurement, Row, SubjectKey, TaskFamily, Template

FAMILIES_WITH_HELD_OUT = ("two_hop", "ioi", "induction", "pronoun")


@pytest.mark.parametrize("name", FAMILIES_WITH_HELD_OUT)
def test_confirmation_has_other_entities_and_other_templates(atlas, name):
    family = next(f for f in atlas.tasks if f.name == name)
    pool = pool_from_task(atlas.tasks, family, family.templates[0], seed=0)
    seen = {pair["base"] for pair in pool.discovery.swap} | {pair["corrupted"] for pair in pool.discovery.swap}
    for pairs in (pool.confirmation.swap, pool.confirmation.other, pool.confirmation.one_hop):
        assert not seen & {pair["base"] for pair in pairs}
        assert not seen & {pair["corrupted"] for pair in pairs}
    assert pool.holds_out_template


def test_held_out_rows_are_those_of_the_task_data(atlas):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    pool = pool_from_task(atlas.tasks, family, family.templates[0], seed=0)
    held_out = {row.slots["city"] for row in family.rows if row.split == "held_out"}
    assert {pair["base_entity"] for pair in pool.confirmation.swap} <= held_out
    assert {pair["source_entity"] for pair in pool.confirmation.swap} <= held_out
    assert not {pair["base_entity"] for pair in pool.discovery.swap} & held_out
    assert not {entry["entity"] for entry in (*pool.reference, *pool.reference_one_hop)} & held_out


@pytest.mark.parametrize(("name", "use_held_out"), [("state_capital", True), ("gender", True), ("antonym", False)])
def test_without_held_out_rows_the_training_rows_are_halved(atlas, name, use_held_out):
    family = next(f for f in atlas.tasks if f.name == name)
    pool = pool_from_task(atlas.tasks, family, family.templates[0], 0, use_held_out)
    entities = [
        {pair[key] for pair in split.swap for key in ("base_entity", "source_entity")}
        for split in (pool.discovery, pool.confirmation)
    ]
    assert all(entities)
    assert not entities[0] & entities[1]


def in_states(states: dict[str, str]) -> TaskFamily:
    """Cities in states, each state with a capital of its own."""
    return TaskFamily(
        name="capitals",
        description="",
        templates=(Template(id="plain", text="the capital of the state of {city} is"),),
        entity="city",
        mediators=("state",),
        answer="capital",
        rows=tuple(
            Row(slots={"city": city, "state": state, "capital": f"capital of {state}"}, split="train")
            for city, state in states.items()
        ),
    )


@pytest.mark.parametrize("of_a_state", [1, 2, 5])
def test_both_halves_have_several_values_however_few_entities_have_each(of_a_state):
    family = in_states({f"c{s}{i}": f"s{s}" for s in range(8) for i in range(of_a_state)})
    pool = pool_from_task([family], family, family.templates[0], 0, asked="c00")
    halves = [{pair["base_label"] for pair in half.swap} for half in (pool.discovery, pool.confirmation)]
    cities = [{pair["base_entity"] for pair in half.swap} for half in (pool.discovery, pool.confirmation)]
    assert min(map(len, halves)) >= 3
    if of_a_state > 1:
        assert halves[0] == {f"s{s}" for s in range(8)}
    assert not cities[0] & cities[1]
    assert "c00" not in cities[1]


def test_every_pair_changes_the_answer_and_keeps_the_other_slots(atlas):
    family = next(f for f in atlas.tasks if f.name == "ioi")
    for pair in pool_from_task(atlas.tasks, family, family.templates[0], seed=0).discovery.swap:
        assert pair["answer"] != pair["foil"]
        assert len(pair["base"].split()) == len(pair["corrupted"].split())


def test_the_split_repeats_from_its_seed(atlas):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    one, again, other = (pool_from_task(atlas.tasks, family, family.templates[0], seed=s) for s in (0, 0, 1))
    assert one == again != other


def pairs_of(contexts: int, replacements: int) -> list[tuple[ContrastPair, str]]:
    return [
        (ContrastPair(clean=f"c{c}", corrupted=f"c{c} r{r}", answer="a", foil="b", cluster=f"k{c}"), f"r{r}")
        for c in range(contexts)
        for r in range(replacements)
    ]


def test_contrast_pairs_are_split_by_context_and_by_replacement():
    made = pairs_of(9, 3)
    pool = pool_from_pairs([p for p, _ in made], [r for _, r in made], "here", "answer", aligned=True, seed=0)
    discovery, confirmation = ({p["base"] for p in split.swap} for split in (pool.discovery, pool.confirmation))
    assert discovery
    assert confirmation
    assert not discovery & confirmation
    words = [{p["corrupted"].split()[-1] for p in split.swap} for split in (pool.discovery, pool.confirmation)]
    assert not words[0] & words[1]
    assert not pool.holds_out_template


def test_the_other_way_round_swaps_prompts_and_answers():
    made = pairs_of(4, 1)
    pool = pool_from_pairs([p for p, _ in made], None, "here", "answer", aligned=True, seed=0)
    for one, other in zip(pool.confirmation.swap, pool.confirmation.other, strict=True):
        assert (one["base"], one["answer"]) == (other["corrupted"], other["foil"])


def found(substitutions):
    subject = SubjectKey(model="m", fingerprint="f")
    result = {"substitutions": substitutions, "probability": 0.9}
    return Measurement(
        id="m-00000000", tool="substitutions", subject=subject, args={}, result=result, digest="", seconds=0.0
    )


def tried(word, start, replacement, keeps, answer="he", kept=0.1, same=True):
    return {
        "word": word,
        "occurrence": 0,
        "start": start,
        "replacement": replacement,
        "prompt": "",
        "answer": answer,
        "answer_probability": 0.8,
        "kept_probability": kept,
        "keeps": keeps,
        "same_length": same,
    }


def test_the_decisive_word_is_the_one_whose_replacement_costs_most():
    swap = WordSwap(
        "a little girl ran",
        "she",
        found(
            [
                tried("little", 2, "big", True, kept=0.8),
                tried("girl", 9, "boy", False),
                tried("ran", 14, "is", False, kept=0.7),
            ]
        ),
    )
    assert (swap.word, swap.foil, swap.replacements) == ("girl", "he", ["boy"])
    made = [pair.clean for pair, _ in swap.candidates()]
    assert made == ["a little girl ran", "a big girl ran"]
    assert [pair.corrupted for pair, _ in swap.candidates()] == ["a little boy ran", "a big boy ran"]


def test_no_swap_is_found_where_nothing_changes_the_answer():
    assert not WordSwap("a b", "c", found([tried("a", 0, "x", True)])).exists


def test_class_means_come_from_every_kind_of_prompt_that_there_is_and_from_no_other(atlas):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    both = _class_means(pool_from_task(atlas.tasks, family, family.templates[0], 0))
    alone = _class_means(pool_from_task([family], family, family.templates[0], 0))
    assert [name for name, _, _ in both] == [alone[0][0], "class means of prompts that ask the state"]
    assert len(alone) == 1
    assert all(reference for _, _, reference in (*both, *alone))


def test_a_pair_given_in_both_directions_is_no_second_kind_of_counterfactual():
    pairs = [
        ContrastPair(clean=f"{a} is", corrupted=f"{b} is", answer=a.upper(), foil=b.upper(), cluster=f"{i}")
        for i in range(12)
        for a, b in ((f"x{i}", f"y{i}"), (f"y{i}", f"x{i}"))
    ]
    pool = pool_from_pairs([*pairs, *pairs], None, "there", "answer", aligned=True, seed=0)
    assert not pool.confirmation.other
    assert len(pool.confirmation.swap) == len({(p["base"], p["corrupted"]) for p in pool.confirmation.swap})


@pytest.mark.parametrize(
    ("name", "place", "answer"),
    [("two_hop", "the city's token", "capital"), ("ioi", "the swapped word's token", "answer")],
)
def test_places_are_named_in_words_and_not_by_abbreviations(atlas, name, place, answer):
    family = next(f for f in atlas.tasks if f.name == name)
    pool = pool_from_task(atlas.tasks, family, family.templates[0], seed=0)
    assert (pool.place, pool.answer) == (place, answer)
