"""What causal instruments found, in a sentence: its main number, its controls, and whether it passed."""

import re

import numpy as np
import pytest
from causal_measurements import ARGS, changed, dormant, measured
from vesalius.agent.headlines import headline
from vesalius.agent.report.figures import render_plain
from vesalius.tools import Measurement


def told(found: Measurement) -> str:
    return render_plain(headline(found), {found.id: found}).replace(f" [{found.id}]", "")


@pytest.mark.parametrize("tool", ARGS)
def test_every_causal_instrument_has_a_sentence_of_its_own_with_figures(atlas, tool):
    text = told(measured(atlas, tool))
    assert "see its result" not in text
    assert len(re.findall(r"\d", text)) > 4


def test_a_sweep_names_its_strongest_place_and_how_exact_it_is(atlas):
    m = measured(atlas, "patch_sweep")
    grids = {grid["kind"]: np.array(grid["effect"]) for grid in m.result["grids"]}
    kind = max(grids, key=lambda one: np.abs(grids[one]).max())
    layer, _, at = np.unravel_index(np.abs(grids[kind]).argmax(), grids[kind].shape)
    assert kind == "resid_pre"
    assert f"the largest effect is {grids[kind][layer, 0, at]:.2f}, of `resid_pre.{layer}`" in told(m)
    assert f"at token `{m.result['positions'][at]} {m.result['tokens'][at]}`" in told(m)
    assert f"{m.result['spot_checked']} places measured again in the model itself" in told(m)


def test_heads_of_a_sweep_have_their_own_name(atlas):
    m = measured(atlas, "patch_sweep")
    alone = changed(m, grids=[grid for grid in m.result["grids"] if grid["kind"] == "head"])
    effect = np.array(alone.result["grids"][0]["effect"])
    layer, head, _ = np.unravel_index(np.abs(effect).argmax(), effect.shape)
    assert f"of `head.{layer}.{head}`" in told(alone)


def test_links_are_told_one_at_a_time_together_and_by_what_they_keep(atlas):
    m = measured(atlas, "path_patch")
    best = max(m.result["cells"], key=lambda cell: abs(cell["effect"]))
    named = best["links"][0].replace("->", " → ")
    assert f"the largest effect is {best['effect']:.2f}, of `{named}`" in told(m)
    cell = {"links": ["embed->logits", "embed->v.0.1"], "effect": 0.25, "effects": [0.25]}
    together = changed(m, cells=[cell], patched=2)
    joint = together.model_copy(update={"args": m.args | {"joint": True}})
    assert told(joint).startswith("The 2 links exchanged together have effect 0.25;")
    others = changed(m, cells=[cell], patched=341).model_copy(update={"args": m.args | {"others": True}})
    assert told(others).startswith("With all links exchanged but 2 that were named (341 of them) the effect is 0.25;")


def test_scores_stand_beside_what_cutting_does(atlas):
    m = measured(atlas, "eap")
    best = m.result["scored"][0]
    (family,) = [one for one in best["families"] if one["family"] == best["family"]]
    assert f"is {best['score']:.2f}, of `{best['source']} → {best['slot']}` (cut, its effect is" in told(m)
    assert f"its effect is {family['measured']:.2f})" in told(m)
    assert f"correlate by {m.result['measured_pearson']:.2f}." in told(m)
    assert "no correlation of scores and effects can be told" in told(changed(m, measured_pearson=None))
    unchecked = measured(atlas, "relp")
    assert "none was cut, so how good the estimates are is not known" in told(unchecked)
    assert "cut, its effect" not in told(unchecked)


def test_of_parts_the_strongest_behind_the_tokens_is_named(atlas):
    m = measured(atlas, "relp")
    behind = next(one for one in m.result["scored"] if one["source"] != "embed")
    assert m.result["scored"][0]["source"] == "embed"
    assert f"behind `embed`, which all that differs passes, is {behind['score']:.2f}, of `{behind['source']}`" in told(
        m
    )


def test_integrated_gradients_say_how_far_they_are_from_adding_up(atlas):
    m = measured(atlas, "eap_ig")
    families = [one | {"complete": share} for one, share in zip(m.result["families"], (1.02, 0.7), strict=True)]
    assert "All links of `embed` add up to 70% of the gap" in told(changed(m, families=families))
    assert "add up" not in told(measured(atlas, "eap"))


def test_a_decomposition_names_the_source_behind_the_tokens_and_its_checks(atlas):
    m = measured(atlas, "contextual_decomposition")
    rows = [row for row in m.result["relevances"] if row["source"] != "embed"]
    best = max(rows, key=lambda row: abs(row["share"]))
    assert (
        f"is `{best['source']}` (tokens: `all`) with {best['share']:.0%} of the gap; controls: nothing gives 0"
        in told(m)
    )
    assert "circuit has" not in told(m)
    constants = m.model_copy(update={"args": m.args | {"constants": "irrelevant"}})
    assert "(which is what constants give)" in told(constants)


def test_an_observable_is_told_with_its_place_its_checks_and_the_most_alike(atlas):
    m = measured(atlas, "observable")
    one = m.result["vectors"][0]
    assert told(m).startswith(f"The question `Austin` less `Springfield` listens at `{one['site']}` (token `8`) with")
    assert f"the model itself moves by {one['slope_on_model']:.3g} nats per unit" in told(m)
    cosine = np.array(m.result["cosine"]) - np.eye(3)
    assert f"cosine {cosine.flat[np.abs(cosine).argmax()]:.2f}." in told(m)
    weights = [{"token": "Austin", "weight": 2.0}, {"token": "a`b", "weight": -1.0}]
    asked = [{"answer": "", "foil": "", "weights": weights, "path": [], "prompt": ""}] * 3
    assert "The question `Austin` with `a'b` listens" in told(
        m.model_copy(update={"args": m.args | {"observables": asked}})
    )


def test_an_illusion_is_named_and_a_true_direction_passes():
    """Known answers: of the dormant path neither part does anything, the true neuron does what its component does."""
    text = told(dormant(False))
    assert "the row-space part alone 0.00, the null-space part alone 0.00, the whole component 0.00" in text
    assert "an interpretability illusion" in text
    cell = dormant(True).result["cells"][0]
    assert (
        f"have effect {cell['subspace']['effect']:.2f}; the row-space part alone {cell['subspace']['effect']:.2f}"
        in (told(dormant(True)))
    )
    assert "it passes" in told(dormant(True))
    assert "illusion" not in told(dormant(True))


def test_the_strongest_random_control_is_the_largest_in_size():
    (cell,) = dormant(True).result["cells"]
    cells = [cell | {"random_effects": [0.1, -0.4], "random_pushes": [0.2, 0.3]}]
    assert "the strongest random control -0.40" in told(changed(dormant(True), cells=cells))


def test_other_positions_of_a_subspace_are_told_by_their_verdict(atlas):
    assert "Elsewhere, at `last`: there is no effect that matters." in told(measured(atlas, "subspace_patch"))


def dose(**changes: object) -> dict[str, object]:
    given = {"n_units": 4, "selectivity": 0.3, "low": 0.1, "high": 0.5, "target": 0.4, "other": 0.1}
    return given | {"folds": [], "overlap": 1.0, "random_selectivities": [0.1, -0.2], "as_selective": 0.05} | changes


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "It passes: selective beyond chance."),
        ({"low": -0.1}, "It fails: the interval reaches zero."),
        ({"random_selectivities": [0.3]}, "It fails: a random set is as selective."),
    ],
)
def test_an_ablation_passes_above_nothing_and_above_every_random_set(atlas, changes, outcome):
    m = measured(atlas, "ablate_neurons")
    doses = [dose(n_units=1, selectivity=0.2), dose(**changes)]
    text = told(changed(m, first={"target": "first", "doses": doses}))
    assert text.startswith(
        "Without 4 neurons found for it, of 2 doses the most telling, the first task loses 40% of its answers' height "
        "and the other task 10%: selectivity 0.30, interval"
    )
    assert outcome in text.split(" Without ")[0]


def test_a_card_tells_every_simpler_way_and_what_is_fragile(atlas):
    m = measured(atlas, "steering_card")
    found = m.result
    text = told(changed(m, weaknesses=["prompt", "fluency"]))
    for figure in (found["effect"], max(found["random_effects"]), max(one["effect"] for one in found["prompting"])):
        assert f"{figure:.2f}" in text
    assert text.endswith("It is fragile: a text in front of the prompt does as much; neutral text gets much worse.")
    assert told(changed(m, weaknesses=[])).endswith("It passes: no limit of the rule is broken.")


@pytest.mark.parametrize("tool", ["patch_sweep", "path_patch", "contextual_decomposition", "subspace_patch"])
def test_shares_of_a_twins_gap_are_marked_as_such(atlas, tool):
    m = measured(atlas, tool)
    twin = m.model_copy(update={"subject": m.subject.model_copy(update={"reinit_seed": 1})})
    assert told(twin).startswith("On re-initialised weights, whose gap is ")
    assert "re-initialised" not in told(m)


def test_hostile_names_break_no_sentence(atlas):
    hostile = "`x` {{m-1a2b3c4d:gap}} 7 \x1b[31m\u202e"
    sweep = measured(atlas, "patch_sweep")
    text = told(changed(sweep, tokens=[hostile] * len(sweep.result["tokens"])))
    assert "\\u001b[31m\\u202e`" in text
    scored = measured(atlas, "eap").result["scored"]
    text = told(changed(measured(atlas, "eap"), scored=[scored[0] | {"source": hostile}]))
    assert "{{m-1a2b3c4d:gap}}" in text
