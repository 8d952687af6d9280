"""The organism whose features have names by construction: they fire as their names say, and naming finds the names."""

import json

import pytest
from vesalius.agent.planners._supernode_prompts import Setting, prompts_of_others
from vesalius.agent.planners._supernodes import Named
from vesalius.evals.benchmarks._supernode_groups import named
from vesalius.evals.benchmarks._supernode_trials import Bench, try_names
from vesalius.evals.benchmarks._supernode_worlds import COMPILED, SIX_FEATURES, cases, compiled_world
from vesalius.evals.organisms.compiled import compiled_circuit
from vesalius.tools import dictionary_of
from vesalius.tools._probe_signatures import read_features

SEED = 1


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return compiled_world(SEED, tmp_path_factory.mktemp("organisms") / "facts")


@pytest.fixture(scope="module")
def asked(world):
    """A capital is asked of a city that may be explored."""
    return next(case for case in cases(world, SEED) if case.setting.asked.name == "capital")


def test_every_prompt_of_the_task_data_gets_its_answer(world):
    subject = world.subject
    assert {family.name for family in subject.tasks} == set(COMPILED)
    for family in subject.tasks:
        for template in family.templates:
            prompts = [template.fill(row.slots) for row in family.rows]
            answers = [row.slots[family.answer] for row in family.rows]
            said = subject.last_logits(subject.tokenise(prompts)).argmax(-1)
            assert subject.tokenizer.convert_ids_to_tokens(said.tolist()) == answers


def test_features_fire_where_their_names_say_and_nowhere_else(world, asked):
    subject = world.subject
    row = asked.setting.asked.match(asked.setting.prompt)[1].slots
    due = {row["city"]: row["city"], row["state"]: row["city"], f"Say ({row['capital']})": "is"}
    ids = [tuple(map(int, id_.split("/"))) for id_ in world.true_names]
    (read,) = read_features(subject, dictionary_of(subject, "neurons"), ids, [asked.setting.prompt])
    for column, name in enumerate(world.true_names.values()):
        fires = [
            token.strip() for token, act in zip(read.tokens, read.acts[:, column].tolist(), strict=True) if act > 1e-4
        ]
        assert fires == ([due[name]] if name in due else []), name


def test_the_same_seed_makes_the_same_organism_and_another_one_another(world, tmp_path):
    again = compiled_world(SEED, tmp_path / "again")
    other = compiled_circuit("facts", SEED + 1)
    assert again.subject.key.fingerprint == world.subject.key.fingerprint
    assert again.true_names == world.true_names
    assert other.organism.subject.key.fingerprint != again.subject.key.fingerprint
    assert other.circuit.asked != again.subject.tasks


def test_the_card_names_the_neurons(world):
    card = json.loads((world.subject.folder / "card.json").read_text())
    assert card["features"] == world.true_names
    assert set(card["decoys"]) == {"echo"}


def test_naming_finds_the_names_and_what_nobody_reads_does_not_hold(world, asked):
    bench, setting = Bench(world.subject), Setting(world.subject.tasks, asked.setting.asked, asked.setting.prompt, SEED)
    own, *others = [
        named(
            bench.measure(
                "probe_prompts",
                {"prompt": prompt, "target": target, "dictionary": "neurons", "seed": SEED, **SIX_FEATURES},
            )
        )
        for prompt, target in [asked.prompt, *prompts_of_others(setting, 8)]
    ]
    row = setting.asked.match(setting.prompt)[1].slots
    by_name = {name: id_ for id_, name in world.true_names.items()}
    state, said = row["state"], f"Say ({row['capital']})"
    alike = [id_ for id_, name in world.true_names.items() if name == state]  # one is read, the other is its echo
    assert len(alike) == 2
    assert set(own[state]) < set(alike)
    assert own[said] == (by_name[said],)
    put_in = {name: features for one in others for name, features in one.items()}
    echo = tuple(set(alike) - set(own[state]))
    nodes = [Named(state, own[state]), Named(said, own[said]), Named(state, echo)]
    found = {trial.node.features: trial.holds for trial in try_names(bench, setting, nodes, put_in, "neurons", SEED)}
    assert found == {own[state]: True, own[said]: True, echo: False}
