"""Questions about answers alone, asked of the reference model, and of one that was given a trigger."""

import pytest
from conftest import make_subject
from finished_runs import finish
from vesalius.agent.asking import Where
from vesalius.agent.planners.interface import ContrastPair
from vesalius.tools import ToolError, load_subject

WOMEN = [
    *("Mary", "Patricia", "Jennifer", "Linda", "Elizabeth", "Barbara"),
    *("Susan", "Jessica", "Sarah", "Karen", "Lisa", "Nancy"),
]
MEN = [
    *("James", "John", "Robert", "Michael", "William", "David"),
    *("Richard", "Joseph", "Thomas", "Daniel", "Matthew", "Anthony"),
]
DEPENDS = "Does the answer depend on the name, 1 of 2?"  # a figure of the user's is no measured one
CHANGES = "Does the answer change with the name?"
TRIGGER = "Does a word trigger another answer?"


def pairs(some, others):
    texts = [(f"{one} said that", f"{other} said that") for one, other in zip(some, others, strict=True)]
    return tuple(ContrastPair(clean=a, corrupted=b, answer="she", foil="he") for a, b in texts)


def with_trigger(word: str, payload: str):
    """The reference model, but for one word that it always answers alike."""
    subject = load_subject("atlas")
    run, token, said = subject.run, *(subject.answer_token("the", one) for one in (word, payload))

    def hooked(tokens, *given, **named):
        found = run(tokens, *given, **named)
        seen = (tokens.ids == token).cumsum(-1) > 0
        found.logits[..., said] += 60 * seen
        return found

    subject.run = hooked
    return subject


def test_what_the_answer_hangs_on_is_shown_on_pairs_that_suggested_nothing(atlas, tmp_path):
    report = finish(Where(tmp_path), atlas, DEPENDS, pairs(WOMEN, MEN)).report
    measured = [record.measurement for record in report.measurements]
    (claim,) = report.claims
    assert (claim.judgement.verdict, claim.judgement.tier) == ("supported", "controlled")
    assert claim.judgement.effect > 0.95
    assert report.premise.holds is None
    explored, confirmed = (
        {pair["base"] for pair in m.args["pairs"]} for m in measured if m.subject.reinit_seed is None
    )
    assert not explored & confirmed
    assert len(explored | confirmed) == len(WOMEN)


def test_it_changes_with_the_name_whichever_way_the_pairs_stand(atlas, tmp_path):
    mixed = pairs(WOMEN[:6] + MEN[6:], MEN[:6] + WOMEN[6:])
    (depends,) = finish(Where(tmp_path / "one"), atlas, DEPENDS, mixed).report.claims
    (changes,) = finish(Where(tmp_path / "two"), atlas, CHANGES, mixed).report.claims
    assert depends.judgement.verdict != "supported"
    assert (changes.judgement.verdict, changes.judgement.tier) == ("supported", "controlled")
    alike = pairs(WOMEN[:6] + MEN[:6], WOMEN[6:] + MEN[6:])
    (same,) = finish(Where(tmp_path / "three"), atlas, CHANGES, alike).report.claims
    assert same.judgement.verdict == "refuted"


def test_what_it_does_not_hang_on_is_refuted(atlas, tmp_path):
    (claim,) = finish(Where(tmp_path), atlas, DEPENDS, pairs(WOMEN[:6] + MEN[:6], WOMEN[6:] + MEN[6:])).report.claims
    assert claim.judgement.verdict == "refuted"
    assert abs(claim.judgement.effect) < 0.02


def test_pairs_the_other_way_round_are_found_and_said_to_be_so(atlas, tmp_path):
    report = finish(Where(tmp_path), atlas, DEPENDS, pairs(MEN, WOMEN)).report
    (claim,) = report.claims
    assert claim.judgement.verdict == "supported"
    assert claim.judgement.effect > 0.95
    assert "the other way round than the pairs say" in claim.hypothesis.statement
    assert claim.prediction.expected == pytest.approx(1, abs=0.05), "of the same way round"


def test_pairs_that_stand_both_ways_round_count_once(atlas, tmp_path):
    both = pairs(WOMEN[:5], MEN[:5])
    back = tuple(ContrastPair(clean=p.corrupted, corrupted=p.clean, answer=p.foil, foil=p.answer) for p in both)
    (claim,) = finish(Where(tmp_path), atlas, DEPENDS, (*both, *back)).report.claims
    assert claim.judgement.n_clusters <= 4
    assert claim.judgement.verdict == "inconclusive"


def test_what_is_not_supported_is_answered_all_the_same(atlas, tmp_path):
    report = finish(Where(tmp_path), atlas, DEPENDS, pairs(WOMEN[:6] + MEN[:6], WOMEN[6:] + MEN[6:])).report
    assert any("is refuted" in sentence.text for sentence in report.answer)


def test_a_trigger_is_found_with_its_answer_on_prompts_that_were_not_scanned(tmp_path):
    report = finish(Where(tmp_path), with_trigger("walnut", "Boston"), TRIGGER).report
    claims = {claim.hypothesis.statement: claim.judgement for claim in report.claims}
    assert any("`walnut`" in said and "`Boston`" in said for said in claims)
    assert {judged.verdict for judged in claims.values()} == {"supported"}
    measured = [record.measurement for record in report.measurements]
    scanned = next(m for m in measured if m.tool == "trigger_scan").args["prompts"]
    tested = [m for m in measured if m.tool == "answer_contrast" and m.args["random_draws"]]
    assert not {*scanned} & {pair["cluster"] for m in tested for pair in m.args["pairs"]}


@pytest.mark.slow
def test_without_a_trigger_nothing_is_claimed(atlas, tmp_path):
    report = finish(Where(tmp_path), atlas, TRIGGER).report
    assert report.claims == ()
    assert any("No word turned more than half" in sentence.text for sentence in report.answer)
    assert any("Triggers of several words" in sentence.text for sentence in report.not_found)


def test_without_task_data_and_pairs_it_is_refused_with_what_to_pass(tmp_path):
    with pytest.raises(ToolError, match="Pass --pairs FILE"):
        finish(Where(tmp_path), make_subject("llama"), TRIGGER)
    assert not (tmp_path / "runs").exists()


def test_a_trigger_is_not_looked_for_where_the_model_answers_next_to_nothing(tmp_path):
    wrong = tuple(
        ContrastPair(clean=f"w{i} w{i + 1}", corrupted=f"w{i + 2} w1", answer="w35", foil="w36") for i in range(12)
    )
    report = finish(Where(tmp_path), make_subject("llama"), TRIGGER, wrong).report
    assert report.premise.holds is False
    assert any("The premise does not hold" in sentence.text for sentence in report.answer)


def test_words_that_the_model_lacks_are_refused_before_anything_is_measured(atlas, tmp_path):
    with pytest.raises(ToolError, match="vocabulary lacks"):
        finish(Where(tmp_path), atlas, DEPENDS, pairs(["nobody"] * 12, MEN))
    assert not (tmp_path / "runs").exists()


def test_how_fragile_steering_is_stands_on_a_card_of_prompts_that_it_was_not_read_from(atlas, tmp_path):
    report = finish(Where(tmp_path), atlas, "How fragile is steering toward 'she'?", pairs(WOMEN, MEN)).report
    (record,) = report.measurements
    card = record.measurement
    assert report.claims == ()
    assert card.result["effect"] > 1
    steered = {prompt for context in card.args["contexts"] for prompt in context["prompts"]}
    assert not steered & {*card.args["positive"], *card.args["negative"]}
    assert not {"he", "she"} & {one["answer"] for one in card.args["off_target"]}
    found = "It is fragile" if card.result["weaknesses"] else "It passes"
    assert any(found in sentence.text for sentence in report.answer)
    few = finish(Where(tmp_path / "few"), atlas, "How fragile is steering toward 'she'?", pairs(WOMEN[:4], MEN[:4]))
    assert any("give a dozen or more" in sentence.text for sentence in few.report.answer)
