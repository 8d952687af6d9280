"""A graph as its page gets it: links by place, strongest first, what is known of features, hostile text made safe."""

import json

import pytest
from graph_pages import LINKS, described, graph, graph_run
from served import HOSTILE, served
from vesalius.agent.server.graphs import MOST_CONTEXTS, features_known
from vesalius.tools import Measurement, digest


@pytest.fixture
def at(tmp_path, load):
    """A client of a run's graph: asks below its path."""
    folder, (name,) = graph_run(tmp_path, graph())
    with served(tmp_path, load) as page:
        yield lambda rest="", status=200: page.get(f"/api/runs/{folder.name}/graphs/{name}{rest}", status)


def kept(folder, name: str) -> Measurement:
    found = folder.kept(name)
    assert found is not None
    return found


def test_links_are_by_place_the_strongest_first_and_none_is_lost(at):
    shown = at()
    ids = [node["id"] for node in shown["nodes"]]
    links = list(zip(shown["sources"], shown["targets"], shown["weights"], strict=True))
    assert {(ids[s], ids[t]): w for s, t, w in links} == LINKS
    assert [abs(w) for *_, w in links] == sorted((abs(w) for w in LINKS.values()), reverse=True)
    assert shown["prompt"] == "The Texas is"
    assert shown["twin"] is False


def test_what_the_run_has_described_stands_by_its_feature_with_the_peak_marked_where_it_is_sure(at):
    (known,) = at("/features")["features"]
    assert known["feature"] == "0/1"
    sure, unsure = known["contexts"]
    assert (sure["before"], sure["peak"], sure["after"]) == ("in ", "Texas", " we trust")
    assert (unsure["before"], unsure["peak"]) == ("no no no", "")  # it may stand at any of the three
    assert known["promoted"] == [{"token": " Austin", "weight": 1.25}]
    assert known["measurements"] == [described().id]


def test_measurements_of_other_weights_or_dictionaries_say_nothing_of_a_graph(tmp_path):
    folder, (name,) = graph_run(tmp_path, graph())
    mine, one = kept(folder, name), described()
    assert len(features_known(mine, [one]).features) == 1
    other = one.model_copy(update={"subject": one.subject.model_copy(update={"fingerprint": "0" * 64})})
    assert features_known(mine, [other, described(dictionary_digest="e" * 64)]).features == ()
    assert features_known(mine, [described("7/7")]).features == ()


def test_a_feature_has_few_contexts_the_strongest_first(tmp_path):
    folder, (name,) = graph_run(tmp_path, graph())
    contexts = [
        {"text": f"text {i}", "tokens": [f"text {i}"], "activations": [i], "peak": 0, "peak_activation": float(i)}
        for i in range(20)
    ]
    (known,) = features_known(kept(folder, name), [described(contexts=contexts)]).features
    assert len(known.contexts) == MOST_CONTEXTS
    assert [one.activation for one in known.contexts] == sorted((c.activation for c in known.contexts), reverse=True)


@pytest.mark.parametrize(
    ("name", "why"), [("m-0123abcd", "no measurement"), (described().id, "describe_feature, which is no graph")]
)
def test_another_measurement_is_no_graph(tmp_path, load, name, why):
    folder, _ = graph_run(tmp_path, graph())
    with served(tmp_path, load) as page:
        for rest in ("", "/features", "/groups", "/export/neuronpedia"):
            assert why in page.get(f"/api/runs/{folder.name}/graphs/{name}{rest}", 404)["error"]
        page.get(f"/api/runs/{folder.name}/graphs/..%2f..%2frun", 404)
        page.get("/api/runs/none/graphs/m-0123abcd", 404)


def test_a_graph_that_was_changed_on_disk_is_refused(tmp_path, load):
    folder, (name,) = graph_run(tmp_path, graph())
    path = folder.path / "measurements" / f"{name}.json"
    path.write_text(path.read_text().replace("2.5", "2.6"))
    with served(tmp_path, load) as page:
        assert "not as it was written" in page.get(f"/api/runs/{folder.name}/graphs/{name}", 422)["error"]


def test_a_result_that_is_no_sound_graph_is_refused_with_the_place(tmp_path, load):
    folder, (name,) = graph_run(tmp_path, graph())
    found = kept(folder, name)
    for changed, why in (
        ({"links": [{"source": "token@0", "target": "nowhere", "weight": 1.0}]}, "no sound graph"),
        ({"nodes": [*found.result["nodes"], found.result["nodes"][0]]}, "no sound graph"),
        ({"nodes": "none"}, "nodes"),
    ):
        result = found.result | changed
        folder.keep(found.model_copy(update={"result": result, "digest": digest(result)}))
        with served(tmp_path, load) as page:
            assert why in page.get(f"/api/runs/{folder.name}/graphs/{name}", 422)["error"]


def test_hostile_and_endless_tokens_are_cut_and_made_visible(tmp_path, load):
    tokens = (HOSTILE, "x" * 10_000, "\x00\n")
    folder, (name,) = graph_run(tmp_path, graph(tokens=tokens))
    with served(tmp_path, load) as page:
        shown = page.get(f"/api/runs/{folder.name}/graphs/{name}")
    assert "\\u202e" in shown["tokens"][0]
    assert len(shown["tokens"][1]) < 500
    assert shown["tokens"][2] == "\\u0000⏎"
    assert len(json.dumps(shown)) < 20_000 + len(shown["prompt"])
