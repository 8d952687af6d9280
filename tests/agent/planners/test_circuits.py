"""The search for a circuit that contrast pairs get: comparable pairs alone, and other counterfactuals where known."""

from typing import Any

import pytest
from vesalius.agent.bench import closed_vocabulary
from vesalius.agent.planners._circuits import FEWEST_PAIRS, MOST_PAIRS, circuit_experiment
from vesalius.agent.planners._pairs import pool_from_task
from vesalius.agent.planners.interface import Experiment, SubjectCard, Task, View
from vesalius.tools import Measurement, Subject, get_tool


def pairs_of(subject: Subject, name: str, most: int = 8) -> list[dict[str, Any]]:
    family = next(f for f in subject.tasks if f.name == name)
    return list(pool_from_task(subject.tasks, family, family.templates[0], seed=0).discovery.swap)[:most]


def view_of(subject: Subject, pairs: list[dict[str, Any]], words: bool = True) -> View:
    """After the check of the pairs, with or without the list of all words that the subject reads."""
    tool, shape = get_tool("next_token"), subject.shape
    prompts = [p["base"] for p in pairs] + [p["corrupted"] for p in pairs]
    answers = [p["answer"] for p in pairs] + [p["foil"] for p in pairs]
    card = SubjectCard(
        key=subject.key,
        n_layers=shape.n_layers,
        n_heads=shape.n_heads,
        n_vocab=shape.n_vocab,
        parallel=shape.parallel,
        dictionary=None,
        tasks=subject.tasks,
        n_texts=0,
        words=closed_vocabulary(subject) if words else (),
    )
    check = tool.measure(subject, tool.parse({"prompts": prompts, "answers": answers}))
    return View(task=Task(kind="where", question="Where is it computed?"), card=card, results={"pairs": check})


def wanted(subject: Subject, pairs: list[dict[str, Any]], **more: Any) -> Experiment:
    found = circuit_experiment(view_of(subject, pairs, **more), pairs)
    assert found is not None
    return found


def test_the_search_is_exploration_of_the_pairs_as_given(atlas):
    pairs = pairs_of(atlas, "two_hop", most=24)
    found = wanted(atlas, pairs)
    assert (found.tool, found.phase, found.prediction, found.twin_seed) == ("circuit_search", "explore", "", None)
    (family,) = found.args["families"]
    assert family["name"] == "counterfactuals"
    assert [p["base"] for p in family["pairs"]] == [p["base"] for p in pairs][:MOST_PAIRS]
    assert all(set(p) == {"base", "corrupted", "answer", "foil", "cluster"} for p in family["pairs"])
    get_tool("circuit_search").parse(found.args)


def test_pairs_of_unequal_length_are_left_out_and_too_few_are_not_searched(atlas):
    pairs = pairs_of(atlas, "state_capital")
    longer = {**pairs[0], "corrupted": "the capital of the state containing Dallas is"}
    assert longer["corrupted"] not in {
        p["corrupted"] for p in wanted(atlas, [longer, *pairs]).args["families"][0]["pairs"]
    }
    few = [longer, *pairs[: FEWEST_PAIRS - 1]]
    assert circuit_experiment(view_of(atlas, few), few) is None


def test_where_the_answer_stands_in_the_prompt_it_also_changes_places_with_words_of_its_kind(atlas):
    pairs = pairs_of(atlas, "ioi")
    given, exchanged = wanted(atlas, pairs).args["families"]
    assert exchanged["name"] == "io and s change places"
    for before, after in zip(given["pairs"], exchanged["pairs"], strict=True):
        words, others = before["base"].split(), after["corrupted"].split()
        names = {before["answer"], after["foil"]}
        assert after["base"] == before["base"]
        assert [w if w not in names else "?" for w in words] == [w if w not in names else "?" for w in others]
        assert all({a, b} == names for a, b in zip(words, others, strict=True) if a != b)
        assert words.count(after["foil"]) == others.count(before["answer"]) == 2


@pytest.mark.parametrize("name", ["two_hop", "pronoun"])
def test_an_answer_that_stands_nowhere_in_the_prompt_changes_places_with_nothing(atlas, name):
    assert len(wanted(atlas, pairs_of(atlas, name)).args["families"]) == 1


def test_no_prompt_is_made_whose_tokens_nobody_counted(atlas):
    assert len(wanted(atlas, pairs_of(atlas, "ioi"), words=False).args["families"]) == 1


def test_pairs_that_ask_for_another_word_than_the_task_data_are_taken_as_they_are(atlas):
    pairs = [{**pair, "answer": "to"} for pair in pairs_of(atlas, "ioi")]
    assert len(wanted(atlas, pairs).args["families"]) == 1


def test_pairs_of_one_cluster_are_not_resampled(atlas):
    pairs = pairs_of(atlas, "two_hop")
    alone = [{**pair, "cluster": "one"} for pair in pairs]
    assert wanted(atlas, alone).args["resamples"] == 0
    assert wanted(atlas, pairs).args["resamples"] >= 100


def test_the_reference_model_can_be_searched_as_asked(atlas):
    asked = wanted(atlas, pairs_of(atlas, "two_hop", most=3))
    tool = get_tool("circuit_search")
    found: Measurement = tool.measure(atlas, tool.parse(asked.args | {"most_contexts": 1, "most_steps": 5}))
    assert max(found.result["complement"]) < 0.1 < 0.5 < min(found.result["random_complement"])
