"""What a measurement found, in a sentence whose every figure is read from it."""

import pytest
from supernode_reports import effect_of
from vesalius.agent.headlines import headline
from vesalius.agent.report.figures import render_plain
from vesalius.tools import Measurement, Subject, get_tool

PROMPT = "the capital of the state containing Dallas is"


def told(found: Measurement) -> str:
    return render_plain(headline(found), {found.id: found}).replace(f" [{found.id}]", "")


def run(subject: Subject, name: str, **args: object) -> Measurement:
    tool = get_tool(name)
    return tool.measure(subject, tool.parse(args))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("swap", "With the features named `Texas` exchanged the effect is 0.37 (answers moved: 50%)."),
        ("ablate", "With the features named `Texas` taken out the effect is 0.37 (answers lost: 50%)."),
    ],
)
def test_a_test_of_a_supernode_says_what_was_done_and_how_far_answers_moved(mode, expected):
    found = effect_of("Texas", ("0/1",))
    assert told(found.model_copy(update={"args": found.args | {"mode": mode}})) == expected


def test_on_re_initialised_weights_it_is_told_in_nats():
    text = told(effect_of("Texas", ("0/1",), reinit_seed=1))
    assert (
        text
        == "With the features named `Texas` taken out, re-initialised weights move by 1.5 nats (answers lost: 50%)."
    )


def test_a_name_of_backticks_breaks_no_sentence():
    assert "named `a'b` taken out" in told(effect_of("a`b", ("0/1",)))


def test_a_selection_says_how_many_features_and_what_they_explain(atlas):
    found = run(atlas, "select_features", prompt=PROMPT, draws=2)
    result, scores = found.result, found.result["scores"]
    assert told(found) == (
        f"{len(result['features'])} features hold {result['influence_share']:.0%} of the influence. Replacement with "
        f"them alone: {scores['picked']['replacement']:.0%}; with all features: {scores['whole']['replacement']:.0%}; "
        f"with as many at random: {scores['random']['replacement']['mean']:.0%}."
    )


def test_probes_are_counted_and_concepts_without_one_are_named(atlas):
    found = run(atlas, "make_probes", prompt=PROMPT, target="Austin", per_concept=2, contexts=0, swaps=0)
    result = found.result
    counted = f"Made {len(result['probes'])} probes for {len(result['concepts'])} concepts."
    assert told(found).startswith(counted)
    without = found.model_copy(update={"result": result | {"concepts_without_probes": ["Ohio"]}})
    assert told(without) == f"{counted} No text was found for `Ohio`."


def test_signatures_tell_the_largest_activation_and_where_it_is(atlas):
    probes = [{"text": PROMPT, "concept": "Dallas"}]
    found = run(atlas, "feature_signatures", features=["0/129", "0/136"], probes=probes)
    best = max(found.result["features"], key=lambda one: one["peak"])
    assert best["readings"]
    assert told(found) == (
        f"Read 2 features on 1 probes; the largest activation is {best['peak']:.2f} of "
        f"`{best['layer']}/{best['feature']}` at `{best['readings'][0]['token'].strip()}`."
    )
    silent = [one | {"readings": [], "peak": 0.0} for one in found.result["features"]]
    assert told(found.model_copy(update={"result": found.result | {"features": silent}})).endswith(
        "none of them fires."
    )


def test_probes_that_were_given_and_cannot_be_read_are_said_to_be_left_out(atlas):
    texts = ["Dallas lies in the state of Texas", "the state containing Waco is Texas", "state: Waco is Texas"]
    probes = [{"text": text, "concept": "Texas"} for text in texts]
    args = {"prompt": PROMPT, "target": "Austin", "features": ["1/3"]}
    found = run(atlas, "probe_prompts", probes=probes, **args)
    assert told(found).endswith("Of the probes that were given, 1 cannot be read by the model and are left out.") is (
        any(one["name"] for one in found.result["supernodes"])
    )
    assert "given" not in told(run(atlas, "probe_prompts", probes=probes[:2], **args))
