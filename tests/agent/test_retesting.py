"""Claims of a finished run tested again: on the same weights all hold, on copies with one known edit only that is told.

The short tests take the claims that an edit is about, and their neighbours; the whole report is for `slow`.
"""

import json
from functools import cache

import pytest
from vesalius.agent.asking import Where
from vesalius.agent.comparing.results import FLAGGED
from vesalius.agent.ledger import LedgerError, read_ledger
from vesalius.agent.rebuilding import record_drifts
from vesalius.agent.rejudging import rejudged
from vesalius.agent.report.schema import read_report
from vesalius.agent.report.verify import verify
from vesalius.agent.retesting import retest, retest_folder
from vesalius.evals.organisms.edited import CITY, EDITS, HEAD, LAYER, OTHER_HEAD
from vesalius.tools import ToolError

HEAD_SITE, OTHER_SITE = f"head.{LAYER}.{HEAD}", f"head.{LAYER}.{OTHER_HEAD}"


@cache
def edit_of(name):
    return EDITS[name]()


def site_of(claim):
    return next(iter(claim.prediction.arms[0].args.get("sites", ())), "")


def about(report, *sites):
    """A report of these claims alone."""
    claims = tuple(claim for claim in report.claims if site_of(claim) in sites)
    assert len({site_of(claim) for claim in claims}) == len(sites)
    asked = [record for record in report.measurements if record.measurement.tool != "next_token"]
    first = next(record for record in report.measurements if record.measurement.tool == "next_token")
    return report.model_copy(update={"claims": claims, "measurements": (first, *asked)})


def again(report, subject, path, progress=lambda done, total, what: None):
    folder = retest_folder(path, [report], subject, seed=0)
    return retest([report], subject, folder, progress), folder


def by_site(found):
    return {site_of(one): one for one in found.claims}


def without_dictionary(claims):
    """What does not rest on features: a folder that was just written has no dictionary."""
    return [one for one in claims if one.label != "not testable"]


def test_on_the_same_weights_every_claim_holds_with_the_same_effect(dallas, atlas, tmp_path):
    report = about(dallas.report, HEAD_SITE, "attn_out.2", "resid_post.2")
    found, _ = again(report, atlas, tmp_path / "same")
    assert {one.label for one in found.claims} == {"held"}
    assert [one.judgement.effect for one in found.claims] == [one.earlier.effect for one in found.claims]
    assert not found.flagged
    assert all(one.less.mean == 0 for one in found.claims if one.less)


def test_a_head_under_another_name_is_found_there_and_nothing_else_is_flagged(dallas, tmp_path):
    report = about(dallas.report, HEAD_SITE, "attn_out.2")
    found, _ = again(report, edit_of("swapped_heads").subject, tmp_path / "swapped")
    sites = by_site(found)
    assert sites["attn_out.2"].label == "held"
    moved = sites[HEAD_SITE]
    assert moved.label == "moved"
    assert [one.place for one in moved.elsewhere] == [OTHER_SITE]
    assert moved.elsewhere[0].judgement.effect == pytest.approx(moved.earlier.effect, abs=1e-3)
    assert moved.looked_at == 15
    assert found.n_tests > len(found.claims)  # what was searched counts
    assert found.flagged


def test_a_silent_head_is_broke_and_the_heads_that_stand_in_are_named(dallas, tmp_path):
    report = about(dallas.report, HEAD_SITE, "attn_out.2")
    found, _ = again(report, edit_of("silent_head").subject, tmp_path / "silent")
    sites = by_site(found)
    assert (sites[HEAD_SITE].label, sites[HEAD_SITE].cause) == ("broke", "mechanism")
    assert sites[HEAD_SITE].judgement.effect == 0
    assert f"made up for at `{OTHER_SITE}`" in sites[HEAD_SITE].reason
    assert sites["attn_out.2"].label == "held"


def test_a_fact_that_moved_breaks_the_premise_and_no_claim_about_other_cities(dallas, tmp_path):
    report = about(dallas.report, HEAD_SITE, "attn_out.2")
    found, _ = again(report, edit_of("moved_fact").subject, tmp_path / "fact")
    assert {one.label for one in found.claims} == {"held"}
    (premise,) = found.behaviours
    assert premise.gone
    assert premise.lost[0].answer == "Austin"
    assert premise.lost[0].now.strip() == "Sacramento"
    assert CITY in premise.lost[0].prompt
    assert found.flagged


def test_predictions_are_sealed_as_they_were_and_before_anything_is_measured(dallas, atlas, tmp_path):
    report = about(dallas.report, "attn_out.2")
    _, folder = again(report, atlas, tmp_path / "sealed")
    entries = read_ledger(folder.ledger)
    (sealed,) = (entry for entry in entries if entry.kind == "sealed")
    (claim,) = report.claims
    theirs, ours = claim.prediction.model_dump(mode="json"), sealed.body["proposal"]["prediction"]
    assert {k: v for k, v in ours.items() if k not in ("id", "hypothesis")} == {
        k: v for k, v in theirs.items() if k not in ("id", "hypothesis")
    }
    assert sealed.body["of"] == {"run": report.run, "claim": claim.id, "sealed": claim.sealed}
    assert sealed.seq < min(entry.seq for entry in entries if entry.kind in ("confirmed", "measurement"))
    assert next(e for e in entries if e.kind == "question").body["reports"][0]["run"] == report.run


def test_every_number_can_be_measured_again_and_the_report_built_again(dallas, tmp_path):
    edited = edit_of("swapped_heads")
    report = about(dallas.report, HEAD_SITE)
    _, folder = again(report, edited.subject, tmp_path / "verified")
    (folder.path / "comparison.json").write_text("{}")
    made = read_report(folder.path / "report.json")
    checked = verify(made, lambda name: edited.subject, rejudge=lambda results: rejudged(made, results))
    assert (checked.drifted, checked.not_reproducible) == ((), ())
    assert checked.bit_identical == checked.measurements
    assert record_drifts(made, Where(tmp_path, use_memory=False), edited.subject, folder) == []


def test_a_comparison_that_was_stopped_goes_on_to_the_same_ledger(dallas, tmp_path):
    subject = edit_of("swapped_heads").subject
    report = about(dallas.report, HEAD_SITE)

    class Killed(Exception):
        pass

    def kill(done, total, what):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        again(report, subject, tmp_path / "stopped", kill)
    found, folder = again(report, subject, tmp_path / "stopped")
    whole, other = again(report, subject, tmp_path / "whole")
    assert folder.ledger.read_bytes() == other.ledger.read_bytes()
    assert found.claims == whole.claims


def test_progress_ends_at_its_total(dallas, atlas, tmp_path):
    seen = []
    again(about(dallas.report, "attn_out.2"), atlas, tmp_path / "progress", lambda *now: seen.append(now[:2]))
    dones, totals = zip(*seen, strict=True)
    assert dones == tuple(range(len(seen)))
    assert set(totals) == {len(seen)}


def test_a_folder_of_another_comparison_is_refused(dallas, atlas, tmp_path):
    report = about(dallas.report, "attn_out.2")
    retest_folder(tmp_path / "one", [report], atlas, seed=0)
    with pytest.raises(ToolError, match="Give another folder"):
        retest_folder(tmp_path / "one", [report], atlas, seed=1)


def test_a_ledger_that_was_changed_is_refused(dallas, atlas, tmp_path):
    report = about(dallas.report, "attn_out.2")
    _, folder = again(report, atlas, tmp_path / "changed")
    text = folder.ledger.read_text()
    folder.ledger.write_text(text.replace('"confirm"', '"explore"', 1))
    with pytest.raises(LedgerError, match="ledger"):
        again(report, atlas, tmp_path / "changed")


def test_a_site_that_is_not_there_and_words_that_are_not_known_are_not_testable(dallas, subject_of, atlas, tmp_path):
    report = about(dallas.report, "attn_out.2")
    found, _ = again(report, subject_of("llama"), tmp_path / "other")
    (claim,) = found.claims
    assert claim.label == "not testable"
    assert "vocabulary lacks" in claim.reason
    (claim,) = report.claims
    arms = [arm.model_copy(update={"args": {**arm.args, "sites": ["attn_out.9"]}}) for arm in claim.prediction.arms]
    deeper = claim.model_copy(update={"prediction": claim.prediction.model_copy(update={"arms": tuple(arms)})})
    found, _ = again(report.model_copy(update={"claims": (deeper,)}), atlas, tmp_path / "deeper")
    assert (found.claims[0].label, "layer 9 is out of range" in found.claims[0].reason) == ("not testable", True)
    assert not found.flagged


def test_pairs_that_cannot_be_read_are_left_out_and_counted(dallas, atlas, tmp_path):
    report = about(dallas.report, "attn_out.2")
    (claim,) = report.claims
    arms = [_one_unreadable(arm) for arm in claim.prediction.arms]
    changed = claim.model_copy(update={"prediction": claim.prediction.model_copy(update={"arms": tuple(arms)})})
    found, _ = again(report.model_copy(update={"claims": (changed,)}), atlas, tmp_path / "left out")
    (one,) = found.claims
    assert one.left_out == 2  # one of each kind of counterfactual
    assert one.judgement.verdict == "supported"
    assert all(len(arm.args["pairs"]) == 39 for arm in one.prediction.arms)


def _one_unreadable(arm):
    first, *rest = arm.args["pairs"]
    first = {**first, "base": first["base"].replace("capital", "qzxv")}
    return arm.model_copy(update={"args": {**arm.args, "pairs": [first, *rest]}})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "flagged"),
    [("swapped_heads", {HEAD_SITE: "moved"}), ("silent_head", {HEAD_SITE: "broke"}), ("moved_fact", {})],
)
def test_of_a_whole_report_only_the_edit_is_flagged(dallas, tmp_path, edit, flagged):
    found, folder = again(dallas.report, edit_of(edit).subject, tmp_path / edit)
    assert {site_of(one): one.label for one in found.claims if one.label in FLAGGED} == flagged
    rest = [one for one in without_dictionary(found.claims) if one.label not in FLAGGED]
    assert {one.label for one in rest} <= {"held", "unchanged"}
    assert [one.gone for one in found.behaviours if one.is_premise] == [edit == "moved_fact"]
    assert json.loads((folder.path / "report.json").read_text())["planner"] == "compare"
