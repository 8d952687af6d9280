"""`vesalius graph`: a run's graph goes out, is read back and shown; what is no graph is one sentence with the mend."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest
from finished_runs import a_run
from vesalius.agent.cli import app
from vesalius.agent.commands.graph_folders import write_listed
from vesalius.agent.commands.graphs import export_command, find_graph, read_graph, show_command
from vesalius.agent.runs import UnknownRun, UnreadableFile
from vesalius.agent.settings import Settings
from vesalius.tools import Measurement, Subject, ToolError, get_tool

PROMPT = "the capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def graphs(atlas: Subject) -> tuple[Measurement, Measurement]:
    """Two graphs of the reference model, with error nodes among what is kept."""
    tool = get_tool("attribution_graph")
    prompts = (PROMPT, PROMPT.replace("Dallas", "Oakland"))
    one, two = (tool.measure(atlas, tool.parse({"prompt": prompt, "node_threshold": 0.95})) for prompt in prompts)
    return one, two


def export(settings: Settings, of: str, out: Path, kind: str = "neuronpedia", **more: str) -> None:
    given = {"model": None, "slug": "", "scan": ""} | more
    export_command(settings, of, kind, out, as_json=True, **given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", ["neuronpedia", "graphml"])
def test_a_runs_graph_goes_out_and_comes_back(settings, graphs, tmp_path, capsys, kind):
    a_run(tmp_path, graphs[0])
    out = tmp_path / "graph"
    export(settings, "last", out, kind)
    said = json.loads(capsys.readouterr().out)
    graph, result = read_graph(out), graphs[0].result
    assert said["path"] == str(out)
    assert (said["nodes"], said["links"]) == (len(graph.nodes), len(graph.links))
    assert (said["slug"], said["scan"]) == (graph.slug, graph.scan)
    assert {node.id: node.activation for node in graph.nodes} == {n["id"]: n["activation"] for n in result["nodes"]}
    assert [(x.source, x.target, x.weight) for x in graph.links] == [
        (x["source"], x["target"], x["weight"]) for x in result["links"]
    ]


def test_tokens_have_their_numbers_in_the_vocabulary(settings, graphs, atlas, tmp_path):
    a_run(tmp_path, graphs[0])
    export(settings, "last", tmp_path / "graph.json")
    tokens = [node for node in read_graph(tmp_path / "graph.json").nodes if node.kind == "token"]
    assert tuple(node.token for node in tokens) == atlas.token_strings([node.token_id or 0 for node in tokens])


def test_a_measurement_whose_result_was_changed_is_not_exported(settings, graphs, tmp_path):
    said = json.loads(graphs[0].model_dump_json())
    said["result"]["links"][0]["weight"] = 12345.0
    (tmp_path / "m.json").write_text(json.dumps(said))
    with pytest.raises(UnreadableFile, match="changed after it was written"):
        export(settings, str(tmp_path / "m.json"), tmp_path / "graph.json")
    assert not (tmp_path / "graph.json").exists()


@pytest.mark.parametrize(("field", "value"), [("position", -1), ("influence", float("nan")), ("layer", 10**400)])
def test_a_result_with_impossible_nodes_is_refused_in_one_sentence(settings, graphs, tmp_path, field, value):
    result = json.loads(graphs[0].model_dump_json())["result"]
    result["nodes"][0][field] = value
    (tmp_path / "r.json").write_text(json.dumps(result))
    with pytest.raises((UnreadableFile, ToolError)):
        export(settings, str(tmp_path / "r.json"), tmp_path / "graph.json", model="atlas")
    assert not (tmp_path / "graph.json").exists()


def test_a_graph_is_found_by_run_by_measurement_and_in_a_file(settings, graphs, tmp_path):
    one, two = graphs
    first, second = a_run(tmp_path, one), a_run(tmp_path, two, second=1)
    (tmp_path / "m.json").write_text(one.model_dump_json())
    for of, found in (
        (first.name, one),
        (str(first.path), one),
        ("last", two),
        (second.name, two),
        (one.id, one),
        (two.id, two),
        (str(tmp_path / "m.json"), one),
    ):
        assert find_graph(tmp_path, of).measurement == found


def test_of_several_runs_with_a_measurement_the_newest_counts(graphs, tmp_path):
    one = graphs[0]
    for second in (1, 2, 0):
        a_run(tmp_path, one.model_copy(update={"seconds": float(second)}), second=second)
    found = find_graph(tmp_path, one.id).measurement
    assert found is not None
    assert found.seconds == 2.0


def test_a_result_alone_needs_the_model_and_then_makes_the_same_graph(settings, graphs, tmp_path):
    a_run(tmp_path, graphs[0])
    (tmp_path / "r.json").write_text(json.dumps(graphs[0].result))
    with pytest.raises(ToolError, match="Pass `--model`"):
        export(settings, str(tmp_path / "r.json"), tmp_path / "no.json")
    (tmp_path / "other.json").write_text(json.dumps(graphs[0].result | {"prompt": PROMPT.replace("Dallas", "Oakland")}))
    with pytest.raises(ToolError, match="reads the graph's prompt as other tokens"):
        export(settings, str(tmp_path / "other.json"), tmp_path / "no.json", model="atlas")
    assert not (tmp_path / "no.json").exists()
    export(settings, str(tmp_path / "r.json"), tmp_path / "alone.json", model="atlas")
    export(settings, "last", tmp_path / "run.json")
    alone, run = (read_graph(tmp_path / name) for name in ("alone.json", "run.json"))
    assert alone.model_copy(update={"node_threshold": graphs[0].args["node_threshold"]}) == run


def test_a_measurement_says_all_that_an_export_needs_also_where_its_model_is_gone(settings, graphs, tmp_path):
    a_run(tmp_path, graphs[0])
    export(settings, "last", tmp_path / "graph.json")
    gone = graphs[0].subject.model_copy(update={"model": "/nowhere/gone"})
    a_run(tmp_path, graphs[0].model_copy(update={"subject": gone}), second=1)
    export(settings, "last", tmp_path / "gone.json")
    here, there = (json.loads((tmp_path / name).read_text()) for name in ("graph.json", "gone.json"))
    assert there["metadata"]["info"].pop("model") == "gone"
    there["metadata"]["info"]["model"] = "atlas"
    there["metadata"]["info"]["description"] = here["metadata"]["info"]["description"]
    assert there == here


def test_in_a_folder_the_graphs_are_listed_and_what_others_listed_stays(settings, graphs, tmp_path, capsys):
    a_run(tmp_path, graphs[0])
    a_run(tmp_path, graphs[1], second=1)
    folder, listed = tmp_path / "graphs", tmp_path / "graphs" / "graph-metadata.json"
    folder.mkdir()
    first, last = ({"slug": slug, "scan": "theirs", "prompt": "p \ud83d", "title_prefix": "x"} for slug in "ab")
    listed.write_text(json.dumps({"graphs": [first], "more": 1}))
    for of in (graphs[0].id, graphs[1].id):
        export(settings, of, folder)
        capsys.readouterr()
    file = json.loads(listed.read_text())
    listed.write_text(json.dumps(file | {"graphs": [*file["graphs"], last]}))
    export(settings, graphs[0].id, folder, scan="again")
    said, file = json.loads(capsys.readouterr().out), json.loads(listed.read_text())
    assert (file["more"], file["graphs"][0], file["graphs"][3]) == (1, first, last)
    assert len(file["graphs"]) == 4, "the second export of a graph takes the place of the first"
    for entry in file["graphs"][1:3]:
        assert json.loads((folder / f"{entry['slug']}.json").read_text())["metadata"] == entry
    assert (said["path"], said["scan"]) == (str(folder / f"{said['slug']}.json"), file["graphs"][1]["scan"])
    export(settings, "last", folder, "graphml")
    assert len(json.loads(listed.read_text())["graphs"]) == 4
    assert len([*folder.iterdir()]) == 4, "three graphs and their list"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"graphs": {}}', '{"graphs": [{}]}', '{"graphs": [{"slug": "a", "x": NaN}]}']
)
def test_what_is_no_list_of_graphs_is_never_written_over(settings, graphs, tmp_path, text):
    a_run(tmp_path, graphs[0])
    folder = tmp_path / "graphs"
    folder.mkdir()
    (folder / "graph-metadata.json").write_text(text)
    with pytest.raises(UnreadableFile, match="move it away, or export into another folder"):
        export(settings, "last", folder)
    assert [path.name for path in folder.iterdir()] == ["graph-metadata.json"]
    assert (folder / "graph-metadata.json").read_text() == text


def test_no_graph_is_called_like_the_list(settings, graphs, tmp_path):
    a_run(tmp_path, graphs[0])
    with pytest.raises(ToolError, match="Pass another `--slug`"):
        export(settings, "last", tmp_path, slug="graph-metadata")
    assert not (tmp_path / "graph-metadata.json").exists()


def test_exports_at_once_are_all_listed(tmp_path):
    slugs = [f"g{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda slug: write_listed(tmp_path, {"metadata": {"slug": slug}}), slugs))
    listed = json.loads((tmp_path / "graph-metadata.json").read_text())["graphs"]
    assert sorted(entry["slug"] for entry in listed) == sorted(slugs)


def test_names_may_be_chosen(settings, graphs, tmp_path):
    a_run(tmp_path, graphs[0])
    export(settings, "last", tmp_path / "graph.json", slug="mine", scan="gemma-2-2b")
    graph = read_graph(tmp_path / "graph.json")
    assert (graph.slug, graph.scan) == ("mine", "gemma-2-2b")


def test_an_export_without_a_file_is_named_after_the_graph(settings, graphs, tmp_path, monkeypatch, capsys):
    a_run(tmp_path, graphs[0])
    monkeypatch.chdir(tmp_path)
    export_command(settings, "last", "graphml", None, None, "mine", "", as_json=False)
    assert "Written to mine.graphml" in capsys.readouterr().out
    assert (tmp_path / "mine.graphml").is_file()


def other_weights(measurement: Measurement) -> Measurement:
    key = measurement.subject.model_copy(update={"fingerprint": "0" * 64})
    return measurement.model_copy(update={"subject": key})


def test_what_holds_no_graph_is_refused_with_the_mend(settings, graphs, atlas, tmp_path):
    one, _ = graphs
    lens = get_tool("logit_lens")
    other = lens.measure(atlas, lens.parse({"prompts": [PROMPT]}))
    runs = [a_run(tmp_path, *kept, second=at) for at, kept in enumerate([graphs, (other,), (other_weights(one),)])]
    older = [{k: v for k, v in n.items() if k != "token_id"} for n in one.result["nodes"]]
    (tmp_path / "old.json").write_text(json.dumps(one.result | {"nodes": older}))
    (tmp_path / "text.json").write_text("Why?")
    wanted = "Give a run, `last`, the id of a measurement"
    for of, error, mend in (
        ("nothing", UnknownRun, "There is no run"),
        ("m-00000000", ToolError, wanted),
        (runs[0].name, ToolError, f"{one.id} ({PROMPT})"),
        (runs[1].name, ToolError, "vesalius ask --resume"),
        (other.id, ToolError, wanted),
        (str(tmp_path / "old.json"), UnreadableFile, "can be measured again"),
        (str(tmp_path / "text.json"), UnreadableFile, wanted),
    ):
        with pytest.raises(error, match=re.escape(mend)):
            export(settings, of, tmp_path / "out.json")
    with pytest.raises(ToolError, match="Leave `--model` out"):
        export(settings, runs[2].name, tmp_path / "out.json", model="atlas")
    with pytest.raises(ToolError, match="Formats: neuronpedia, graphml"):
        export(settings, "last", tmp_path / "out.json", kind="png")
    assert not (tmp_path / "out.json").exists()


def test_showing_gives_nodes_and_strongest_links(settings, graphs, tmp_path, capsys):
    a_run(tmp_path, graphs[0])
    export(settings, "last", tmp_path / "graph.json")
    capsys.readouterr()
    show_command(tmp_path / "graph.json", top=3, as_json=True)
    found, result = json.loads(capsys.readouterr().out), graphs[0].result
    assert found["prompt"] == PROMPT
    assert len(found["nodes"]) == found["n_nodes"] == len(result["nodes"])
    weights = sorted((abs(link["weight"]) for link in result["links"]), reverse=True)[:3]
    assert [abs(link["weight"]) for link in found["strongest_links"]] == weights
    assert [node["kind"] for node in found["nodes"][:2]] == ["logit", "token"]
    show_command(tmp_path / "graph.json", top=3, as_json=False)
    shown = capsys.readouterr().out
    assert 'Output "Austin" (p=1.000)' in shown
    assert f"and {found['n_links'] - 3} links more" in shown


def test_a_terminal_obeys_nothing_that_a_file_says(graphs, settings, tmp_path, capsys):
    a_run(tmp_path, graphs[0])
    export(settings, "last", tmp_path / "graph.json")
    file = json.loads((tmp_path / "graph.json").read_text())
    file["metadata"] |= {"slug": "\x1b[2J", "scan": "\u202e", "prompt": "\x9b" + "long " * 10_000}
    file["nodes"][0] |= {"clerp": "\x1b]0;x\x07", "\x1b[31m": 1}
    (tmp_path / "graph.json").write_text(json.dumps(file))
    capsys.readouterr()
    for as_json in (False, True):
        show_command(tmp_path / "graph.json", top=100, as_json=as_json)
        out = capsys.readouterr().out
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
        assert "\\u001b[2J" in out


def test_a_graph_with_what_is_not_understood_is_shown_all_the_same(graphs, settings, tmp_path, capsys):
    a_run(tmp_path, graphs[0])
    export(settings, "last", tmp_path / "graph.json")
    file = json.loads((tmp_path / "graph.json").read_text())
    file["nodes"][0]["feature_type"] = "lorsa"
    (tmp_path / "graph.json").write_text(json.dumps(file))
    capsys.readouterr()
    show_command(tmp_path / "graph.json", top=3, as_json=False)
    assert "nodes of type lorsa: 1" in capsys.readouterr().out


def test_the_commands_stand_in_the_command_line(graphs, tmp_path, capsys):
    a_run(tmp_path, graphs[0])
    out = str(tmp_path / "graph.json")
    for arguments, status in (
        (["graph", "export", graphs[0].id, "--home", str(tmp_path), "--out", out, "--format", "neuronpedia"], 0),
        (["graph", "show", out, "--json"], 0),
        (["graph", "show", str(tmp_path / "absent.json")], 2),
    ):
        with pytest.raises(SystemExit) as ended:
            app(arguments)
        assert ended.value.code == status
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["prompt"] == PROMPT


@pytest.mark.external
def test_an_export_of_a_measured_graph_is_valid_by_neuronpedias_schema(external, graphs, settings, tmp_path):
    a_run(tmp_path, graphs[0])
    export(settings, "last", tmp_path / "graph.json")
    schema = json.loads((external / "schema" / "neuronpedia-graph-schema.json").read_text())
    jsonschema.validate(json.loads((tmp_path / "graph.json").read_text()), schema)
