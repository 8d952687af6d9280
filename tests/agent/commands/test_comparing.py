"""`vesalius compare`: statuses, files, JSON and errors, on a report of one claim."""

import json
import shutil

import pytest
from typer.testing import CliRunner
from vesalius.agent.cli import app
from vesalius.agent.comparing.results import Compared
from vesalius.agent.report.schema import Report
from vesalius.evals.organisms.edited import silent_head, write


@pytest.fixture(scope="module")
def one_claim(dallas, tmp_path_factory):
    """The finished run's report with the claim about the head that one of the edited models lacks."""
    report = dallas.report
    (claim,) = (c for c in report.claims if c.prediction.arms[0].args.get("sites") == ["head.2.0"])
    kept = {**dict(report), "claims": (claim,), "answer": (), "not_found": (), "black_box": ()}
    path = tmp_path_factory.mktemp("one") / "report.json"
    path.write_text(Report.model_validate(kept).model_dump_json())
    return path


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    return write(silent_head(), tmp_path_factory.mktemp("models") / "silent")


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_the_same_model_twice_holds_and_ends_with_nothing_flagged(one_claim, tmp_path):
    found = run(one_claim, "atlas", "--home", tmp_path, "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert [one["label"] for one in told["retested"]["claims"]] == ["held"]
    assert told["weights"]["told"] == "All weights are equal to the last bit."
    assert told["flagged"] is False


def test_a_broken_claim_ends_with_one_and_its_files_are_whole(one_claim, silent, tmp_path):
    found = run(one_claim, silent, "--out", tmp_path / "out", "--home", tmp_path / "home")
    assert found.exit_code == 1, found.output
    assert "1 claim: 1 broke." in found.stdout
    assert "Changed: attention out of block 2; all else is equal to the last bit." in found.stdout
    folder = tmp_path / "out"
    made = Compared.model_validate_json((folder / "comparison.json").read_text())
    assert made.retested.claims[0].judgement.effect == 0
    assert "Comparison of two models" in (folder / "comparison.html").read_text()
    assert (folder / "comparison.md").read_text().startswith("# Comparison")
    assert f'id="{made.retested.claims[0].claim}"' in (folder / "report.html").read_text()
    checked = CliRunner().invoke(app, ["verify", str(folder), "--home", str(tmp_path / "home")])
    assert checked.exit_code == 0, checked.output
    assert "built again from ledger and measurements" in checked.stdout


def test_the_same_comparison_again_says_the_same(one_claim, tmp_path):
    said = [run(one_claim, "atlas", "--home", tmp_path, "--json").stdout for _ in range(2)]
    assert said[0] == said[1]
    assert len(list((tmp_path / "comparisons").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["atlas"], "Only one of the two was given"),
        (["nothing", "atlas"], "There is no run 'nothing'"),
        (["atlas", "atlas"], "Ask first: vesalius ask 'QUESTION' --model atlas"),
        (["REPORT", "nothing"], "There is no run 'nothing'"),
        (["REPORT", "./no/model"], "cannot be loaded"),
        (["REPORT", "atlas", "--pairs", "x.csv"], "Give --question too"),
        (["atlas", "atlas", "--question", "Tell me more"], "no form that the protocol planner reads"),
    ],
)
def test_what_cannot_be_compared_ends_with_two_and_the_mend(one_claim, tmp_path, arguments, message):
    given = [str(one_claim) if one == "REPORT" else one for one in arguments]
    found = run(*given, "--home", tmp_path)
    assert found.exit_code == 2
    assert message in found.stderr.replace("\n", " ")


def test_a_run_as_b_is_set_beside_as_well(dallas, one_claim, tmp_path):
    shutil.copytree(dallas.folder.path, tmp_path / "runs" / dallas.folder.name)
    found = run(one_claim, "last", "--home", tmp_path, "--json")
    assert found.exit_code == 0, found.output
    beside = json.loads(found.stdout)["beside"]
    assert len(beside) == len(dallas.report.claims)
    (both,) = (row for row in beside if row["a"])
    assert both["place"] == "head.2.0 at last"
    assert both["b"] == both["a"]
