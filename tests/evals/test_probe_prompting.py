"""Names put to the test on the reference model: a true name holds, the same features under a false name do not."""

import pytest
from vesalius.agent._evidence import SMALLEST_EFFECT
from vesalius.agent.planners._supernode_prompts import Setting, prompts_of_others
from vesalius.agent.planners._supernodes import Named
from vesalius.evals.benchmarks._supernode_groups import as_nodes, clusters, named, random_groups, signatures
from vesalius.evals.benchmarks._supernode_trials import Bench, try_names
from vesalius.tools import Subject, dictionary_of, held_out_comparison

PROMPT, TARGET = "the state containing Anniston is", "Alabama"
SAID = f"Say ({TARGET})"


@pytest.fixture(scope="module")
def bench(atlas) -> Bench:
    return Bench(atlas)


def around(subject: Subject) -> Setting:
    """The task data around the prompt."""
    asked = next(family for family in subject.tasks if family.match(PROMPT))
    return Setting(subject.tasks, asked, PROMPT, 0)


@pytest.fixture(scope="module")
def probed(bench):
    """The prompt and eight of other states, named."""
    prompts = [(PROMPT, TARGET), *prompts_of_others(around(bench.subject), 8)]
    return [bench.measure("probe_prompts", {"prompt": prompt, "target": target}) for prompt, target in prompts]


@pytest.fixture(scope="module")
def trials(bench, probed):
    """The groups of the prompt, and those of its state under the names of others."""
    setting = around(bench.subject)
    own, *others = [named(one) for one in probed]
    counterparts = {name: features for one in others for name, features in one.items()} | {TARGET: own[TARGET]}
    states = sorted(
        name for name in counterparts if name != TARGET and any(r.slots["state"] == name for r in setting.asked.rows)
    )
    wrong = [Named(states[0], own[TARGET]), Named("Say (Georgia)", own[SAID])]
    found = try_names(bench, setting, [*as_nodes(own), *wrong], counterparts, "transcoders", 0)
    return {(trial.node.name, trial.node.features): trial for trial in found}, own, wrong


@pytest.mark.slow
def test_the_state_and_what_is_said_hold(trials):
    found, own, _ = trials
    for name in (TARGET, SAID):
        trial = found[name, own[name]]
        assert trial.holds, (name, trial.reasons)
    assert found[TARGET, own[TARGET]].effects["swap"] > SMALLEST_EFFECT


@pytest.mark.slow
def test_the_same_features_under_another_name_do_not_hold(trials):
    found, _, wrong = trials
    for node in wrong:
        trial = found[node.name, node.features]
        assert trial.tests
        assert not trial.holds, (node.name, trial.reasons)


@pytest.mark.slow
def test_a_name_that_cannot_be_tested_neither_holds_nor_is_sealed(trials):
    found, *_ = trials
    untested = [trial for trial in found.values() if not trial.tests]
    assert untested
    assert not any(trial.holds or trial.sealed for trial in untested)


@pytest.mark.slow
def test_random_groups_have_the_layers_of_the_group_and_none_of_its_features(atlas, probed):
    groups = named(probed[0])
    drawn = random_groups(atlas, dictionary_of(atlas), PROMPT, groups, 0)
    assert drawn != random_groups(atlas, dictionary_of(atlas), PROMPT, groups, 1)
    assert set(drawn) == set(groups)
    for name, features in drawn.items():
        layers = [sorted(feature.split("/")[0] for feature in each) for each in (features, groups[name])]
        assert layers[0] == layers[1]
        assert not set(features) & set(groups[name])


@pytest.mark.slow
def test_clusters_share_out_the_named_features_and_bear_their_names(probed):
    groups, found = named(probed[0]), clusters(probed[0])
    assert sorted(f for mine in found.values() for f in mine) == sorted(f for mine in groups.values() for f in mine)
    assert set(found) <= set(groups)
    assert len(found) <= len(groups)


@pytest.mark.slow
def test_held_out_signatures_read_no_naming_probe(probed):
    naming, held = (signatures(probed[0], held_out) for held_out in (False, True))
    flags = [bool(probe["held_out"]) for probe in probed[0].result["probes"]]
    for one, other in zip(naming, held, strict=True):
        assert not one.vector[flags].any()
        assert not other.vector[[not flag for flag in flags]].any()
    assert held_out_comparison(naming, held, draws=0).n_units > 2
