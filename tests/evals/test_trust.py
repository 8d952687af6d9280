"""The error rate of the whole system: is what is called false false, and is what is counted what was claimed?"""

import random
from dataclasses import replace

import pytest
from vesalius.agent._evidence import Arm, Gate, Judgement, Prediction
from vesalius.agent.planners.interface import ContrastPair
from vesalius.evals.benchmarks._trust_believed import dormant
from vesalius.evals.benchmarks._trust_figures import Measured, figures, upper_metric
from vesalius.evals.benchmarks._trust_guards import LADDER, Judged, any_false, refuse_other_reading, stands
from vesalius.evals.benchmarks._trust_nulls import NULLS, known
from vesalius.evals.benchmarks._trust_organisms import direct, knowing, relabelled, scaled
from vesalius.evals.benchmarks._trust_planner import Belief, Believer, split
from vesalius.evals.benchmarks._trust_planted import Component, Found, find, planted
from vesalius.evals.benchmarks._trust_runs import Said, Trial, investigate
from vesalius.evals.benchmarks.trust import FULL, QUICK, Form, measure, measure_all, table
from vesalius.tools import one_thread, silent


@pytest.fixture(autouse=True)
def small_models_on_one_thread():
    with one_thread():
        yield


def about(site: str, position: str = "last", direction: str = "positive") -> Prediction:
    arm = Arm(label="one", counterfactual_family="one", tool="patch", args={"sites": [site], "positions": [position]})
    return Prediction(
        id="p1",
        hypothesis="h1",
        kind="absence" if direction == "none" else "mediation",
        direction=direction,
        arms=(arm,),
        chance=0.5,
        holds_out_entities=True,
        holds_out_template=True,
    )


GATES = ("behaviour", "no_op", "sealed_arms", "permutation", "bound", "random_draws", "twin", "replication", "families")


def judged(
    supported: bool = True, tier: str = "controlled", low: float = 0.3, p: float = 0.001, **outcomes
) -> Judgement:
    gates = tuple(Gate(name=name, outcome=outcomes.get(name, "pass"), reason="") for name in GATES)
    return Judgement(
        verdict="supported" if supported else "inconclusive",
        tier=tier,
        effect=0.5,
        low=low,
        high=0.7,
        p=p,
        p_meaning="",
        q=p,
        n_pairs=20,
        n_clusters=10,
        moved_share=0.5,
        random_max=0.0,
        twin_effect=0.0,
        shuffled_moved_share=None,
        minimum_detectable=0.1,
        gates=gates,
        reason="",
    )


def trial(*said: Said, kind: str = "direct", name: str = "a", planner: str = "protocol") -> Trial:
    return Trial(kind, name, planner, True, said, 0, 1.0, 0.5)


def test_a_place_without_a_part_is_false_as_a_claim_and_true_as_an_absence():
    one = scaled(0)
    truth = known(one, "value")
    large, idle = one.layout.places["large"].node, "head.1.0"
    assert idle not in one.organism.nodes
    assert truth(about(large)) == ""
    assert "not of the circuit" in truth(about(idle))
    assert truth(about(idle, direction="none")) == ""
    assert "its effect is" in truth(about(large, direction="none"))


def test_the_exact_effect_of_a_part_is_the_share_of_the_answer_that_it_was_compiled_to_write():
    one = scaled(1)
    truth, shares = known(one, "value"), {}
    for output in one.circuit.program.outputs:
        shares[output.variable] = [share for said in output.says.values() for _, share in said]
    for name, place in one.layout.places.items():
        due = sum(shares[name]) / len(shares[name])
        assert truth.effect(place.node, "last") == pytest.approx(due, abs=0.02), name


def test_patching_the_whole_stream_at_the_last_token_after_the_last_block_is_the_whole_effect():
    one = direct(0)
    last = one.organism.subject.shape.n_layers - 1
    assert known(one, "last word").effect(f"resid_post.{last}", "last") == pytest.approx(1.0, abs=1e-5)


def test_no_word_that_confirms_was_looked_at():
    words = [f"w{i}" for i in range(12)]
    pairs = [ContrastPair(clean=f"{a} x", corrupted=f"{b} x", answer=a, foil=b) for a in words for b in words if a != b]
    explore, confirm = split(pairs, 0)
    seen, new = ({pair.answer for pair in side} | {pair.foil for pair in side} for side in (explore, confirm))
    assert len(explore) >= 4
    assert len(confirm) >= 8
    assert not seen & new


def test_labels_that_were_dealt_out_anew_leave_the_answers_as_they_are(tmp_path):
    family = next(one for one in knowing(0, tmp_path, "true").subject.tasks if one.name == "capital")
    dealt = relabelled(family, (), random.Random(0))
    before, after = (
        {name: [row.slots[name] for row in one.rows] for name in ("city", "state", "capital")}
        for one in (family, dealt)
    )
    assert (before["city"], before["capital"]) == (after["city"], after["capital"])
    assert sorted(before["state"]) == sorted(after["state"])
    assert sum(a != b for a, b in zip(before["state"], after["state"], strict=True)) > len(family.rows) / 2


def test_a_model_whose_answer_no_block_makes_yields_no_claim_under_a_planner_that_believes(tmp_path):
    question = NULLS["direct"](3, tmp_path)
    assert question is not None
    found = investigate(question, Believer(Belief()))
    assert found.said
    assert not any(one.supported for one in found.said)
    assert all(one.false for one in found.said)


def test_a_planted_circuit_is_found_by_its_strongest_parts_and_nothing_else_is_claimed():
    question = next(planted(0, 0, 1, 0))
    found = find(question)
    assert found.wanted
    assert found.is_found
    assert not found.trial.false_claims
    assert found.named <= found.nodes


def test_a_guard_that_is_passed_over_lets_through_what_it_alone_had_stopped():
    for guard, gate in (("behaviour", "behaviour"), ("twin", "twin"), ("random_draws", "random_draws")):
        stopped = judged(supported=False, **{gate: "fail"})
        assert not stands(stopped)
        assert stands(stopped, (guard,))
        assert not stands(stopped, ("correction",))
    assert stands(judged(supported=False, p=0.04, permutation="fail"), ("correction",))
    assert not stands(judged(supported=False, p=0.06, permutation="fail"), ("correction",))
    assert stands(judged(supported=False, low=0.01, bound="fail"), ("smallest_effect",))
    assert not stands(judged(supported=False, low=-0.01, bound="fail"), ("smallest_effect",))
    nothing_held = judged(
        supported=False, low=-1.0, p=1.0, **dict.fromkeys(set(GATES) - {"no_op", "sealed_arms"}, "fail")
    )
    assert stands(nothing_held, LADDER)


def test_a_verdict_that_its_gates_do_not_bear_out_stops_the_benchmark():
    refuse_other_reading([Said(about("head.0.0"), judged(), "")])
    with pytest.raises(AssertionError, match="read as False"):
        refuse_other_reading([Said(about("head.0.0"), judged(twin="fail"), "")])


def test_one_false_claim_counts_and_a_true_or_an_unsupported_one_does_not():
    false, true = Said(about("head.0.0"), judged(tier="replicated"), "idle"), Said(about("head.0.1"), judged(), "")
    open_one = Said(about("head.0.0"), judged(supported=False, twin="fail"), "idle")
    nulls = [trial(false, true), trial(true), trial(open_one), trial()]
    both = Judged(False, trial(open_one), trial(false))
    found = Found(trial(true), ("head at last",), (), frozenset({"head.0.1"}), frozenset({"head.0.1", "head.1.1"}))
    repairing = replace(found, trial=trial(true, name="self_repair-0"))
    part = Component("scaled", ("head.0.0", "last"), 0.07, True, True)
    measured = Measured(
        nulls=nulls, found=[found, repairing], components=[part], judged=[both, replace(both, planted=True)]
    )
    shown = figures(measured)
    assert (shown["null_false_share"].value, shown["null_false_share"].n) == (0.25, 4)
    assert shown["null_false_replicated"].value == 0.25
    assert shown["null_judged"].value == 0.75
    assert shown["null_judged_false_share"].value == pytest.approx(1 / 3)
    assert (shown["power"].value, shown["power_large"].value, shown["power_small"].value) == (0.5, 1.0, 1.0)
    assert (shown["power_selfrepair"].value, shown["power_selfrepair_by_single_places"].value) == (0.0, 1.0)
    assert shown["recall"].value == 0.5
    assert shown["guarded.null_false_share"].value == 0.0
    assert shown["without_twin.null_false_share"].value == 1.0
    assert shown["without_held_out.null_false_share"].value == 1.0
    assert any_false(both, ("twin",))
    assert "| null_false_share | 0.25 |" in table(measured)
    assert "head.0.0 at last, replicated, effect 0.500: idle." in table(measured)


def test_none_of_fifty_nine_shows_five_per_cent_and_none_of_fifty_eight_does_not():
    assert upper_metric(0, 59, 0.05).met is True
    assert upper_metric(0, 58, 0.05).met is False


def test_the_full_form_asks_as_many_as_the_targets_need():
    nulls = sum(n for kind, n in FULL.nulls.items() if kind != "own_answers")
    assert nulls >= 300
    assert upper_metric(0, sum(QUICK.nulls.values()) - QUICK.nulls["own_answers"], 0.05).value < 0.06
    assert FULL.named * 13 + FULL.generated + 2 * FULL.repairing + FULL.facts >= 88


SMALLEST = Form(
    nulls={"reinitialised": 1, "shuffled_labels": 1, "direct_why": 1},
    believed={},
    traps={"idle_places": 1},
    named=0,
    generated=1,
    repairing=0,
    facts=0,
    uneven=1,
    guarded=0,
    hostile=1,
    trained=False,
)


@pytest.mark.slow
def test_a_form_of_one_question_of_each_kind_comes_to_every_figure_it_asked_for():
    shown = figures(measure_all(0, silent, SMALLEST))
    assert (shown["null_false_share"].value, shown["null_false_share"].n) == (0.0, 4)
    assert shown["null.protocol.reinitialised"].n == 1
    assert shown["null_judged"].value == 0.25
    assert shown["idle_component_claimed"].value == 0.0
    assert shown["guarded.null_false_share"].value == 0.0
    assert not {"power_selfrepair", "guarded.power"} & set(shown)


def test_a_question_asked_twice_comes_to_the_same_verdicts(tmp_path):
    one, other = (investigate(question, Believer(belief)) for question, belief in [dormant(1, tmp_path)] * 2)
    assert one.said == other.said
    assert one.said
    assert all(said.false for said in one.said)  # it follows the answer and never moves it


@pytest.mark.slow
def test_the_quick_form_keeps_the_rates_that_are_promised():
    shown = measure(0, silent)
    for name in ("null_false_upper95", "null_false_replicated", "power_large", "power_small"):
        assert shown[name].met is not False, name
    assert shown["guarded.null_false_share"].value == 0.0
    assert shown["ladder.0_whatever_moved.null_false_share"].value > 0.5
