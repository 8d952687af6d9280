"""Probes for a prompt: made or given, in other contexts, and split before any is read."""

import pytest
from probe_world import PROMPT, make_world
from vesalius.tools import Subject, ToolError, exploring_entities, get_tool
from vesalius.tools.make_probes import MakeProbesArgs, make_probes

GIVEN = (
    {"text": "Dallas lies in Texas", "concept": "Texas"},
    {"text": "the state of Texas", "concept": "Texas", "category": "state"},
    {"text": "Ohio is near Dayton", "concept": "Ohio"},
)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Subject:
    return make_world(tmp_path_factory.mktemp("world"))


def made(subject: Subject, **more):
    asked = {"prompt": PROMPT, "target": "Austin", "per_concept": 4, **more}
    return make_probes(subject, MakeProbesArgs.model_validate(asked))


def test_every_probe_holds_its_concept_once_and_is_for_naming_or_held_out(atlas):
    found = made(atlas, per_concept=9)
    texts = [probe.text for probe in found.probes]
    assert len(set(texts)) == len(texts)
    for probe in found.probes:
        assert atlas.token_strings([atlas.reader.encode(probe.text)[probe.position]])[0].strip() == probe.concept
    for concept in found.concepts:
        kinds = [probe.held_out for probe in found.probes if probe.concept == concept.label]
        assert set(kinds) == {True, False}
    naming, held = ({p.text for p in found.probes if p.held_out is kind} for kind in (False, True))
    assert not naming & held
    assert 0.2 < len(held) / len(texts) < 0.5
    assert found.n_shared_wordings == 0
    templates = [{p.template for p in found.probes if p.held_out is kind and p.template} for kind in (False, True)]
    assert not templates[0] & templates[1]


def test_equal_seeds_give_equal_digests_and_others_other_probes(atlas):
    args = [MakeProbesArgs.model_validate({"prompt": PROMPT, "target": "Austin", "seed": seed}) for seed in (3, 3, 4)]
    one, same, other = (make_probes.measure(atlas, each) for each in args)
    assert one.digest == same.digest != other.digest
    assert one.result["split_digest"] == same.result["split_digest"] != other.result["split_digest"]
    assert {p["text"] for p in one.result["probes"]} != {p["text"] for p in other.result["probes"]}


def test_the_prompt_itself_is_for_naming_whatever_the_seed(world):
    for seed in range(6):
        own = [probe for probe in made(world, seed=seed, held_out=0.5).probes if probe.text.startswith(PROMPT)]
        assert [probe.held_out for probe in own] == [False]


def test_words_at_which_the_features_peak_in_the_models_texts_become_concepts(world):
    """Half of the texts are looked at; one feature peaks at `lies` where no `state` is, another at `near`."""
    plain = made(world, seed=2)
    looked = made(world, seed=2, features=("1/4", "1/0", "1/3"))
    assert [one.label for one in looked.concepts if one.role == "context"] == ["lies", "near"]
    assert looked.concepts[: len(plain.concepts)] == plain.concepts  # `Texas`, at which the third peaks, was there
    (one,) = (one.label for one in made(world, seed=2, features=("1/4",)).concepts if one.role == "context")
    assert one == "lies"
    assert (looked.dictionary, plain.dictionary) == ("world", "")


def test_no_probe_is_a_text_that_was_looked_at_for_contexts(world):
    for seed in range(8):
        found = made(world, seed=seed, features=("1/4", "1/0", "1/3"))
        if "near" in {one.label for one in found.concepts if one.role == "context"}:
            assert "Dayton lies near Texas" not in {probe.text for probe in found.probes}
        assert {"text", "template"} == {probe.source for probe in found.probes}


def test_without_room_for_contexts_the_features_change_nothing(world):
    plain, none = made(world), made(world, features=("1/4",), contexts=0)
    assert none.probes == plain.probes


def test_a_feature_that_no_text_activates_adds_no_concept(world):
    assert not any(one.role == "context" for one in made(world, features=("1/5",)).concepts)


@pytest.mark.slow
def test_the_question_that_is_asked_decides_what_is_kept_back(atlas):
    def texts(city: str, target: str, **more: str) -> str:
        asked = {"prompt": f"the capital of the state containing {city} is", "target": target, "per_concept": 30}
        found = make_probes(atlas, MakeProbesArgs.model_validate(asked | {"swaps": 100, "contexts": 0, **more}))
        return " ".join(probe.text for probe in found.probes)

    family = atlas.tasks[0]
    explore = exploring_entities(atlas.tasks, 0)
    texan = sorted(row.slots["city"] for row in family.rows if row.slots["state"] == "Texas" and row.split == "train")
    asked = next(city for city in texan if city not in explore)
    instead = next(city for city in texan if city in explore - exploring_entities(atlas.tasks, 0, asked))
    other = next(row.slots for row in family.rows if row.slots["city"] in explore and row.slots["state"] == "Georgia")
    question = f"the capital of the state containing {asked} is"
    alone, for_question = (texts(other["city"], other["capital"], **more) for more in ({}, {"split_as": question}))
    assert (instead in alone, asked in alone) == (True, False)
    assert (instead in for_question, asked in for_question) == (False, True)


def test_given_probes_are_all_that_is_run_and_look_like_those_that_are_made(world):
    found = made(world, probes=GIVEN)
    assert [(p.text, p.concept) for p in found.probes] == [(p["text"], p["concept"]) for p in GIVEN]
    assert [p.category for p in found.probes] == ["", "state", ""]
    assert [p.position for p in found.probes] == [4, 4, 1]  # <bos> counts
    assert {p.source for p in found.probes} == {"given"}
    assert sorted(p.held_out for p in found.probes[:2]) == [False, True]
    assert found.probes[2].held_out is False
    assert [(one.label, one.role) for one in found.concepts] == [("Texas", "given"), ("Ohio", "given")]
    assert (found.maker, found.family) == ("given", "two_hop")


def test_probes_that_were_made_can_be_given_again_with_their_split(world):
    first = made(world)
    again = made(world, probes=[probe.model_dump() for probe in first.probes], seed=9)
    assert again.split_digest == first.split_digest
    assert [p.position for p in again.probes] == [p.position for p in first.probes]


def test_what_the_model_cannot_read_or_read_before_is_left_out_and_counted(world):
    found = made(
        world,
        probes=[
            *GIVEN,
            {"text": "a zebra in Texas", "concept": "zebra"},
            {"text": "Dallas  lies in Texas ", "concept": "Dallas"},  # the same tokens
            {"text": "Texas <bos> is", "concept": "Texas"},
            {"text": " ".join(["Texas"] * 17), "concept": "Texas"},
        ],
    )
    assert len(found.probes) == len(GIVEN)
    assert (found.n_refused, found.n_duplicates) == (3, 1)
    assert [one.probe for one in found.refused] == [3, 5, 6]
    assert "zebra" in found.refused[0].why
    assert "special token" in found.refused[1].why
    assert "18 tokens" in found.refused[2].why
    assert found.concepts_without_probes == ("zebra", "Dallas")


def test_text_that_gives_orders_is_read_as_any_other(world):
    """Nothing in a given probe reaches a path, a template or another argument."""
    order = {"text": "{city} ../../etc/passwd ignore Texas", "concept": "Texas"}
    found = made(world, probes=[*GIVEN, order])
    assert [one.probe for one in found.refused] == [3]
    assert found.probes == made(world, probes=GIVEN).probes


@pytest.mark.parametrize(
    ("probe", "mend"),
    [
        ({"text": "the state of Texas", "concept": "Ohio"}, "holds the concept as a word of its own"),
        ({"text": "the state of Texas", "concept": "Tex"}, "holds the concept as a word of its own"),
        ({"text": "the state of Texas", "concept": "texas"}, "spelled as it is in `concept`"),
        ({"text": " ", "concept": "Texas"}, "Give a text and a word"),
        ({"text": "the state of Texas", "concept": " "}, "Give a text and a word"),
        ({"text": "Texas " * 700, "concept": "Texas"}, "At most 4000 are read"),
        ({"text": "Texas", "concept": "x" * 101}, "At most 100 are read"),
        ({"text": "Texas", "concept": "Texas", "category": "x" * 101}, "At most 100 are read"),
        ({"text": "near Texas", "concept": "Texas", "held_out": True}, "on all of them, or on none"),
        ({"text": "near Texas", "concept": "Texas", "colour": "red"}, "Extra inputs"),
        ({"text": "near Texas"}, "Field required"),
        ({"text": 7, "concept": "Texas"}, "valid string"),
    ],
)
def test_malformed_probes_are_refused_with_the_mend(world, probe, mend):
    tool = get_tool("make_probes")
    with pytest.raises(ToolError, match=mend):
        tool(world, tool.parse({"prompt": PROMPT, "target": "Austin", "probes": [*GIVEN, probe]}))


def test_one_text_on_both_sides_of_the_split_is_refused_with_the_mend(world):
    twice = [{"text": "the state", "concept": "state", "held_out": held} for held in (False, True)]
    with pytest.raises(ToolError, match="test the names on others"):
        made(world, probes=twice)


def test_more_probes_than_are_read_are_refused(world):
    tool = get_tool("make_probes")
    with pytest.raises(ToolError, match="at most 500"):
        tool.parse({"prompt": PROMPT, "target": "Austin", "probes": [GIVEN[0]] * 501})


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"target": " "}, "Pass the next word"),
        ({"prompt": "the zebra"}, "Use words the model knows"),
        ({"features": ["1/6"]}, r"Features: 0\.\.5"),
        ({"features": ["1/1"], "dictionary": "nothing"}, "vesalius dictionary train"),
        ({"language": "klingon"}, "Languages: "),
        ({"held_out": -0.1}, "greater than or equal to 0"),
        ({"split_as": "the zebra"}, "Pass a prompt that task data make"),
        ({"prompt": PROMPT.replace("Dallas", "Waco"), "split_as": PROMPT}, "Probe a prompt of another entity"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_mend(world, change, mend):
    tool = get_tool("make_probes")
    with pytest.raises(ToolError, match=mend):
        tool(world, tool.parse({"prompt": PROMPT, "target": "Austin", **change}))
