"""`vesalius audit` as a person and a release use it."""

import json

import pytest
from agent_audited import a_claim, answered
from typer.testing import CliRunner
from vesalius.agent.audit.cells import cells_of
from vesalius.agent.audit.spec import read_spec
from vesalius.agent.audit.store import Store
from vesalius.agent.cli import app
from vesalius.agent.settings import Settings

SPEC = """\
audit: nightly
subjects: [{model: atlas}, {model: atlas, label: next}]
items:
  - {id: austin, question: "Why does the model answer 'Austin' after 'the capital of Texas is'?", fails_if: [refuted]}
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return path


def run(home, *arguments):
    return CliRunner().invoke(app, ["audit", *map(str, arguments), "--home", str(home)])


def keep(spec, home, *claims):
    """As if the first cell had been asked."""
    read, lined = read_spec(spec)
    first, _ = cells_of(read, lined, spec.parent, Settings(home=home))
    store = Store(home, "nightly")
    store.keep_weights(first.model, "weights")
    store.keep(first, answered(first, *claims), 30.0)


def test_a_spec_is_validated_and_planned_before_anything_is_loaded(spec, tmp_path):
    assert run(tmp_path, "validate", spec).stdout == f"{spec} can be run: 2 cells.\n"
    planned = json.loads(run(tmp_path, "plan", spec, "--json", "--workers", "2").stdout)
    assert (planned["n_cells"], planned["n_done"], planned["seconds"], planned["most_tokens"]) == (2, 0, None, 0)
    keep(spec, tmp_path)
    planned = json.loads(run(tmp_path, "plan", spec, "--json", "--workers", "2").stdout)
    assert (planned["n_done"], planned["seconds"], planned["n_timed"]) == (1, 30.0, 1)
    assert [cell["done"] for cell in planned["cells"]] == [True, False]


def test_a_plan_tells_the_limits_of_the_whole_audit_and_where_it_would_run(spec, tmp_path):
    spec.write_text(SPEC + "planner: llm\nbudget: tokens=1000\ntokens: 1500\nseconds: 600\n")
    planned = json.loads(run(tmp_path, "plan", spec, "--json").stdout)
    assert (planned["most_tokens"], planned["most_seconds"]) == (1500, 600.0)
    spec.write_text(SPEC + "planner: llm\nbudget: tokens=1000\n")
    assert json.loads(run(tmp_path, "plan", spec, "--json").stdout)["most_tokens"] == 2000
    spec.write_text(SPEC + "planner: llm\nseconds: 600\n")
    told = run(tmp_path, "plan", spec).stdout
    assert "no cell is begun after 10 min; at most 2,000,000 tokens." in told
    assert run(tmp_path, "plan", spec, "--on", "mars").exit_code == 2


def test_how_far_it_is_stands_model_by_model(spec, tmp_path):
    keep(spec, tmp_path, a_claim(verdict="refuted"))
    told = json.loads(run(tmp_path, "status", spec, "--json").stdout)
    assert told["subjects"] == [
        {"subject": "atlas", "cells": 1, "done": 1, "fail": 1},
        {"subject": "next", "cells": 1, "done": 0, "fail": 0},
    ]


def test_a_table_is_written_as_far_as_it_is_done_and_its_status_stops_a_release(spec, tmp_path):
    assert run(tmp_path, "report", spec).exit_code == 2, "nothing is done"
    keep(spec, tmp_path, a_claim(verdict="refuted"))
    done = run(tmp_path, "report", spec, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (told["cells"], told["done"], told["fail"]) == (2, 1, 1)
    assert {path.name for path in (tmp_path / "audits" / "nightly").iterdir()} > {*told["files"]}
    assert "not done" in run(tmp_path, "report", spec).stdout


@pytest.mark.parametrize("command", ["validate", "plan", "run", "status", "report"])
def test_a_spec_that_cannot_be_read_is_one_sentence_and_leaves_nothing(command, tmp_path):
    (tmp_path / "bad.yaml").write_text("audit: x\nsubjects: []\n")
    done = run(tmp_path / "home", command, tmp_path / "bad.yaml")
    assert done.exit_code == 2
    assert "line 2, `subjects`" in done.stderr
    assert not (tmp_path / "home").exists()
