"""The whole path on the reference model, whose truth is known."""

import contextlib
import json
import shutil
import sqlite3
from contextlib import closing

import ormsgpack
import pytest
from conftest import make_subject
from finished_runs import DALLAS, finish
from vesalius.agent.asking import Where, desk_for, start_run
from vesalius.agent.investigation import investigate
from vesalius.agent.ledger import Ledger, LedgerError, read_ledger
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.rebuilding import record_drifts
from vesalius.agent.report.schema import Sentence, read_report
from vesalius.agent.runs import RunFolder, UnknownRun
from vesalius.tools import ToolError, load_subject

TRUE_SITES = {"resid_post.0", "resid_post.1"}


def supported(report, kind):
    return [c for c in report.claims if c.hypothesis.kind == kind and c.judgement.verdict == "supported"]


def about_sites(claims):
    return [claim for claim in claims if claim.prediction.arms[0].tool == "patch"]


def about_names(claims):
    return [claim for claim in claims if claim.prediction.arms[0].tool == "supernode_effect"]


def sites(claim):
    return set(claim.prediction.arms[0].args["sites"])


def test_the_state_is_found_where_it_was_placed(dallas):
    claims = supported(dallas.report, "variable")
    assert claims
    assert all(sites(c) <= TRUE_SITES for c in claims)
    assert {c.judgement.tier for c in claims} == {"replicated"}
    assert all(c.judgement.moved_share >= 0.9 for c in claims)


def test_it_is_found_gone_where_it_was_read(dallas):
    (claim,) = about_sites(supported(dallas.report, "absence"))
    assert sites(claim) == {"resid_post.2"}


def test_features_for_the_answer_keep_their_name_and_those_for_the_state_do_too_little_on_new_cities(dallas):
    claims = about_names(dallas.report.claims)
    found = {(c.prediction.arms[0].args["supernode"], c.prediction.direction, c.judgement.verdict) for c in claims}
    assert found == {
        ("Texas", "positive", "inconclusive"),
        ("Say (Austin)", "positive", "supported"),
        ("Say (Austin)", "none", "supported"),
    }
    (texas,) = (c.judgement for c in claims if c.prediction.arms[0].args["supernode"] == "Texas")
    assert "its lower end has to be above 0.05" in texas.reason


def test_claims_about_names_confirm_on_no_prompt_that_anything_was_seen_on(dallas):
    def pairs(phases):
        found = set()
        for record in dallas.report.measurements:
            if record.phase in phases and record.measurement.tool in ("patch", "supernode_effect"):
                found |= {pair["base"] for pair in record.measurement.args["pairs"]}
        return found

    named = {
        p["base"] for c in about_names(dallas.report.claims) for arm in c.prediction.arms for p in arm.args["pairs"]
    }
    probes = {
        probe["text"]
        for record in dallas.report.measurements
        if record.measurement.tool == "probe_prompts"
        for probe in record.measurement.result["probes"]
        if not probe["held_out"]
    }
    assert named
    assert not named & pairs(("explore",))
    assert not any(text.startswith(prompt) for prompt in named for text in probes)


def test_no_claim_is_made_about_sites_that_are_trivial(dallas):
    claimed = {(*sites(c), c.prediction.arms[0].args["positions"][0]) for c in about_sites(dallas.report.claims)}
    assert ("resid_pre.0", "entity") not in claimed
    assert ("resid_post.3", "last") not in claimed


def test_discovery_and_confirmation_share_no_prompt(dallas):
    def prompts(phases):
        found = set()
        for record in dallas.report.measurements:
            if record.phase in phases and record.measurement.tool == "patch":
                args = record.measurement.args
                found |= {p[k] for p in args["pairs"] for k in ("base", "corrupted", "source") if p[k]}
        return found

    assert prompts({"confirm"})
    assert not prompts({"explore"}) & prompts({"confirm", "control"})


def test_reference_prompts_hold_no_confirmation_entity(dallas):
    for record in dallas.report.measurements:
        args = record.measurement.args
        if record.phase == "confirm" and record.measurement.tool == "patch":
            entities = {pair["base_entity"] for pair in args["pairs"]}
            assert not entities & {entry["entity"] for entry in args["reference"]}


def test_every_confirmation_has_an_exact_no_op_and_twenty_random_draws(dallas):
    confirmations = [r.measurement for r in dallas.report.measurements if r.phase == "confirm"]
    assert confirmations
    for measurement in confirmations:
        assert measurement.result["no_op_change"] == 0.0
        assert all(len(cell["random_effects"]) >= 20 for cell in measurement.result["cells"])


def test_every_claim_was_measured_on_the_twin_which_answers_nothing(dallas):
    by_id = {r.measurement.id: r.measurement for r in dallas.report.measurements}
    for claim in dallas.report.claims:
        twins = [by_id[i] for i in claim.measurements if by_id[i].subject.reinit_seed is not None]
        assert twins
        assert all(cell["moved"] <= 0.1 for m in twins for cell in m.result["cells"])


def test_predictions_were_sealed_before_they_were_measured(dallas):
    entries = read_ledger(dallas.folder.ledger)
    for claim in dallas.report.claims:
        sealed = next(e for e in entries if e.key == f"sealed:{claim.prediction.id}")
        arms = [e for e in entries if e.key.startswith(f"confirmed:{claim.prediction.id}:")]
        assert arms
        assert all(e.seq > sealed.seq for e in arms)
        assert claim.sealed == sealed.hash
    assert dallas.report.ledger_digest == entries[-1].hash


def test_progress_tells_what_is_measured_and_why(dallas):
    started = [e for e in dallas.events if e["event"] == "started"]
    finished = [e for e in dallas.events if e["event"] == "finished"]
    assert len(started) == len(finished) == len(dallas.report.measurements)
    assert all(e["why"] for e in started)
    assert all(e["measurement"].startswith("m-") for e in finished)


@pytest.fixture(scope="module")
def later(dallas, atlas, home):
    """The same question once more, with the memory of the first run."""
    return finish(Where(home), atlas, DALLAS).report


@pytest.mark.slow
def test_a_second_run_measures_the_same_numbers(dallas, later):
    first = {r.measurement.id: r.measurement.digest for r in dallas.report.measurements}
    again = {r.measurement.id: r.measurement.digest for r in later.measurements}
    left_out = {r.measurement.id for r in dallas.report.measurements if r.measurement.tool == "describe_feature"}
    assert again == {name: digest for name, digest in first.items() if name in again}
    assert first.keys() - again.keys() <= left_out


@pytest.mark.slow
def test_a_later_run_reuses_findings_and_names_their_run(dallas, later):
    assert {finding.run for finding in later.reused} == {dallas.report.run}
    described = [r for r in later.measurements if r.measurement.tool == "describe_feature"]
    before = [r for r in dallas.report.measurements if r.measurement.tool == "describe_feature"]
    assert len(described) < len(before)


def test_findings_about_other_weights_are_not_reused(dallas, atlas, home, tmp_path):
    shutil.copytree(atlas.folder, tmp_path / "other")
    twin = atlas.twin(seed=5)
    twin.model.save_pretrained(tmp_path / "other")
    other = load_subject(str(tmp_path / "other"), device="cpu")
    assert other.key.fingerprint != atlas.key.fingerprint
    assert finish(Where(home), other, DALLAS).report.reused == ()


def test_a_wrong_capital_ends_with_the_premise_and_no_claim(atlas, tmp_path):
    report = finish(Where(tmp_path, use_memory=False), atlas, DALLAS.replace("Austin", "Boston")).report
    assert report.premise.holds is False
    assert report.claims == ()
    assert "does not hold" in report.answer[0].text


@pytest.mark.parametrize(
    ("answer", "message"),
    [("Mordor", "vocabulary lacks 'Mordor'"), ("Austin Texas", "splits 'Austin Texas' into 2 tokens")],
)
def test_an_answer_the_model_cannot_give_is_refused_before_a_run_begins(atlas, tmp_path, answer, message):
    with pytest.raises(ToolError, match=message):
        start_run(Where(tmp_path), atlas, DALLAS.replace("Austin", answer), seed=0, device="cpu")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_run_taken_up_again_ends_with_the_same_ledger(dallas, atlas, tmp_path):
    where = Where(tmp_path)  # with a memory as empty as that of the run that was not stopped
    folder = start_run(where, atlas, DALLAS, seed=0, device="cpu")
    # What had been measured when a run was stopped lies in its folder; here all but a few that are left to be made.
    kept = [record.measurement for record in dallas.report.measurements]
    for measurement in (one for number, one in enumerate(kept) if number % 8):
        folder.keep(measurement)
    for stop_after in (3, 9, 30):
        with desk_for(where, atlas, folder) as desk:
            events = investigate(desk, DALLAS)
            seen = 0
            for event in events:
                seen += event["event"] == "finished"
                if seen == stop_after:
                    break
            events.close()
    with desk_for(where, atlas, folder) as desk:
        list(investigate(desk, DALLAS))
    assert read_ledger(folder.ledger)[-1].hash == read_ledger(dallas.folder.ledger)[-1].hash


def test_a_run_is_not_continued_on_other_weights(dallas):
    other = make_subject("gpt2")
    with (
        pytest.raises(ToolError, match="have changed since"),
        desk_for(Where(dallas.folder.path), other, dallas.folder),
    ):
        pass


def test_two_processes_cannot_work_on_one_run(dallas, atlas):
    where = Where(dallas.folder.path)
    with Ledger(dallas.folder.ledger), pytest.raises(LedgerError), desk_for(where, atlas, dallas.folder):
        pass


def test_where_takes_contrast_pairs(atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "antonym")
    rows = [row.slots for row in family.rows if row.split == "train"][:30]
    pairs = tuple(
        ContrastPair(
            clean=f"the opposite of {one['word']} is",
            corrupted=f"the opposite of {other['word']} is",
            answer=one["opposite"],
            foil=other["opposite"],
        )
        for one, other in zip(rows, rows[3:] + rows[:3], strict=True)
        if one["opposite"] != other["opposite"]
    )
    report = finish(Where(tmp_path, use_memory=False), atlas, "Where is antonymy computed?", pairs).report
    assert report.premise.holds
    assert supported(report, "mediation")
    assert {c.judgement.tier for c in report.claims} <= {"observed", "causal", "controlled"}


def test_a_feature_that_has_a_name_is_tested_on_prompts_of_other_wordings(atlas, tmp_path):
    done = finish(Where(tmp_path, use_memory=False), atlas, "What does feature 0/88 stand for?")
    (claim,) = done.report.claims
    assert "`ticket`" in claim.sentence.text
    assert (claim.judgement.verdict, claim.judgement.tier) == ("supported", "controlled")
    assert claim.prediction.expected > 0.5
    contrasts = [r for r in done.report.measurements if r.measurement.tool == "feature_contrast"]
    explored, confirmed = (
        {pair["base"] for r in contrasts if r.phase == phase for pair in r.measurement.args["pairs"]}
        for phase in ("explore", "confirm")
    )
    assert explored
    assert confirmed
    assert not explored & confirmed
    assert done.report.coverage.units_looked_at == 1, "what was explored and confirmed counts once"


def test_a_feature_without_one_name_is_left_unnamed_and_nothing_is_claimed(atlas, tmp_path):
    report = finish(Where(tmp_path, use_memory=False), atlas, "What does feature 0/7 stand for?").report
    assert not report.claims
    assert any("unnamed" in sentence.text for sentence in report.answer)


def test_an_unknown_run_is_answered_with_the_newest_there_are(tmp_path, dallas):
    info = dallas.folder.info
    days = [info.model_copy(update={"created": f"2026-01-0{day}T00:00:00+00:00"}) for day in range(1, 8)]
    made = [RunFolder.create(tmp_path, day).name for day in days]
    with pytest.raises(UnknownRun, match="nonsense") as refused:
        RunFolder.open(tmp_path, "nonsense")
    assert [name in str(refused.value) for name in made] == [False, False, True, True, True, True, True]
    assert RunFolder.open(tmp_path, "last").name == made[-1]


def test_the_report_reads_back_as_it_was_written(dallas):
    assert read_report(dallas.folder.path / "report.json") == dallas.report
    assert json.loads((dallas.folder.path / "report.json").read_text())["schema_version"] == "1"


@pytest.mark.external
def test_a_model_nobody_here_made_is_explained(external, tmp_path):
    subject = load_subject(str(external / "models" / "stories260k-hf"), device="cpu")
    question = "Why does the model answer 'she' after 'Once upon a time there was a little girl named Lily. One day,'?"
    report = finish(Where(tmp_path, use_memory=False), subject, question).report
    assert report.premise.holds
    assert any("girl" in c.hypothesis.statement for c in supported(report, "mediation"))
    assert any("No dictionary" in s.text for s in report.not_found)


@pytest.mark.external
@pytest.mark.parametrize(("prompt", "verdict"), [("BBABCBABBB", "supported"), ("CBABCAAA", "inconclusive")])
def test_a_model_of_three_letters_is_explained_where_it_has_prompts_enough(external, tmp_path, prompt, verdict):
    subject = load_subject(str(external / "models" / "gpt-nano-sort-hf"), device="cpu")
    question = f"Why does the model answer 'B' after '{prompt}'?"
    report = finish(Where(tmp_path, use_memory=False), subject, question).report
    assert report.premise.holds
    assert {claim.judgement.verdict for claim in report.claims} == {verdict}
    reasons = {"Too few clusters" in claim.judgement.reason for claim in report.claims}
    assert reasons == {verdict == "inconclusive"}


def test_a_checkpoint_that_holds_code_is_never_run(dallas, atlas, tmp_path):
    shutil.copytree(dallas.folder.path, tmp_path / "runs" / "foreign")
    victim = tmp_path / "touched"
    payload = ormsgpack.packb(
        ormsgpack.Ext(0, ormsgpack.packb(("os", "system", f"touch {victim}"))), option=ormsgpack.OPT_NON_STR_KEYS
    )
    with closing(sqlite3.connect(tmp_path / "runs" / "foreign" / "state.sqlite")) as connection:
        connection.execute("update checkpoints set checkpoint = ?", (payload,))
        connection.commit()
    folder = RunFolder.open(tmp_path, "foreign")
    with desk_for(Where(tmp_path, use_memory=False), atlas, folder) as desk, contextlib.suppress(Exception):
        list(investigate(desk, DALLAS))
    assert not victim.exists()


def test_a_report_that_says_something_else_than_its_record_has_drifted(dallas, atlas, home):
    def drifts(report):
        return {d.path or d.id for d in record_drifts(report, Where(home, use_memory=False), atlas, dallas.folder)}

    claim = dallas.report.claims[0]
    reworded = claim.model_copy(update={"sentence": Sentence(text="The model dreams of sheep.")})
    coverage = dallas.report.coverage.model_copy(update={"units_looked_at": 7})
    changed = dallas.report.model_copy(update={"claims": (reworded, *dallas.report.claims[1:]), "coverage": coverage})
    found = drifts(changed)
    assert {"claims.0.sentence.text", "coverage.units_looked_at", "report.html"} <= found
    assert not {path for path in found if path.startswith(("claims.1.", "answer", "premise"))}  # these were left as is


def test_the_units_of_the_report_are_those_of_the_judge(dallas):
    gate = next(g for g in dallas.report.claims[0].judgement.gates if g.name == "permutation")
    assert f"among {dallas.report.coverage.units_looked_at} units" in gate.reason
