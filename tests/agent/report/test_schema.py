"""The report's form: it survives JSON, refuses other versions, and cannot hold a figure that resolves to nothing."""

import json

import pytest
from pydantic import ValidationError
from vesalius.agent.report.render import write_report
from vesalius.agent.report.schema import Report, Sentence, UnreadableReport, read_report


def test_a_report_survives_its_file(report, tmp_path):
    paths = write_report(report, tmp_path)
    assert set(paths) == {"json", "html", "md"}
    assert read_report(paths["json"]) == report


def test_hostile_text_survives_its_file_unchanged(hostile, tmp_path):
    assert read_report(write_report(hostile, tmp_path)["json"]) == hostile


def test_nothing_half_written_is_left_behind(report, tmp_path):
    write_report(report, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]


def test_another_version_is_refused_with_the_mend(report, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report.model_dump(mode="json") | {"schema_version": "2"}))
    with pytest.raises(UnreadableReport, match=r"version '2'.*reads '1'.*version of vesalius that wrote it"):
        read_report(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": "1"}'])
def test_a_file_that_is_no_report_is_refused(text, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(UnreadableReport):
        read_report(path)


def test_a_missing_file_is_refused_with_the_mend(tmp_path):
    with pytest.raises(UnreadableReport, match=r"Give a run or its report\.json"):
        read_report(tmp_path / "report.json")


def changed(report: Report, **changes) -> dict:
    return report.model_dump() | changes


def test_prose_that_refers_to_a_measurement_not_in_the_report_is_refused(report):
    answer = (Sentence(text="It is {{m-ffffffff:gap}}."),)
    with pytest.raises(ValidationError, match="the report holds no `m-ffffffff`"):
        Report.model_validate(changed(report, answer=answer))


def test_prose_that_refers_to_no_number_is_refused(report):
    answer = (Sentence(text="It is {{c1:judgement.verdict}}."),)
    with pytest.raises(ValidationError, match="'supported', not a number"):
        Report.model_validate(changed(report, answer=answer))


def test_a_graph_that_was_not_measured_is_refused(report):
    with pytest.raises(ValidationError, match="names measurements it does not hold: m-abcdabcd"):
        Report.model_validate(changed(report, graph="m-abcdabcd"))


def test_one_measurement_twice_is_refused(report):
    with pytest.raises(ValidationError, match="more than once"):
        Report.model_validate(changed(report, measurements=(*report.measurements, report.measurements[0])))


def test_an_id_that_would_be_markup_is_refused(report):
    claim = report.claims[0].model_dump() | {"id": 'c1" onclick="x'}
    with pytest.raises(ValidationError, match="pattern"):
        Report.model_validate(changed(report, claims=(claim,)))
