"""A language model behind the command line: it writes probes and scores names, and its key is nowhere to be found."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from finished_runs import DALLAS
from scripted_endpoint import KEY, says, serving
from vesalius.agent.asking import Where
from vesalius.agent.rebuilding import record_drifts
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import RunFolder
from vesalius.tools import get_tool
from written_probes import writer

KNOWS_TEXAS = ("Texas", "Dallas", "Waco", "Lubbock", "Plano", "Laredo")


def run(*arguments: str, home, **settings: str) -> tuple[int, str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("VESALIUS_PLANNER")}
    env |= {"VESALIUS_HOME": str(home), **{f"VESALIUS_PLANNER_{k.upper()}": v for k, v in settings.items()}}
    command = [sys.executable, "-m", "vesalius.agent", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def judge(about: dict) -> tuple[int, str]:
    """Yes to what says its name, or a place of Texas for Texas."""
    said = about["text"].replace("<<", "").replace(">>", "").split()
    words = KNOWS_TEXAS if about["name"] == "Texas" else (about["name"].removeprefix("Say (").rstrip(")"),)
    return says("yes" if set(words) & set(said) else "no")


@pytest.fixture(scope="module")
def asked(atlas, tmp_path_factory):
    """One question whose probes a language model wrote, and its names scored by the same."""
    family = next(family for family in atlas.tasks if family.name == "two_hop")
    writes = writer([row.slots for row in family.rows])

    def answer(request):
        about = json.loads(request["messages"][1]["content"])
        return judge(about) if "reads_as" in about else writes(request)

    home = tmp_path_factory.mktemp("language")
    with serving(answer) as played:
        settings = {"url": played.url, "model": "tiny", "key": KEY}
        told = [run("ask", DALLAS, "--probes", "llm", "--json", home=home, **settings)]
        told.append(run("score-names", "--permutations", "1", "--json", home=home, **settings))
        n = len(played.asked)
        told.append(run("score-names", "--permutations", "1", "--json", home=home, **settings))
        assert len(played.asked) == n, "answers from before were asked again"
    assert [status for status, _, _ in told] == [0, 0, 0], told
    return home, RunFolder.open(home, "last"), told


@pytest.mark.slow
def test_the_report_says_who_wrote_the_probes(asked):
    _, folder, _ = asked
    report = read_report(folder.path / "report.json")
    assert report.planner == "protocol, probes by tiny"
    probed = [r for r in report.measurements if r.measurement.tool == "probe_prompts"]
    assert len(probed) == 9
    assert all("`tiny-2025`" in record.why for record in probed)
    assert all(record.measurement.result["maker"] == "given" for record in probed)
    for page in ("report.md", "report.html"):
        assert "probes by tiny" in (folder.path / page).read_text()


@pytest.mark.slow
def test_names_from_written_probes_are_sealed_and_judged_as_others(asked):
    _, folder, _ = asked
    claims = read_report(folder.path / "report.json").claims
    arms = [claim.prediction.arms[0] for claim in claims]
    named = {arm.args["supernode"] for arm in arms if arm.tool == "supernode_effect"}
    assert "Texas" in named


@pytest.mark.slow
def test_it_is_measured_again_with_nobody_to_ask(asked, atlas):
    home, folder, _ = asked
    report = read_report(folder.path / "report.json")
    assert record_drifts(report, Where(home, use_memory=False), atlas, folder) == []
    probed = next(r.measurement for r in report.measurements if r.measurement.tool == "probe_prompts")
    instrument = get_tool("probe_prompts")
    assert instrument.measure(atlas, instrument.parse(probed.args)).digest == probed.digest


@pytest.mark.slow
def test_scores_say_who_scored_and_that_they_may_come_out_otherwise(asked, atlas):
    home, folder, told = asked
    scored = json.loads(told[1][1])
    assert (scored["result"]["simulator"], scored["result"]["scorer"]) == ("judgements", "tiny")
    assert scored["deterministic"] is False
    assert json.loads(told[2][1])["digest"] == scored["digest"]
    texas = [one for one in scored["result"]["features"] if one["name"] == "Texas" and one["detection"]]
    assert texas
    instrument = get_tool("score_names")
    again = instrument.measure(atlas, instrument.parse(folder.measurement(scored["id"]).args))
    assert again.digest == scored["digest"]
    status, out, _ = run("score-names", "--by", "simulator", "--no-memory", home=home)
    assert status == 0
    assert "the deterministic simulator, no language model" in out


@pytest.mark.slow
def test_cards_carry_the_scores_and_their_scorer(asked):
    home, _, _ = asked
    _, out, _ = run("memory", "search", "Texas", "--kind", "feature_cards", "--limit", "50", "--json", home=home)
    scorers = {hit["scorer"] for hit in json.loads(out)["hits"]}
    assert "judgements of tiny" in scorers


@pytest.mark.slow
def test_the_key_is_in_no_file_and_no_output(asked):
    home, _, told = asked
    assert not any(KEY in out + err for _, out, err in told)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.slow
def test_more_questions_than_allowed_are_not_asked(asked, tmp_path):
    _, folder, _ = asked
    shutil.copytree(folder.path, tmp_path / "runs" / folder.name, ignore=shutil.ignore_patterns("answers"))
    with serving(says("yes")) as played:
        status, _, err = run("score-names", "--most", "3", home=tmp_path, url=played.url, model="tiny")
    assert (status, played.asked) == (2, [])
    assert "Raise --most" in err


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("ask", DALLAS, "--probes", "llm"), {}, "Set VESALIUS_PLANNER_URL"),
        (("ask", DALLAS, "--probes", "llm"), {"url": "http://127.0.0.1:9/v1"}, "Set VESALIUS_PLANNER_MODEL"),
        (
            ("ask", DALLAS, "--probes", "llm"),
            {"url": "https://api.example.org/v1", "model": "tiny"},
            "Set VESALIUS_PLANNER_KEY",
        ),
        (("ask", DALLAS, "--probes", "oracle"), {}, "'protocol' or 'llm'"),
        (("score-names", "--by", "llm"), {}, "Set VESALIUS_PLANNER_URL"),
        (("score-names", "--by", "oracle"), {}, "Scorers: llm, simulator"),
        (("score-names",), {}, "There is no run"),
    ],
)
def test_what_is_lacking_is_said_before_a_run_begins(arguments, settings, message, tmp_path):
    status, _, err = run(*arguments, home=tmp_path, **settings)
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()
