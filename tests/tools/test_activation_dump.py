"""Another's file of activations: read as it stands, and refused where it contradicts itself."""

import json
import os

import numpy as np
import pytest
from probed_graphs import FIRES, PROBES, dump_file
from vesalius.tools import ToolError, _activation_dump as dumps
from vesalius.tools._activation_dump import read_dump
from vesalius.tools._graph_reading import read_text


def written(tmp_path, file) -> object:
    path = tmp_path / "activations.json"
    path.write_text(file if isinstance(file, str) else json.dumps(file))
    return read_dump(path)


def test_every_value_stands_at_its_feature_probe_and_token(tmp_path):
    dump = written(tmp_path, dump_file())
    assert dump.features == tuple(sorted(FIRES))
    assert (dump.model, dump.source_set, dump.probe_ids[1]) == ("gemma-2-2b", "clt-hp", "probe_1")
    for probe, tokens in enumerate(PROBES):
        line = dump.lines[probe]
        assert (line.tokens, line.places) == (tokens[1:], tuple(range(1, len(tokens)))), "<bos> stands for no text"
        for feature, fires in FIRES.items():
            assert dump.of(feature)[probe] == [fires[probe].get(at, 0.0) for at in line.places]


def test_negative_activations_count_as_none(tmp_path):
    file = dump_file()
    record = file["results"][0]["activations"][0]
    record |= {"values": [-1.0] * len(record["values"]), "max_value": -1.0, "max_value_index": 0}
    feature = (int(record["source"].split("-")[0]), record["index"])
    assert written(tmp_path, file).of(feature)[0] == [0.0] * (len(PROBES[0]) - 1)


def test_a_few_probes_can_be_taken_alone(tmp_path):
    dump = written(tmp_path, dump_file())
    part = dump.only({1, 3})
    assert part.probe_ids == ("probe_1", "probe_3")
    assert part.lines == (dump.lines[1], dump.lines[3])
    assert all(np.array_equal(a, dump.acts[probe]) for a, probe in zip(part.acts, (1, 3), strict=True))


def test_tokens_of_a_model_without_a_first_token_are_all_kept(tmp_path):
    file = dump_file()
    for probe in file["results"]:
        probe["tokens"][0] = "Then"
    assert written(tmp_path, file).lines[0].places == tuple(range(len(PROBES[0])))


def results(change):
    """A way to spoil the file."""

    def spoil(file):
        change(file["results"])

    return spoil


def other_order(probes):
    probes[2]["activations"].pop()


def twice(probes):
    probes[1]["activations"].append(probes[1]["activations"][0])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: f.pop("results"), "`results`: Field required"),
        (lambda f: f.update(results=[]), "`results`: List should have at least 1"),
        (results(lambda r: r[0].update(activations=[])), "results.0.activations"),
        (results(lambda r: r[0].update(tokens=[])), "results.0.tokens"),
        (results(lambda r: r[0].update(tokens="abc")), "results.0.tokens"),
        (results(lambda r: r[0].update(prompt=7)), "results.0.prompt"),
        (results(lambda r: r[1]["activations"][2].update(index="3")), "results.1.activations.2.index"),
        (results(lambda r: r[1]["activations"][2].update(index=-1)), "results.1.activations.2.index"),
        (results(lambda r: r[1]["activations"][2].update(index=True)), "results.1.activations.2.index"),
        (results(lambda r: r[1]["activations"][2].update(values=["1"])), "results.1.activations.2.values.0"),
        (results(lambda r: r[1]["activations"][2]["values"].__setitem__(1, float("nan"))), "finite number"),
        (results(lambda r: r[1]["activations"][2]["values"].__setitem__(1, float("inf"))), "finite number"),
        (
            results(lambda r: r[1]["activations"][2]["values"].append(0.0)),
            r"Record 1 of `results` \(`probe_1`\) .* 8 values for 7 tokens",
        ),
        (results(lambda r: r[1]["activations"][2]["values"].pop()), "6 values for 7 tokens"),
        (results(lambda r: r[1]["activations"][2].update(max_value=99.0)), "`max_value` 99, but its largest value is"),
        (results(lambda r: r[1]["activations"][2].update(max_value_index=6)), "not at `max_value_index` 6"),
        (results(lambda r: r[1]["activations"][2].update(max_value_index=99)), "not at `max_value_index` 99"),
        (results(lambda r: r[1]["activations"][2].update(source="layer nine")), "`layer nine` is no source"),
        (results(other_order), r"Record 2 of `results` \(`probe_2`\) is not sound: it lacks feature"),
        (results(twice), r"Record 1 .* stands there twice"),
        (results(lambda r: [a.update(source="0-other") for a in r[0]["activations"][:1]]), "of 2 dictionaries"),
        (results(lambda r: r[3].update(tokens=["<bos>", "<pad>", "<s>", "</s>"])), "no token that stands for text"),
    ],
)
def test_what_contradicts_itself_is_refused_with_its_place_and_the_form(tmp_path, spoil, says):
    file = dump_file()
    spoil(file)
    with pytest.raises(ToolError, match=says) as refused:
        written(tmp_path, file)
    assert "Give" in refused.value.mend


def test_features_of_two_dictionaries_are_refused(tmp_path):
    file = dump_file()
    for probe in file["results"]:
        next(a for a in probe["activations"] if a["index"] == 7)["source"] = "7-gemmascope"
    with pytest.raises(ToolError, match=r"of 2 dictionaries: .*clt-hp.*gemmascope.* Give one file for each"):
        written(tmp_path, file)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '{"results": ' + "9" * 10_000 + "}"])
def test_what_is_no_such_file_is_one_sentence(tmp_path, text):
    with pytest.raises(ToolError, match=r"no JSON|holds no activations"):
        written(tmp_path, text)


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(ToolError, match="There is no file"):
            read_dump(path)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    path.touch()
    os.truncate(path, dumps.LARGEST_DUMP + 1)  # sparse: no byte of it is written
    with pytest.raises(ToolError, match="Leave out features"):
        read_dump(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ToolError, match=r"no UTF-8 text.*Give a file of the form"):
        read_dump(tmp_path / "a.json")


def test_dumps_and_graphs_are_read_by_one_rule(tmp_path):
    """What one of them refuses before it is parsed the other refuses in the same words, each with its own mend."""
    path = tmp_path / "a.json"
    for content, says in ((None, "There is no file a.json."), (b"\xff", "a.json is no UTF-8 text: invalid start byte")):
        if content is not None:
            path.write_bytes(content)
        for read, mend in ((read_dump, "Give a file of the form"), (read_text, "Give a graph that circuit-tracer")):
            with pytest.raises(ToolError, match=says) as refused:
                read(path)
            assert refused.value.mend.startswith(mend)
