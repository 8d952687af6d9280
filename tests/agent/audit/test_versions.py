"""Subjects of a spec: revisions and checkpoints are models of their own, in an order a person would give them."""

import json

import pytest
from vesalius.agent.audit.cells import cells_of
from vesalius.agent.audit.spec import read_spec
from vesalius.agent.audit.versions import Version, versions
from vesalius.agent.runs import UnreadableFile
from vesalius.agent.settings import Settings

ASKED = "items: [{id: x, feature: 0/1}]\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def read(subjects, folder):
    path = folder / "spec.yaml"
    path.write_text(f"audit: a\nsubjects:\n  - {subjects}\n{ASKED}")
    spec, lined = read_spec(path)
    return versions(spec.subjects, lined, folder)


def model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")


def test_each_revision_of_a_hub_id_is_a_model(tmp_path):
    assert read("{model: lab/tiny, revision: [step1000, refs/pr/2]}", tmp_path) == (
        Version("tiny-step1000", "lab/tiny@step1000"),
        Version("tiny-refs-pr-2", "lab/tiny@refs/pr/2"),
    )
    assert read(f"{{model: lab/tiny, revision: {COMMIT}}}", tmp_path) == (
        Version("tiny-0123456789ab", f"lab/tiny@{COMMIT}"),
    )
    assert read("{model: lab/tiny, revision: v2, label: new}", tmp_path) == (Version("new", "lab/tiny@v2"),)
    (only,) = read(f"{{model: lab/{'long' * 10}, revision: release-candidate}}", tmp_path)
    assert len(only.name) == 40
    assert only.name.endswith("-release-candidate")


def test_checkpoints_of_a_folder_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("step-10", "step-9", "step-100", "other", "1²3"):
        model(tmp_path / "run" / name)
    (tmp_path / "run" / "step-11").mkdir()  # unfinished
    found = read("{model: run, checkpoints: step-*}", tmp_path)
    assert [one.name for one in found] == ["run-step-9", "run-step-10", "run-step-100"]
    assert found[0].model == str(tmp_path / "run" / "step-9")


@pytest.mark.parametrize(
    ("subjects", "told"),
    [
        ("{model: run, checkpoints: epoch-*}", "line 3, `subjects[0]`: no folder 'epoch-*' in"),
        ("{model: run, checkpoints: ../*}", "not above it"),
        ("{model: run, checkpoints: step**}", "line 3, `subjects[0]`: `checkpoints` is 'step**'"),
        ('{model: "ru\\0n", checkpoints: step-*}', "line 3, `subjects[0].model`"),
        ("{model: run, checkpoints: /etc/*}", "`subjects[0].checkpoints`"),
        ("{model: run, checkpoints: step-*, revision: main}", "not both"),
        ("{model: run/step-1, revision: main}", "is no hub id"),
        ("{model: atlas, revision: main}", "is no hub id"),
        ("{model: lab/tiny, revision: 'v2@x'}", "line 3, `subjects[0].revision[0]`"),
        ("{model: lab/tiny, revision: 7}", "line 3, `subjects[0].revision"),
        ("{model: lab/tiny, revision: [v1, v1]}", "subjects tiny-v1 more than once; give each a `label`"),
    ],
)
def test_what_is_no_version_is_told_with_its_line(subjects, told, tmp_path):
    model(tmp_path / "run" / "step-1")
    with pytest.raises(UnreadableFile) as raised:
        read(subjects, tmp_path)
    assert told in str(raised.value)


def cells(more, tmp_path, **settings):
    path = tmp_path / "spec.yaml"
    path.write_text(f"audit: a\nsubjects: [{{model: atlas}}]\n{ASKED}{more}")
    spec, lined = read_spec(path)
    return cells_of(spec, lined, tmp_path, Settings(home=tmp_path, **settings))


def test_controls_of_a_spec_go_before_the_settings_and_belong_to_the_question(tmp_path):
    (plain,) = cells("", tmp_path)
    (as_set,) = cells("", tmp_path, refute="protocol", refute_attempts=3)
    (as_said,) = cells("controls: {refute: protocol, refute_attempts: 3}\n", tmp_path, refute_attempts=5)
    assert json.loads(as_said.how)["refute_attempts"] == 3
    assert as_said.key("weights") == as_set.key("weights") != plain.key("weights")


def test_whose_words_are_used_belongs_to_the_question_also_where_code_plans(tmp_path):
    (one,) = cells("controls: {refute: llm}\n", tmp_path, planner_model="one")
    (other,) = cells("controls: {refute: llm}\n", tmp_path, planner_model="other")
    assert (one.by, other.by) == ("one", "other")
    assert one.key("weights") != other.key("weights")
    assert cells("", tmp_path, planner_model="one")[0].by == ""


def test_nothing_is_hidden_from_code(tmp_path):
    with pytest.raises(UnreadableFile, match=r"line 4, `controls\.blind`: `blind` is names, but code plans"):
        cells("controls: {blind: names}\n", tmp_path)
    with pytest.raises(UnreadableFile, match=r"`controls\.refute_attempts`: Input should be less than or equal to 20"):
        cells("controls: {refute_attempts: 21}\n", tmp_path)
    (only,) = cells("", tmp_path, blind="names")  # as set for all runs, whoever plans them
    assert json.loads(only.how)["blind"] == "off"
