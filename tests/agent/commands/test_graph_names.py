"""A run's supernodes go out with its graph: names that hold as they are, others behind a question mark, all pinned."""

import json
from pathlib import Path

import jsonschema
import pytest
from supernode_reports import arguments, effect_of, graph, measured, name_claim, probes
from vesalius.agent._evidence import Judgement
from vesalius.agent.commands.graph_names import DESCRIPTION, file_supernodes, run_supernodes
from vesalius.agent.commands.graphs import export_command, read_graph, show_command
from vesalius.agent.report.schema import (
    Claim,
    Coverage,
    MeasurementRecord,
    Premise,
    Report,
    ReportedSubject,
    Sentence,
    UnreadableReport,
)
from vesalius.agent.runs import RunFolder, RunInfo
from vesalius.agent.settings import Settings
from vesalius.tools import AttributionGraphResult, Measurement, PlainGraph, named_graph

TEXAS, AUSTIN = ("0/1", "0/2"), ("1/3",)
JUDGED = Judgement(
    verdict="supported",
    tier="controlled",
    effect=0.5,
    low=0.4,
    high=0.6,
    p=0.001,
    p_meaning="rare",
    q=0.004,
    n_pairs=6,
    n_clusters=6,
    moved_share=0.5,
    random_max=0.1,
    twin_effect=0.0,
    shuffled_moved_share=None,
    minimum_detectable=0.1,
    gates=(),
    reason="It held.",
)


def a_run(home: Path, *measurements: Measurement, claims: tuple[Claim, ...] | None = None) -> RunFolder:
    """A run with these measurements, and with a report where claims are given."""
    info = RunInfo(question="Why?", model="m", device="cpu", seed=0, created="2026-01-01T00:00:00+00:00")
    folder = RunFolder.create(home, info)
    for measurement in measurements:
        folder.keep(measurement)
    if claims is not None:
        (folder.path / "report.json").write_text(a_report(measurements, claims).model_dump_json())
    return folder


def a_report(measurements: tuple[Measurement, ...], claims: tuple[Claim, ...]) -> Report:
    key = measurements[0].subject
    return Report(
        run="a-run",
        question="Why?",
        created="2026-01-01T00:00:00+00:00",
        planner="protocol",
        seconds=1.0,
        subject=ReportedSubject(key=key, shape={}, device="cpu", dtype="float32"),
        environment={},
        premise=Premise(holds=True, sentence=Sentence(text="It does.")),
        answer=(),
        claims=claims,
        measurements=tuple(MeasurementRecord(measurement=m, phase="explore", why="w") for m in measurements),
        coverage=Coverage(examined={}, units_looked_at=0),
        ledger_digest="ab" * 32,
        graph=graph().id,
    )


def export(settings: Settings, of: str, out: Path, kind: str = "neuronpedia") -> PlainGraph:
    export_command(settings, of, kind, out, None, "", "", as_json=True)
    return read_graph(out)


def holding(*names: tuple[str, tuple[str, ...]], verdict: str = "supported") -> tuple[Claim, ...]:
    judged = Judgement.model_validate(JUDGED.model_dump() | {"verdict": verdict})
    return tuple(name_claim(n, arguments(*one), judged) for n, one in enumerate(names, start=1))


@pytest.mark.parametrize("kind", ["neuronpedia", "graphml"])
def test_supernodes_go_out_and_come_back_with_the_names_that_hold(settings, tmp_path, capsys, kind):
    a_run(tmp_path, graph(), probes(), claims=holding(("Say (Austin)", AUSTIN)))
    found = export(settings, "last", tmp_path / "graph", kind)
    said = json.loads(capsys.readouterr().out)
    assert found.supernodes == (("Say (Austin)", "1/3@5"), ("?Texas", "0/1@4", "0/2@4"))
    assert found.pinned == ("logit.9@5", "token@4", "0/1@4", "0/2@4", "1/3@5"), "the token Texas too, which names one"
    assert (said["supernodes"], said["names_hold"]) == (2, 1)
    show_command(tmp_path / "graph", top=3, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["supernodes"] == [list(group) for group in found.supernodes]
    assert shown["pinned"] == list(found.pinned)


@pytest.mark.parametrize("verdict", ["refuted", "inconclusive"])
def test_a_name_that_was_tested_in_vain_has_its_question_mark(settings, tmp_path, verdict):
    a_run(tmp_path, graph(), probes(), claims=holding(("Say (Austin)", AUSTIN), ("Texas", TEXAS), verdict=verdict))
    assert [group[0] for group in export(settings, "last", tmp_path / "g.json").supernodes] == [
        "?Texas",
        "?Say (Austin)",
    ]


def test_of_a_run_that_was_stopped_no_name_holds(settings, tmp_path):
    a_run(tmp_path, graph(), probes(), effect_of("Texas", TEXAS))
    assert [group[0] for group in export(settings, "last", tmp_path / "g.json").supernodes] == [
        "?Texas",
        "?Say (Austin)",
    ]


def test_a_graph_that_is_asked_for_by_its_measurement_has_its_runs_names(settings, tmp_path):
    a_run(tmp_path, graph(), probes(), claims=holding(("Texas", TEXAS)))
    assert export(settings, graph().id, tmp_path / "g.json").supernodes[0][0] == "Texas"
    (tmp_path / "m.json").write_text(graph().model_dump_json())
    assert export(settings, str(tmp_path / "m.json"), tmp_path / "alone.json").supernodes == ()


def test_the_file_says_what_the_question_mark_means_and_only_then(settings, tmp_path, capsys):
    a_run(tmp_path, graph())
    for out, more in (("plain.json", ()), ("named.json", (probes(),))):
        folder = RunFolder.open(tmp_path, "last")
        for measurement in more:
            folder.keep(measurement)
        export_command(settings, "last", "neuronpedia", tmp_path / out, None, "", "", as_json=False)
        about = json.loads((tmp_path / out).read_text())["metadata"]["info"]["description"]
        assert about.endswith(DESCRIPTION) is bool(more)
    assert "2 supernodes; names that hold: 0, others begin with ?" in capsys.readouterr().out


def test_a_naming_of_another_prompt_leaves_the_graph_without_groups(settings, tmp_path):
    a_run(tmp_path, graph(), probes(" now"))
    found = export(settings, "last", tmp_path / "g.json")
    assert (found.supernodes, found.pinned) == ((), ())


def test_supernodes_without_a_node_in_the_graph_are_left_out(tmp_path):
    naming = probes()
    gone = {"name": "gone", "features": ["9/9"]}
    for supernodes, expected in (([gone], None), ([gone, naming.result["supernodes"][1]], ("?Say (Austin)", "1/3"))):
        other = naming.model_copy(update={"result": naming.result | {"supernodes": supernodes}})
        plain = named_graph(AttributionGraphResult.model_validate(graph().result), "f")
        folder = a_run(tmp_path)
        found = file_supernodes(plain, run_supernodes(graph(), folder, [other]))
        assert (found and found.groups) == (expected and (expected,))


def test_a_question_mark_makes_no_two_supernodes_one(tmp_path):
    naming = probes()
    nodes = [{"name": name, "features": [feature]} for name, feature in (("x", "0/1"), ("?x", "0/2"), ("??x", "1/3"))]
    other = naming.model_copy(update={"result": naming.result | {"supernodes": nodes}})
    folder = a_run(tmp_path, graph(), other, claims=holding(("?x", ("0/2",))))
    plain = named_graph(AttributionGraphResult.model_validate(graph().result), "f")
    found = file_supernodes(plain, run_supernodes(graph(), folder, [other]))
    assert found is not None
    assert found.groups == (("?x", "0/2"), ("??x", "0/1"), ("???x", "1/3"))
    assert found.n_hold == 1


def test_of_two_namings_the_one_that_ran_last_counts(settings, tmp_path):
    first = probes(name="m-ffff0001")
    last = probes(name="m-aaaa0001")
    last = measured("probe_prompts", last.id, last.args, last.result | {"supernodes": last.result["supernodes"][:1]})
    a_run(tmp_path, graph(), first, last, claims=())
    assert len(export(settings, "last", tmp_path / "g.json").supernodes) == 1


def test_a_report_that_was_damaged_is_not_taken_for_one_without_claims(settings, tmp_path):
    folder = a_run(tmp_path, graph(), probes())
    (folder.path / "report.json").write_text("{")
    with pytest.raises(UnreadableReport, match=r"Give the report\.json of a run"):
        export(settings, "last", tmp_path / "g.json")
    assert not (tmp_path / "g.json").exists()


@pytest.mark.external
def test_a_file_with_supernodes_is_valid_by_neuronpedias_schema(external, settings, tmp_path):
    a_run(tmp_path, graph(), probes(), claims=holding(("Texas", TEXAS)))
    export(settings, "last", tmp_path / "graph.json")
    schema = json.loads((external / "schema" / "neuronpedia-graph-schema.json").read_text())
    file = json.loads((tmp_path / "graph.json").read_text())
    jsonschema.validate(file, schema)
    assert file["qParams"]["supernodes"] == [["Texas", "0_1_4", "0_2_4"], ["?Say (Austin)", "1_3_5"]]
