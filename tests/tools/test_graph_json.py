"""Graph files of the field: what is written is valid and reads back; what contradicts itself is refused."""

import json
import os
import random
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from graph_results import FINGERPRINT, HOSTILE, NODES, SETTINGS, TOKEN_IDS, WEIGHTS, node, result_of
from vesalius.tools import ToolError
from vesalius.tools._graph_export import ExportOptions, export_graph, plain_graph, scan_name
from vesalius.tools._graph_json import graph_json, paired, unpaired
from vesalius.tools._graph_reading import graph_from_json, read_text
from vesalius.tools._graph_scores import graph_scores
from vesalius.tools._graph_types import LARGEST_FILE, PlainGraph, checked


def exported(**options: Any) -> dict[str, Any]:
    return export_graph(result_of(), "/home/someone/models/own", FINGERPRINT, SETTINGS, ExportOptions(**options))


def again(file: dict[str, Any]) -> PlainGraph:
    return graph_from_json(json.dumps(file))


def test_what_is_exported_reads_back_as_the_same_nodes_links_and_weights():
    back, graph = again(exported()), plain_graph(result_of())
    assert back.nodes == graph.nodes
    assert back.links == graph.links
    assert {(link.source, link.target): link.weight for link in back.links} == WEIGHTS
    assert (back.prompt, back.tokens) == (graph.prompt, HOSTILE)
    assert back.left_out == {}


def test_a_logits_token_and_weight_survive_whatever_the_token_holds():
    for token in (*HOSTILE, 'A "b" (p=0.1)', '"', "", '" (p=', "Output"):
        logit = NODES[-1].model_copy(update={"token": token})
        back = again(export_graph(result_of((*NODES[:-1], logit)), "m", FINGERPRINT))
        assert (back.nodes[-1].token, back.nodes[-1].probability) == (token, 0.2)


def test_ids_are_circuit_tracers_unless_two_nodes_would_have_one():
    ids = [n["node_id"] for n in exported()["nodes"]]
    tokens = [f"E_{number}_{at}" for at, number in enumerate(TOKEN_IDS)]
    assert ids == ["0_3_2", "2_123456_2", "5_0_4", "3_-1_2", "0_5_4", *tokens, "7_77_4", "7_78_4"]


def test_every_field_of_circuit_tracers_viewer_is_there():
    file = exported(slug="mine", pinned=("0/3@2", "error.3@2"), supernodes=(("g", "5/0@4"),))
    first, error, token, logit = (file["nodes"][place] for place in (0, 3, 5, 10))
    same = {"run_idx": 0, "reverse_ctx_idx": 0, "influence_share": 0.01}
    assert first == same | {
        "node_id": "0_3_2",
        "feature": 9,
        "layer": "0",
        "ctx_idx": 2,
        "feature_type": "cross layer transcoder",
        "token_prob": 0.0,
        "is_target_logit": False,
        "jsNodeId": "0_3-0",
        "clerp": "0/3@2",
        "influence": 0.1,
        "activation": 1.5,
    }
    assert (error["feature"], error["layer"], error["jsNodeId"]) == (-1, "3", "3_2-0")
    assert (token["feature"], token["layer"], token["jsNodeId"]) == (0, "E", "E_1-0")
    assert (logit["feature"], logit["layer"], logit["jsNodeId"]) == (77, "7", "L_77-4")
    assert (logit["clerp"], logit["influence"]) == ('Output "A "b" (p=0.1)" (p=0.700)', None)
    assert [n["is_target_logit"] for n in file["nodes"][-2:]] == [True, False]
    assert file["qParams"]["pinnedIds"] == ["0_3_2", "3_-1_2"]
    assert file["qParams"]["supernodes"] == [["g", "5_0_4"]]
    assert file["metadata"].keys() >= {"slug", "scan", "transcoder_list", "prompt_tokens", "prompt", "schema_version"}
    assert again(file).pinned == ("0/3@2", "error.3@2")
    assert again(file).supernodes == (("g", "5/0@4"),)


def test_no_folder_of_this_machine_stands_in_a_file():
    assert "someone" not in json.dumps(exported())


def test_scan_hangs_on_weights_and_dictionary_and_on_no_process():
    assert scan_name("a", "b") != scan_name("b", "a")
    assert exported()["metadata"]["scan"] == scan_name("d" * 64, FINGERPRINT)
    assert exported(scan="gemma-2-2b")["metadata"]["scan"] == "gemma-2-2b"
    program = "from vesalius.tools._graph_export import scan_name; print(scan_name('a', 'b'))"
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        out = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        assert out.stdout.strip() == scan_name("a", "b")


def test_an_answer_less_a_foil_is_one_logit_of_its_own_name_and_equal_weight():
    label = "output 'cold' minus 'small' (p=0.9)"
    parts = {"probability": 0.9, "token": "cold", "label": label, "influence": 1.0}
    logits = [node("logit", f"logit.{n}-3@4", 6, 4, token_id=n, **parts) for n in (77, 78)]
    weights = {(s, t.replace("77", "77-3").replace("78", "78-3")): w for (s, t), w in WEIGHTS.items()}
    back = again(export_graph(result_of((*NODES[:-2], *logits), weights), "m", FINGERPRINT))
    assert [(n.token, n.probability) for n in back.nodes[-2:]] == [("'cold' minus 'small'", 0.5)] * 2
    assert len(back.links) == len(WEIGHTS)


def test_pairing_is_undone_for_any_layer_and_index():
    assert paired(2, 3) == 18
    draw = random.Random(0)
    for _ in range(1000):
        pair = draw.randrange(200), draw.randrange(2**26)
        assert unpaired(paired(*pair)) == pair


def theirs() -> dict[str, Any]:
    """The same graph as circuit-tracer would write it: with one id twice."""
    file = exported()
    text = json.dumps(file).replace('"3_-1_2"', '"0_3_2"')
    return json.loads(text)


def test_of_two_nodes_with_one_id_each_link_finds_its_own():
    back = again(theirs())
    assert {(link.source, link.target): link.weight for link in back.links} == WEIGHTS


def test_of_two_nodes_with_one_id_the_feature_is_what_was_pinned():
    file = theirs()
    file["qParams"]["pinnedIds"] = ["0_3_2"]
    assert again(file).pinned == ("0/3@2",)


@pytest.mark.parametrize("absent", [None, 0.0])
def test_a_logit_without_a_weight_has_that_of_its_label(absent):
    assert again(changed(10, token_prob=absent)).nodes[10].probability == 0.7


def test_where_it_cannot_be_told_which_of_two_nodes_a_link_means_the_file_is_refused():
    alone = {("token@2", "0/3@2"): 1.0, ("error.3@2", "logit.77@4"): 1.0}
    file = export_graph(result_of(weights=alone), "m", FINGERPRINT)
    with pytest.raises(ToolError, match="ids that differ"):
        graph_from_json(json.dumps(file).replace('"3_-1_2"', '"0_3_2"'))


def test_an_error_never_becomes_a_feature_by_its_id():
    kinds = {n.id: n.kind for n in again(exported()).nodes}
    assert kinds["error.5@4"] == "error"
    assert "0/5@4" not in kinds


def changed(place: int, **more: Any) -> dict[str, Any]:
    file = exported()
    file["nodes"][place] |= more
    return file


def linked(**more: Any) -> dict[str, Any]:
    file = exported()
    file["links"].append({"source": "E_1_0", "target": "7_77_4", "weight": 1.0} | more)
    return file


def doubled() -> dict[str, Any]:
    file = exported()
    file["nodes"].append(file["nodes"][1])
    return file


@pytest.mark.parametrize("lack", [{"feature": None}, {"feature": -1}, {"node_id": "n1"}])
def test_a_features_index_is_found_in_its_id_or_in_its_pairing(lack):
    file = changed(2, **lack)
    for link in file["links"]:
        link |= {end: file["nodes"][2]["node_id"] for end in ("source", "target") if link[end] == "5_0_4"}
    assert again(file).nodes[2].feature == 0


@pytest.mark.parametrize("old", [123456, 2123456, 20123456])
def test_before_schema_version_1_the_number_is_the_index_or_follows_the_layer(old):
    file = changed(1, feature=old)
    with pytest.raises(ToolError, match="its id says index 123456"):
        again(file)
    del file["metadata"]["schema_version"]
    assert again(file).nodes[1].feature == 123456


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (changed(1, feature=17), "its id says index 123456, its `feature` 17 index 2 of a layer 3"),
        (changed(1, node_id="n1", layer="3"), "is of layer 2, the node of 3"),
        (changed(3, node_id="2_123456_2"), "2 nodes of the file have the id `2_123456_2`"),
        (changed(1, layer="3"), "its id is not of layer 3"),
        (changed(1, ctx_idx=3), "its id is not of layer 2 and token 3"),
        (changed(1, layer="top"), "its layer is 'top'"),
        (changed(1, feature=2**80), "larger than any pairing"),
        (changed(1, ctx_idx=99), "token 99 of 5"),
        (changed(1, influence=float("nan")), "nodes.1.influence`: Input should be a finite number"),
        (changed(10, token_prob=None, clerp="?"), "neither `token_prob` nor a probability"),
        (doubled(), "2 nodes of the file have the id `2_123456_2`"),
        (linked(target="9_9_9"), "ends at a node that is not there"),
        (linked(weight=float("nan")), "links.11.weight`: Input should be a finite number"),
        (linked(weight=float("inf")), "links.11.weight`: Input should be a finite number"),
        (linked(source="7_77_4", target="0_3_2"), "lead in a circle"),
        (linked(source="7_77_4", target="7_77_4"), "from `logit.77@4` to itself"),
        (linked(source="5_0_4"), "2 links lead from `5/0@4` to `logit.77@4`"),
        (exported() | {"nodes": exported()["nodes"][:-2], "links": []}, "no logit with a probability above 0"),
        (exported() | {"nodes": "none"}, "`nodes`: Input should be a valid tuple"),
        ([], "valid dictionary"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_the_place_and_a_mend(file, message):
    with pytest.raises(ToolError) as raised:
        again(file)
    assert message in raised.value.message
    assert raised.value.mend


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"nodes": 1' + "0" * 5000 + "}", "<graphml/>"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ToolError, match="Give a graph that"):
        graph_from_json(text)


def test_a_file_too_large_to_be_a_graph_is_not_read(tmp_path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(ToolError, match="Prune the graph"):
        read_text(tmp_path / "huge.json")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(ToolError, match=r"no UTF-8 text.*Give a graph that"):
        read_text(tmp_path / "latin.json")


def test_what_is_not_understood_is_left_out_and_counted_and_then_nothing_is_scored():
    file = changed(4, feature_type="lorsa")
    file["nodes"][0]["vis_link"] = "x"
    file["qk_only_nodes"] = {"a": {}, "b": {}}
    file["qParams"]["pinnedIds"] = ["0_5_4", "0_3_2"]
    back = again(file)
    assert back.left_out == {"fields vis_link": 1, "links at those": 1, "nodes of type lorsa": 1, "qk_only_nodes": 2}
    assert back.pinned == ("0/3@2",)
    assert len(back.nodes) == len(NODES) - 1
    with pytest.raises(ToolError, match="Score a graph of transcoder features"):
        graph_scores(back)


def test_what_was_measured_wrong_is_not_exported():
    with pytest.raises(ToolError, match="mend the file"):
        export_graph(result_of(weights={("0/3@2", "nowhere"): 1.0}), "m", FINGERPRINT)
    with pytest.raises(ToolError, match="weighs nan"):
        export_graph(result_of(weights={("0/3@2", "5/0@4"): float("nan")}), "m", FINGERPRINT)
    unknown = NODES[-1].model_copy(update={"token_id": None})
    with pytest.raises(ToolError, match="Set its `token_id`"):
        export_graph(result_of((*NODES[:-1], unknown)), "m", FINGERPRINT)
    with pytest.raises(ToolError, match="letters, digits, dots and dashes"):
        exported(slug="../up")
    with pytest.raises(ToolError, match="no node has that id"):
        exported(pinned=("9/9@9",))


@pytest.mark.external
@pytest.mark.parametrize("name", ["dallas", "oakland"])
def test_a_file_of_neuronpedia_goes_through_us_unchanged(external, name):
    file = json.loads((external / "graphs" / name / "graph.json").read_text())
    through = graph_json(graph_from_json(json.dumps(file)))
    assert through["nodes"] == file["nodes"]
    assert through["links"] == file["links"]


@pytest.mark.external
def test_an_export_is_valid_by_neuronpedias_schema(external):
    schema = json.loads((external / "schema" / "neuronpedia-graph-schema.json").read_text())
    jsonschema.validate(exported(), schema)
    jsonschema.validate(export_graph(result_of(), "m", FINGERPRINT), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(0, ctx_idx="2"), schema)


def test_a_graph_made_by_hand_is_checked_like_a_file():
    graph = plain_graph(result_of())
    with pytest.raises(ToolError, match="is a feature of no index"):
        checked(graph.model_copy(update={"nodes": (graph.nodes[0].model_copy(update={"feature": None}),)}))


def test_a_logit_without_a_label_gets_the_one_that_viewers_read():
    graph = plain_graph(result_of())
    bare = tuple(node.model_copy(update={"label": "" if node.kind == "logit" else node.label}) for node in graph.nodes)
    back = again(graph_json(graph.model_copy(update={"nodes": bare})))
    assert back.nodes == graph.nodes
