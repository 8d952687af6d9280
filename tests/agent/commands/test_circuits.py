"""`vesalius circuit export`: a run's circuit goes out as MIB writes circuits; what is none is said with the mend."""

import json

import pytest
from finished_runs import a_run
from typer.testing import CliRunner
from vesalius.agent.circuit_cli import circuit_app
from vesalius.agent.commands.circuits import export_command, links_of
from vesalius.agent.commands.kept import find_measurement
from vesalius.agent.runs import UnknownRun, UnreadableFile
from vesalius.tools import CircuitGraph, Measurement, Subject, ToolError, digest, get_tool, read_mib_circuit

PAIRS = [
    {"base": f"the capital of {a} is", "corrupted": f"the capital of {b} is", "answer": c, "foil": d}
    for a, b, c, d in (
        ("Texas", "Ohio", "Austin", "Columbus"),
        ("Ohio", "Georgia", "Columbus", "Atlanta"),
        ("Georgia", "Texas", "Atlanta", "Austin"),
    )
]


def searched(atlas: Subject, **more) -> Measurement:
    tool = get_tool("circuit_search")
    args = {"families": [{"name": "state", "pairs": PAIRS}], "slots": False, "check": 4, "most_steps": 5}
    return tool.measure(atlas, tool.parse(args | {"backups": False, "resamples": 0, "random_draws": 2} | more))


@pytest.fixture(scope="module")
def found(atlas) -> Measurement:
    """A search of which only two links are listed."""
    return searched(atlas, top=2)


def test_a_runs_circuit_goes_out_and_comes_back_whole(settings, found, atlas, tmp_path, capsys):
    a_run(tmp_path, found)
    export_command(settings, "last", tmp_path / "c.json", as_json=True)
    said = json.loads(capsys.readouterr().out)
    graph = CircuitGraph(atlas.shape)
    read = read_mib_circuit(graph, (tmp_path / "c.json").read_text())
    assert list(read.scores.values()) == found.result["scores"]
    assert {link for link, score in read.scores.items() if abs(score) >= found.args["threshold"]} == read.circuit
    assert said["links"] == len(read.circuit) == found.result["n_circuit"] > len(found.result["links"])
    assert (said["measurement"], said["links_of_model"]) == (found.id, len(graph.links))


@pytest.mark.parametrize("method", ["eap", "greedy"])
def test_by_every_method_the_circuit_is_what_the_search_says_it_is(atlas, method):
    one = searched(atlas, method=method, top=400)
    listed = {(link["source"], link["slot"]) for link in one.result["links"] if link["in_circuit"]}
    _, circuit = links_of(one, CircuitGraph(atlas.shape).links)
    assert circuit == listed


def test_it_is_found_by_run_by_measurement_and_in_a_file(found, tmp_path):
    folder = a_run(tmp_path, found, found.model_copy(update={"id": "m-aaaa", "tool": "other"}))
    (tmp_path / "m.json").write_text(found.model_dump_json())
    for of in (folder.name, str(folder.path), "last", found.id, str(tmp_path / "m.json")):
        assert find_measurement(tmp_path, of, "circuit_search", "") == found


def test_a_twins_search_is_no_second_circuit_of_the_run(found, tmp_path):
    twin = found.subject.model_copy(update={"reinit_seed": 1})
    folder = a_run(tmp_path, found, found.model_copy(update={"id": "m-bbbb", "subject": twin}))
    assert find_measurement(tmp_path, folder.name, "circuit_search", "") == found


def test_what_is_no_search_is_refused_with_the_mend(settings, found, tmp_path):
    out = tmp_path / "c.json"
    other = found.model_copy(update={"id": "m-cccc", "tool": "patch"})
    a_run(tmp_path, other)
    with pytest.raises(ToolError, match=r"holds no finished measurement of circuit_search.*--pairs"):
        export_command(settings, "last", out, False)
    with pytest.raises(ToolError, match="is a measurement of patch"):
        export_command(settings, "m-cccc", out, False)
    with pytest.raises(ToolError, match="Give a run, `last`"):
        export_command(settings, "m-dddd", out, False)
    with pytest.raises(UnknownRun, match="no run 'nowhere'"):
        export_command(settings, "nowhere", out, False)
    a_run(tmp_path, found, found.model_copy(update={"id": "m-eeee"}), second=1)
    with pytest.raises(ToolError, match=r"Give one of them: .*m-eeee"):
        export_command(settings, "last", out, False)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "is no JSON"),
        ("[1]", "holds no measurement"),
        ('{"tool": "circuit_search"}', "holds no measurement"),
    ],
)
def test_a_file_that_holds_no_measurement_is_refused(settings, tmp_path, text, words):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(UnreadableFile, match=words):
        export_command(settings, str(tmp_path / "m.json"), tmp_path / "c.json", False)


def test_a_measurement_that_was_changed_or_is_of_other_weights_is_not_exported(settings, found, tmp_path):
    changed = found.model_copy(update={"result": found.result | {"n_circuit": 1}})
    (tmp_path / "changed.json").write_text(changed.model_dump_json())
    with pytest.raises(UnreadableFile, match="changed after it was written"):
        export_command(settings, str(tmp_path / "changed.json"), tmp_path / "c.json", False)
    other = found.model_copy(update={"subject": found.subject.model_copy(update={"fingerprint": "0" * 64})})
    (tmp_path / "other.json").write_text(other.model_dump_json())
    with pytest.raises(ToolError, match="Get the weights that were measured"):
        export_command(settings, str(tmp_path / "other.json"), tmp_path / "c.json", False)
    result = found.result | {"scores": [0.0]}
    few = found.model_copy(update={"result": result, "digest": digest(result)})
    (tmp_path / "few.json").write_text(few.model_dump_json())
    with pytest.raises(UnreadableFile, match="Search for the circuit again"):
        export_command(settings, str(tmp_path / "few.json"), tmp_path / "c.json", False)
    assert not (tmp_path / "c.json").exists()


def test_the_command_writes_the_file_and_says_where(found, tmp_path):
    a_run(tmp_path, found)
    given = ["export", "last", "--out", str(tmp_path), "--home", str(tmp_path), "--device", "cpu"]
    ran = CliRunner().invoke(circuit_app, given)
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / f"circuit-{found.id}.json").is_file()
    assert f"{found.result['n_circuit']} of 343 links are in the circuit" in ran.output
    failed = CliRunner().invoke(circuit_app, ["export", "nowhere", "--home", str(tmp_path), "--json"])
    assert failed.exit_code == 2
    assert "no run 'nowhere'" in json.loads(failed.stdout)["error"]
