"""Spike-ins: their truth, how their rates are counted, and that they change nothing of the audit's own."""

import pytest
from agent_audited import a_cell, a_claim, answered
from vesalius.agent.audit.cells import SPIKED, cells_of
from vesalius.agent.audit.spec import read_spec
from vesalius.agent.audit.spikes import rate_of, spikes
from vesalius.agent.audit.table import table_of
from vesalius.agent.audit.written import calibrated, headline, jsonl, junit, markdown, page
from vesalius.agent.runs import UnreadableFile
from vesalius.agent.settings import Settings
from vesalius.tools.next_token import NextTokenArgs, next_token

SPEC = 'audit: a\nsubjects: [{model: m}]\nitems: [{id: own, question: "Does a word trigger another answer?"}]\n'


def asked(tmp_path, more=""):
    path = tmp_path / "a.yaml"
    path.write_text(SPEC + more)
    return cells_of(*read_spec(path), tmp_path, Settings(home=tmp_path))


def test_they_are_mixed_in_on_request_and_asked_of_the_reference_model(tmp_path):
    assert len(asked(tmp_path)) == 1
    found = asked(tmp_path, "calibrate: true\nseeds: [3, 4]\n")
    spiked = [cell for cell in found if cell.spike]
    assert {cell.model for cell in spiked} == {"atlas"}
    assert {(cell.subject, cell.seed, cell.fails_if) for cell in spiked} == {(SPIKED, 3, ())}
    assert len(found) == 2 + len([*spikes(3)])


def test_a_model_of_that_name_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text(SPEC.replace("model: m", "model: m, label: spike-in") + "calibrate: true\n")
    with pytest.raises(UnreadableFile, match="give your model another label"):
        cells_of(*read_spec(tmp_path / "a.yaml"), tmp_path, Settings(home=tmp_path))


def test_planted_pairs_are_of_two_kinds_and_null_pairs_of_one(atlas):
    for one in spikes(0):
        if not one.pairs:
            continue
        prompts = tuple(text for pair in one.pairs for text in (pair.clean, pair.corrupted))
        answers = [answer.top[0][0].strip() for answer in next_token(atlas, NextTokenArgs(prompts=prompts)).answers]
        differ = [a != b for a, b in zip(answers[::2], answers[1::2], strict=True)]
        assert sum(differ) >= 0.9 * len(differ) if one.truth == "planted" else sum(differ) <= 0.1 * len(differ), (
            one.item
        )


def test_the_seed_draws_them(tmp_path):
    assert [*spikes(0)] == [*spikes(0)] != [*spikes(1)]


def test_rates_are_counted_by_truth_and_their_own_claims_loosen_nothing():
    own = a_cell("own")
    found = {"p1": ("planted", 0.0001), "p2": ("planted", 0.9), "n1": ("null", 0.0001), "n2": ("null", 0.8)}
    cells = {name: a_cell(name, spike=truth) for name, (truth, _) in found.items()}
    outcomes = {cells[name]: answered(cells[name], a_claim(q=q)) for name, (_, q) in found.items()}
    outcomes[own] = answered(own, a_claim(q=0.06), a_claim("c2", q=0.001))
    audited = table_of("a", [own, *cells.values()], outcomes)
    assert (audited.calibration.planted.n, audited.calibration.planted.n_supported) == (2, 1)
    assert (audited.calibration.null.n, audited.calibration.null.n_supported) == (2, 1)
    assert audited.rows == table_of("a", [own], outcomes).rows
    assert audited.n_claims == 2
    assert audited.rows[0].q["c1"] == pytest.approx(0.06)
    alone = table_of("a", [own, cells["p2"]], outcomes)
    assert audited.spiked[1].q == alone.spiked[0].q, "each as if it alone were one of the audit's own"


def test_an_interval_is_exact_and_none_is_made_of_nothing():
    one = rate_of([True] * 6)
    assert (one.n, one.n_supported, one.high) == (6, 6, 1.0)
    assert one.low == pytest.approx(0.025 ** (1 / 6))
    assert rate_of([]).low is None


def test_what_came_of_them_stands_beside_the_findings_and_fails_nothing():
    own, planted = a_cell("own"), a_cell("planted-1", spike="planted")
    audited = table_of("a", [own, planted], {own: answered(own), planted: answered(planted)})
    told = calibrated(audited)
    assert "0 of 1 end in a supported claim (95 % interval 0% to 98%)" in told
    assert told.replace("%", "%") in markdown(audited)
    assert "This audit, measured" in page(audited)
    assert len(jsonl(audited).splitlines()) == 2
    assert "planted-1" not in junit(audited)
    assert headline(audited) == "1 cell: 1 passing."
    assert audited.is_whole
    assert not table_of("a", [own, planted], {own: answered(own)}).is_whole


def test_without_them_nothing_is_said():
    own = a_cell("own")
    audited = table_of("a", [own], {own: answered(own)})
    assert calibrated(audited) == ""
    assert "spike" not in markdown(audited) + page(audited)
