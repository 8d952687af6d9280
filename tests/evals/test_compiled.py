"""Compiled organisms: they do what their programs say, their links are all and only what matters, and they repeat."""

import json
import random
from dataclasses import replace
from functools import cache

import pytest
import torch
from organism_bits import same_bits
from vesalius.evals.organisms import _compile, _compile_named, _compile_rasp, compiled
from vesalius.evals.organisms._compile_check import CutRun, Judge, all_links
from vesalius.evals.organisms._compile_files import annotation, mib_circuit, write_organism
from vesalius.evals.organisms._compile_generated import MODES, Draft, generated_one
from vesalius.tools import CircuitGraph, load_subject, one_thread

EXACT = 1e-4


@pytest.fixture(scope="module", autouse=True)
def a_single_thread():
    with one_thread():
        yield


@cache
def circuit(name):
    return compiled.compiled_circuit(name, 0)


def few_pairs(organism, n=3):
    """A judge over a few pairs of every family."""
    return Judge(organism.subject, {name: pairs[:n] for name, pairs in organism.families.items()})


def links_of(organism):
    shape = organism.subject.shape
    return tuple(all_links(shape.n_layers, shape.n_heads))


@pytest.mark.parametrize("name", compiled.CIRCUITS)
def test_a_named_circuit_answers_every_fresh_prompt_by_its_true_links_alone(name):
    organism = circuit(name).organism
    figures = organism.verified
    assert figures["accuracy"] == 1.0
    assert figures["fresh_prompts"] >= 20
    assert figures["faithfulness"] == pytest.approx(1, abs=EXACT)
    assert figures["complement"] == pytest.approx(0, abs=EXACT)
    assert figures["lead_least"] > 5
    assert figures["save_load_difference"] == 0.0
    assert len(organism.families) >= 2
    assert organism.links <= set(links_of(organism))
    if name != "most_frequent":  # its answer is as high as its share
        assert figures["answer_logit_least"] == pytest.approx(12, abs=1e-2)
        assert figures["answer_logit_most"] == pytest.approx(12, abs=1e-2)


def test_the_links_of_induction_are_those_of_the_literature():
    one = circuit("induction")
    before, copy = (one.layout.places[name] for name in ("previous", "copied"))
    assert one.organism.links == {
        ("embed", f"v.{before.layer}.{before.head}"),
        (before.node, f"k.{copy.layer}.{copy.head}"),
        ("embed", f"q.{copy.layer}.{copy.head}"),
        ("embed", f"v.{copy.layer}.{copy.head}"),
        (copy.node, "logits"),
    }
    assert one.organism.nodes == {"embed", before.node, copy.node}


@pytest.mark.parametrize("name", ["induction", "parity"])
def test_every_true_link_moves_the_answer_and_no_other_link_moves_anything(name):
    organism = circuit(name).organism
    judge = few_pairs(organism)
    for link in links_of(organism):
        lost = judge.losses([link]).abs().max().item()
        assert (lost > 1) if link in organism.links else (lost < 1e-3), (link, lost)


def test_a_run_without_cuts_is_the_models_own_and_with_all_links_cut_the_counterfactuals():
    organism = circuit("two_hop").organism
    subject, (pair, *_) = organism.subject, organism.families["key"]
    ids, other = (subject.tokenise([prompt]).ids for prompt in (pair.base, pair.corrupted))
    run = CutRun(subject.model)
    assert torch.allclose(run(ids)[0], subject.model(ids).logits[:, -1], atol=1e-4)
    cut, _ = run(ids, links_of(organism), run(other)[1])
    assert torch.allclose(cut, subject.model(other).logits[:, -1], atol=1e-4)


def test_the_links_are_those_of_the_instruments_graph():
    organism = circuit("two_hop").organism
    assert set(links_of(organism)) == set(CircuitGraph(organism.subject.shape).links)


def test_self_repair_hides_links_from_single_cuts_and_not_from_joint_ones():
    one = circuit("self_repair")
    organism, primary, backup = one.organism, one.layout.places["primary"], one.layout.places["backup0"]
    judge = Judge(organism.subject, organism.families)

    def largest(*cut):
        return max(map(abs, judge.effects(cut).values()))

    hidden = {link for link in organism.links if largest(link) < 0.05}
    mine, its = (f"k.{place.layer}.{place.head}" for place in (primary, backup))
    backups = {("embed", backup.slot(kind)) for kind in "qkv"} | {(backup.node, "logits")}
    assert len(organism.links) == 9
    assert hidden == {("embed", mine), *backups}
    assert judge.effects([("embed", mine), ("embed", its)])["absent"] == pytest.approx(1, abs=EXACT)
    for link in backups - {("embed", backup.slot("q"))}:
        assert judge.effects([("embed", mine), link])["absent"] == pytest.approx(1, abs=EXACT), link
    asked = [("embed", place.slot("q")) for place in (primary, backup)]
    assert judge.effects(asked)["unasked"] == pytest.approx(1, abs=EXACT)
    assert judge.effects(asked[:1])["unasked"] == pytest.approx(0, abs=EXACT)


def test_leaks_move_the_answer_a_little_and_leave_it_right():
    organism = compiled.named("induction", 0, leak=0.02)
    judge = few_pairs(organism, 8)
    # A head that the program does not use, read by the logits.
    idle = [("head.0.0", "logits"), ("head.0.1", "logits"), ("head.0.2", "logits"), ("head.0.3", "logits")]
    effects = [abs(e) for link in idle if link not in organism.links for e in judge.effects([link]).values()]
    assert 1e-4 < max(effects) < 0.05
    assert organism.verified["accuracy"] == 1.0
    assert organism.verified["leak"] == 0.02


def test_a_leak_that_drowns_the_answer_is_refused():
    with pytest.raises(ValueError, match="Lower the leak"):
        compiled.named("induction", 0, leak=2.0)


def test_a_program_that_does_not_do_its_task_is_refused():
    drawn = _compile_named.copy_at_offset(random.Random(0))
    changes = {"all words": drawn.task.changes["all words"]}
    wrong = replace(drawn, task=replace(drawn.task, answer=lambda prompt: prompt[0], changes=changes))
    with pytest.raises(ValueError, match="correct the program"):
        _compile.compiled(wrong, 0)


def test_a_change_that_never_changes_the_answer_is_refused():
    drawn = _compile_named.first_token(random.Random(0))
    idle = replace(drawn, task=replace(drawn.task, changes={"nothing": lambda r, prompt: prompt}))
    with pytest.raises(ValueError, match="Change what is asked for"):
        _compile.compiled(idle, 0)


def test_a_prompt_of_another_length_is_refused():
    drawn = _compile_named.first_token(random.Random(0))
    short = replace(drawn, task=replace(drawn.task, draw=lambda r: list(drawn.program.words[:2])))
    with pytest.raises(ValueError, match="Draw prompts of that length"):
        _compile.compiled(short, 0)


def test_an_unknown_circuit_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no circuit 'sort'.*induction"):
        compiled.named("sort", 0)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_model():
    again = compiled.COMPILED["induction"](0)
    assert same_bits(circuit("induction").organism, again)
    assert not same_bits(compiled.COMPILED["induction"](1), again)


@pytest.mark.parametrize(
    ("prompt", "verdict"),
    [
        ("open close open open close close", "balanced"),
        ("open open close close close open", "broken"),  # as many, but closed before opened
        ("open open open close close open", "broken"),
        ("close open open close open close", "broken"),
    ],
)
def test_brackets_are_judged_by_hand_worked_cases(prompt, verdict):
    found = next(c for s in range(9) if (c := _compile_rasp.brackets(random.Random(s))).program.length == 7)
    assert found.task.answer(prompt.split()) == verdict


def test_a_generated_answer_is_worked_out_hop_by_hop():
    swap = {MODES[0]: ("c", "d"), MODES[1]: ("d", "c")}
    draft = Draft(("a", "b"), ("c", "d"), ("context", "mode"), (swap, swap), shared_look_back=True, n_decoys=0)
    # a gives d, whose key is b; plainly b gives d, oddly it gives c.
    assert draft.answer(["a", "d", "b", "c", MODES[0], "a"]) == "d"
    assert draft.answer(["a", "d", "b", "c", MODES[1], "a"]) == "c"
    assert draft.answer(["a", "d", "b", "c", MODES[1], "b"]) == "d"


def test_generated_circuits_differ_repeat_and_do_not_depend_on_their_number():
    first, second = compiled.generated(3, 2)
    (again,) = compiled.generated(3, 1)
    assert same_bits(first, again)
    assert not same_bits(first, second)
    assert (first.name, second.name) == ("generated-3-0", "generated-3-1")
    assert {first.kind, second.kind} == {"compiled"}


@pytest.mark.parametrize("index", range(3))
def test_links_of_generated_circuits_are_all_and_only_what_matters(index):
    organism = generated_one(7, index).organism
    judge = few_pairs(organism, 5)
    effects = {link: max(map(abs, judge.effects([link]).values())) for link in _sample(organism, index)}
    assert organism.verified["accuracy"] == 1.0
    assert min(effects[link] for link in organism.links) > 0.2
    assert max(effect for link, effect in effects.items() if link not in organism.links) < 0.05


def _sample(organism, seed, n=40):
    """All true links, and some of the others."""
    others = [link for link in links_of(organism) if link not in organism.links]
    return [*organism.links, *random.Random(seed).sample(others, n)]


def test_no_circuit_can_be_generated_fewer_than_once():
    with pytest.raises(ValueError, match="at least one"):
        compiled.generated(0, 0)


def test_a_circuit_in_mibs_form_reads_back_as_the_true_links():
    organism = circuit("two_hop_in_context").organism
    content, graph = mib_circuit(organism), CircuitGraph(organism.subject.shape)
    inside = {graph.link(name) for name, edge in content["edges"].items() if edge["in_graph"]}
    assert inside == organism.links
    assert len(content["edges"]) == len(links_of(organism))
    assert content["nodes"]["input"] == {"in_graph": True}
    assert content["nodes"]["logits"] == {"in_graph": True}
    assert sum(node["in_graph"] for node in content["nodes"].values()) == len(organism.nodes) + 1


def test_an_annotation_has_a_role_for_every_component_of_the_circuit_and_for_no_other():
    one = circuit("two_hop")
    content = annotation(one)
    group, asked = one.layout.places["group"], one.layout.places["asked"]
    by_label = {label: found for found in content["components"] for label in found["labels"]}
    assert set(by_label) == {"group", "asked", "name"}
    assert by_label["group"]["id"] == f"L{group.layer}_MLP"
    assert by_label["asked"]["hook"] == f"blocks.{asked.layer}.attn.hook_result[{asked.head}]"
    assert by_label["asked"]["role"]["tag"] == "MOVER"
    assert content["task"]["examples"][0]["output"] == one.organism.families["value"][0].answer


def test_a_written_organism_loads_as_the_same_model_with_its_card(tmp_path):
    one = circuit("count")
    written = write_organism(one.organism, tmp_path / "count", one)
    assert written["verified"]["save_load_difference"] == 0.0
    loaded = load_subject(str(tmp_path / "count"), device="cpu")
    assert loaded.key.fingerprint == one.organism.subject.key.fingerprint
    card = json.loads((tmp_path / "count" / "card.json").read_text())
    assert card == written
    assert set(card["links"]) == {f"{node}->{slot}" for node, slot in one.organism.links}
    assert {p.name for p in (tmp_path / "count").iterdir()} >= {"mib.json", "annotation.json", "truth.safetensors"}


def test_a_folder_that_exists_is_refused_and_left_as_it_is(tmp_path):
    with pytest.raises(FileExistsError, match="Pass a folder that does not"):
        write_organism(circuit("count").organism, tmp_path)
    assert compiled.main(["--out", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_every_kind_in_one_move(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compiled, "CIRCUITS", {"count": compiled.CIRCUITS["count"]})
    monkeypatch.setattr(compiled, "N_DORMANT", 1)
    monkeypatch.setattr(compiled, "N_NULLS", 1)
    assert compiled.main(["--seed", "2", "--generated", "1", "--out", str(tmp_path / "all")]) == 0
    names = {"count-2", "generated-2-0", "dormant-2", "reinitialised-2", "shuffled_labels-2"}
    assert {p.name for p in (tmp_path / "all").iterdir()} == names
    assert "5 organisms" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["all"]


def test_a_failure_leaves_no_folder_behind(tmp_path, monkeypatch):
    def wrong(rng):
        drawn = _compile_named.first_token(rng)
        return replace(drawn, task=replace(drawn.task, changes={"nothing": lambda r, prompt: prompt}))

    monkeypatch.setattr(compiled, "CIRCUITS", {"first_token": compiled.CIRCUITS["first_token"], "wrong": wrong})
    assert compiled.main(["--out", str(tmp_path / "all")]) == 1
    assert list(tmp_path.iterdir()) == []
