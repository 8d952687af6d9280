"""Relevance propagation on the way to a record: exact where the model is linear, the instrument's at the way's end."""

import numpy as np
import pytest
import torch
from hidden_models import LAW, random_subject, reads
from vesalius.evals.benchmarks import _hidden_arms as arms
from vesalius.evals.benchmarks._hidden_evidence import Transcript, draw_trial, effect_table, margins, single_changes
from vesalius.evals.benchmarks._hidden_relp_path import POINTS, exchange_effects, relevance_rules
from vesalius.evals.organisms._hidden_text import prompt
from vesalius.evals.organisms._hidden_tree import FIELDS
from vesalius.tools import Subject


@pytest.fixture(scope="module")
def subject() -> Subject:
    return random_subject()


@pytest.fixture(scope="module")
def transcript(subject: Subject) -> Transcript:
    return draw_trial(subject, LAW, 1).transcript


def exact(subject: Subject, records: np.ndarray) -> np.ndarray:
    """What single exchanges really add to yes less no."""
    changes = single_changes(records)
    added = margins(subject, changes.records) - margins(subject, records)[changes.of]
    return effect_table(changes, added, len(records))


@pytest.mark.parametrize("field", [2, 7])
@pytest.mark.parametrize("points", [(0.0,), (1.0,), POINTS])
def test_on_a_linear_model_effects_are_the_exact_ones_wherever_gradients_are_taken(field, points):
    model, records = reads(field), LAW.records(np.random.default_rng(0), 10)
    found, due = exchange_effects(model, records, points), exact(model, records)
    assert np.abs(due[:, field]).max() > 1
    assert found == pytest.approx(due, abs=0.003 * np.abs(due).max())


def test_an_exchange_for_the_own_value_adds_nothing_and_any_other_something(subject, transcript):
    found, shown = exchange_effects(subject, transcript.shown), transcript.shown
    own = np.take_along_axis(found, shown[:, :, None], -1)
    assert (own == 0).all()
    assert (found != 0).sum() == 10 * len(FIELDS) * 2


def test_at_the_end_of_the_way_effects_are_those_of_the_instrument(subject, transcript):
    """A second road: the tool `relp`, which runs the model part by part."""
    changes = single_changes(transcript.shown)
    drops = arms._foretold_drops(subject, transcript, changes, "relp", {"units": "nodes"})
    said = effect_table(changes, -drops * np.where(transcript.decisions, 1, -1)[changes.of], 10)
    found = exchange_effects(subject, transcript.shown, (1.0,))
    assert found == pytest.approx(said, abs=1e-3 * np.abs(said).max())
    elsewhere = exchange_effects(subject, transcript.shown)
    assert elsewhere != pytest.approx(said, abs=0.05 * np.abs(said).max())


def test_at_the_start_of_the_way_all_records_are_the_same(subject, transcript):
    start = exchange_effects(subject, transcript.shown, (0.0,))
    # From low to mid is worth the same wherever it is looked at from.
    step = start[:, :, 1] - start[:, :, 0]
    assert step == pytest.approx(np.repeat(step[:1], 10, 0), abs=1e-4 * np.abs(step).max())
    end = exchange_effects(subject, transcript.shown, (1.0,))
    assert np.ptp(end[:, :, 1] - end[:, :, 0], axis=0).max() > 0.1 * np.abs(end).max()


def test_several_points_are_their_mean(subject, transcript):
    single = [exchange_effects(subject, transcript.shown, (point,)) for point in POINTS]
    assert exchange_effects(subject, transcript.shown) == pytest.approx(np.mean(single, 0), abs=1e-6)


def test_rules_move_no_value_and_leave_nothing_behind(subject, transcript):
    tokens = subject.tokenise([prompt(record) for record in transcript.shown])
    before = subject.model(tokens.ids).logits
    with relevance_rules(subject):
        assert torch.allclose(subject.model(tokens.ids).logits, before, atol=1e-4)
    assert torch.equal(subject.model(tokens.ids).logits, before)
    exchange_effects(subject, transcript.shown)
    assert torch.equal(subject.model(tokens.ids).logits, before)
    assert not any(parameter.requires_grad for parameter in subject.model.parameters())
