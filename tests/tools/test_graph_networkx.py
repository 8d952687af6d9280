"""networkx and GraphML: the same graph comes back, typed, whatever its tokens hold."""

import json
from xml.etree import ElementTree

import networkx as nx
import pytest
from vesalius.tools import ToolError
from vesalius.tools._attribution_types import GraphLink
from vesalius.tools._graph_networkx import from_networkx, graph_from_graphml, graphml_of, to_networkx
from vesalius.tools._graph_reading import graph_from_json, read_text
from vesalius.tools._graph_scores import graph_scores
from vesalius.tools._graph_types import PlainGraph, PlainNode

TOKENS = (
    "<bos>",
    "",
    ' "q"&<b>\n\t ',
    "\x00\x1b\x7f\r\n",
    "half \ud83d",
    "\ufffe\u202e",
    "😀 \\u0041",
    "long " * 10_000,
)


def a_graph(**more: object) -> PlainGraph:
    """One token of each kind of text, one feature, one error, one logit."""
    words = [
        PlainNode(id=f"token@{at}", kind="token", layer=-1, position=at, token=token, token_id=at, label=token)
        for at, token in enumerate(TOKENS)
    ]
    feature = PlainNode(
        id="0/5@1", kind="feature", layer=0, position=1, feature=5, token="", activation=1 / 3, influence=0.5
    )
    error = PlainNode(id="error.0@1", kind="error", layer=0, position=1, token="", influence=1.0, influence_share=1e-17)
    logit = PlainNode(id="logit.3@7", kind="logit", layer=1, position=7, token="\x08", token_id=3, probability=0.25)
    pairs = [("token@1", "0/5@1", 2.0), ("token@3", "0/5@1", -1e-300), ("0/5@1", "logit.3@7", 3.0)]
    pairs += [("error.0@1", "logit.3@7", 0.1)]
    parts = {
        "prompt": "".join(TOKENS),
        "tokens": TOKENS,
        "nodes": (feature, error, *words, logit),
        "links": tuple(GraphLink(source=s, target=t, weight=w) for s, t, w in pairs),
        "slug": "a",
        "scan": "b",
        "node_threshold": 0.8,
        "pinned": ("0/5@1",),
        "supernodes": (("group \x01", "0/5@1", "token@1"),),
        "left_out": {"fields x": 2},
    }
    return PlainGraph.model_validate(parts | more)


def by_target(graph: PlainGraph) -> PlainGraph:
    place = {node.id: at for at, node in enumerate(graph.nodes)}
    links = sorted(graph.links, key=lambda link: (place[link.target], place[link.source]))
    return graph.model_copy(update={"links": tuple(links)})


def test_a_graph_comes_back_from_networkx_as_it_was():
    assert from_networkx(to_networkx(a_graph())) == by_target(a_graph())


def test_a_graph_comes_back_from_graphml_as_it_was():
    assert graph_from_graphml(graphml_of(a_graph())) == by_target(a_graph())


def test_the_file_is_the_same_for_the_same_graph_and_says_of_which_type_each_attribute_is():
    text = graphml_of(a_graph())
    assert text == graphml_of(a_graph())
    space = "{http://graphml.graphdrawing.org/xmlns}"
    types = {
        (key.get("for"), key.get("attr.name")): key.get("attr.type")
        for key in ElementTree.fromstring(text).iter(f"{space}key")
    }
    assert types["node", "layer"] == types["node", "feature"] == "long"
    assert types["node", "activation"] == types["edge", "weight"] == types["graph", "node_threshold"] == "double"
    assert types["node", "kind"] == types["graph", "tokens"] == "string"


def test_networkx_own_writer_and_algorithms_take_the_graph(tmp_path):
    core = {
        "nodes": [node for node in a_graph().nodes if node.kind != "token"],
        "links": a_graph().links[2:],
        "supernodes": (),
    }
    graph = to_networkx(a_graph(tokens=("a",) * 8, prompt="a", **core))
    graph.nodes["logit.3@7"]["token"] = "x"
    assert nx.is_directed_acyclic_graph(graph)
    assert nx.ancestors(graph, "logit.3@7") == {"0/5@1", "error.0@1"}
    nx.write_graphml(graph, tmp_path / "own.graphml")
    back = graph_from_graphml((tmp_path / "own.graphml").read_text())
    assert {link.source: link.weight for link in back.links} == {"0/5@1": 3.0, "error.0@1": 0.1}


def test_what_users_add_is_left_out_and_counted_and_scores_stand():
    graph = to_networkx(a_graph(left_out={}))
    graph.nodes["0/5@1"]["colour"] = graph.nodes["error.0@1"]["colour"] = "red"
    graph.edges["0/5@1", "logit.3@7"]["width"] = 2
    graph.graph["title"] = "mine"
    back = from_networkx(graph)
    assert back.left_out == {"attributes colour": 2, "attributes width": 1, "attributes title": 1}
    assert graph_scores(back) == graph_scores(a_graph())


def broken(change) -> nx.DiGraph:
    graph = to_networkx(a_graph())
    change(graph)
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.Graph(to_networkx(a_graph())), "is a Graph and no DiGraph"),
        (nx.MultiDiGraph(to_networkx(a_graph())), "is a MultiDiGraph and no DiGraph"),
        (broken(lambda g: g.add_edge("0/5@1", "token@1", weight=1.0)), "lead in a circle"),
        (broken(lambda g: g.add_edge("0/5@1", "new", weight=1.0)), "`kind`: Field required"),
        (broken(lambda g: g.edges["0/5@1", "logit.3@7"].clear()), "a link has no `weight`"),
        (broken(lambda g: g.edges["0/5@1", "logit.3@7"].update(weight=float("nan"))), "weighs nan"),
        (broken(lambda g: g.nodes["0/5@1"].update(layer="top")), "`layer`: Input should be a valid integer"),
        (broken(lambda g: g.nodes["0/5@1"].update(activation=float("inf"))), "`activation`: Input should be a finite"),
        (broken(lambda g: g.remove_node("logit.3@7")), "no logit with a probability"),
        (broken(lambda g: g.graph.update(pinned="[")), "`pinned` is no JSON text"),
        (broken(lambda g: g.graph.update(pinned="[3]")), "`pinned.0`: Input should be a valid string"),
        (broken(lambda g: g.graph.pop("tokens")), "`tokens`: Field required"),
        (broken(lambda g: nx.relabel_nodes(g, {"0/5@1": 7}, copy=False)), "`id`: Input should be a valid string"),
    ],
)
def test_a_networkx_graph_that_is_no_attribution_graph_is_refused_with_a_mend(graph, message):
    with pytest.raises(ToolError) as raised:
        from_networkx(graph)
    assert message in raised.value.message
    assert raised.value.mend


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("", "in GraphML"),
        ("<a/>", "in GraphML"),
        ("{}", "in GraphML"),
        ('<!DOCTYPE a [<!ENTITY b "bbbb">]><graphml>&b;</graphml>', "Remove its"),
        (graphml_of(a_graph()).replace(">0.5</data>", ">much</data>", 1), "in GraphML"),
        (graphml_of(a_graph()).replace('source="0/5@1"', 'source="0/6@1"'), "Nodes need"),
        (graphml_of(a_graph()).replace('edgedefault="directed"', 'edgedefault="undirected"'), "DiGraph"),
    ],
)
def test_a_file_that_is_no_graphml_or_no_attribution_graph_is_refused(text, mend):
    with pytest.raises(ToolError, match=mend):
        graph_from_graphml(text)


def test_text_that_xml_cannot_hold_is_readable_and_exact_beside():
    read = nx.parse_graphml(graphml_of(a_graph()))
    assert read.nodes["token@3"]["token"] == "\ufffd\ufffd\x7f\ufffd\n"
    assert json.loads(read.nodes["token@3"]["token_exact_json"]) == TOKENS[3]
    assert "token_exact_json" not in read.nodes["token@2"]


@pytest.mark.external
def test_a_graph_of_neuronpedia_goes_through_graphml_unchanged(external):
    graph = graph_from_json(read_text(external / "graphs" / "dallas" / "graph.json"))
    back = graph_from_graphml(graphml_of(graph))
    assert back == graph
    assert graph_scores(back, ()) == graph_scores(graph, ())
