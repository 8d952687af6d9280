"""The arms of the hidden-rule benchmark on models made by hand: what each must find there, and what none may see."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hidden_models import LAW, TREE, low, random_subject, reads, speaks_at
from vesalius.evals.benchmarks import _hidden_arms as arms, _hidden_trials as trials
from vesalius.evals.benchmarks._hidden_black_box import black_box
from vesalius.evals.benchmarks._hidden_evidence import Evidence, Transcript, among, draw_trial, margins
from vesalius.evals.benchmarks._hidden_predictor import chosen
from vesalius.evals.organisms._hidden_folder import HiddenRule, Plan
from vesalius.evals.organisms._hidden_text import NO, YES, prompt, value_position
from vesalius.evals.organisms._hidden_tree import FIELDS
from vesalius.tools import Subject
from vesalius.tools._reader import Reader

SOME_FIELDS = (0, 4, 9)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return random_subject()


@pytest.fixture(scope="module")
def transcript(subject: Subject) -> Transcript:
    return draw_trial(subject, LAW, 1).transcript


@pytest.mark.parametrize("field", SOME_FIELDS)
def test_the_model_made_by_hand_decides_as_it_is_said_to(field):
    records = LAW.records(np.random.default_rng(0), 200)
    for neurons in (False, True):
        assert ((margins(reads(field, neurons), records) > 0) == low(records, field)).all()


@pytest.mark.parametrize("field", SOME_FIELDS)
@pytest.mark.parametrize("name", ["gradient", "relp", "relp_path", "dictionary", "attribution_graph"])
def test_an_arm_names_the_one_field_that_a_model_reads(field, name):
    model = reads(field, neurons=name in ("dictionary", "attribution_graph"))
    transcript = draw_trial(model, LAW, 1).transcript
    scores = arms.ARMS[name](model, LAW, transcript, 0).scores
    others = np.delete(scores, field)
    assert scores[field] > 3 * others.max()
    assert field in chosen(scores)
    assert black_box(model, LAW, transcript, 0, 200).scores.argmax() == field


@pytest.mark.parametrize("field", SOME_FIELDS)
def test_the_lens_scores_a_field_by_what_its_own_value_says_there(field):
    model = speaks_at(field)
    shown = LAW.records(np.random.default_rng(3), 10)
    scores = arms.logit_lens(model, LAW, Transcript(shown, np.arange(10) < 5, shown[:0]), 0).scores
    assert scores.argmax() == field
    # Blocks write nothing, so every layer says what norm and unembedding make of the token and its position.
    yes, no = model.tokenizer.convert_tokens_to_ids([YES, NO])
    tokens = model.tokenise([prompt(record) for record in shown])
    for other in range(len(FIELDS)):
        at = value_position(other)
        start = model.embed(tokens.ids)[:, at] + model.architecture.positions()[at]
        said = model.final_norm(start) @ (model.W_U[:, yes] - model.W_U[:, no])
        assert scores[other] == pytest.approx(said.std(correction=0).item(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", ["relp", "relp_path"])
@pytest.mark.parametrize("value", [0, 1])
def test_decisions_foretold_are_those_of_the_model_and_not_the_opposite(name, value):
    model = reads(4)
    # All that are shown have one value there: what another would do is known from the instrument alone, with its sign.
    shown = LAW.records(np.random.default_rng(3), 10)
    shown[:, 4] = value
    transcript = Transcript(shown, low(shown, 4), shown[:0])
    evidence = arms.ARMS[name](model, LAW, transcript, 0)
    assert len(evidence.more.records) > 150
    assert (evidence.more.decisions == low(evidence.more.records, 4)).all()


def test_the_dictionary_weighs_features_by_what_they_do_to_the_answer(transcript):
    model = reads(4, neurons=True)
    with_effect = arms.dictionary(model, LAW, transcript, 0).scores
    model.model.transformer.h[1].mlp.c_proj.weight.mul_(2)
    assert arms.dictionary(model, LAW, transcript, 0).scores == pytest.approx(2 * with_effect, rel=1e-4)
    assert with_effect[4] > 0


class Meetings:
    """Every text and every row of tokens that a subject is given while this is open."""

    def __init__(self, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        split, embed = Reader.split, Subject.embed

        def read(reader: Reader, text: str) -> object:
            self.texts.append(text)
            return split(reader, text)

        def embedded(one: Subject, ids: torch.Tensor) -> torch.Tensor:
            self._rows(one, ids)
            return embed(one, ids)

        monkeypatch.setattr(Reader, "split", read)
        monkeypatch.setattr(Subject, "embed", embedded)
        self._hook = subject.model.transformer.wte.register_forward_pre_hook(
            lambda _, args: self._rows(subject, args[0])
        )

    def _rows(self, subject: Subject, ids: torch.Tensor) -> None:
        words = subject.tokenizer.convert_ids_to_tokens(range(len(subject.tokenizer)))
        self.texts += [" ".join(words[i] for i in row[1:]) for row in ids.tolist()]

    def close(self) -> None:
        self._hook.remove()


@pytest.mark.parametrize("name", [*arms.ARMS, "black_box"])
def test_no_arm_meets_a_record_that_it_is_asked_about(subject, transcript, name, monkeypatch):
    met = Meetings(subject, monkeypatch)
    if name == "black_box":
        evidence = black_box(subject, LAW, transcript, 0, 500)
    else:
        evidence = arms.ARMS[name](subject, LAW, transcript, 0)
    met.close()
    held_out = tuple(prompt(record) for record in transcript.asked)
    assert not [text for text in met.texts if text.startswith(held_out)]
    seen = {shown for shown in transcript.prompts if any(text.startswith(shown) for text in met.texts)}
    assert len(seen) == (0 if name == "samples_only" else 10)  # else nothing was listened to
    if evidence.more is not None:
        assert not among(evidence.more.records, transcript.asked).any()
        assert not among(evidence.more.records, transcript.shown).any()


def test_further_records_are_neither_shown_nor_asked_about(transcript):
    further = arms._further(LAW, transcript, 300, 0)
    assert len(further) > 200
    assert not among(further, np.concatenate([transcript.asked, transcript.shown])).any()


def test_an_arm_is_given_a_transcript_and_no_truth(subject, monkeypatch):
    assert {field.name for field in fields(Transcript)} == {"shown", "decisions", "asked"}
    given: list[tuple[object, ...]] = []

    def listens(*args: object) -> Evidence:
        given.append(args)
        return Evidence(np.ones(len(FIELDS)), 30, 30)

    monkeypatch.setattr(arms, "ARMS", {"gradient": listens})
    monkeypatch.setattr(trials, "black_box", lambda *args: listens(*args[:-1]))
    organism = HiddenRule(Plan("scratch", "none", 2), subject, TREE, None, LAW, {})
    list(trials.outcomes(organism, 2))
    assert len(given) == 6
    assert {tuple(map(type, args)) for args in given} == {(Subject, type(LAW), Transcript, int)}
    # Black boxes draw their queries by the trial's own seed, as arms draw theirs.
    assert len({args[3] for args in given[:3]}) == len({args[3] for args in given[3:]}) == 1
    assert given[0][3] != given[3][3]


def test_prompting_counts_what_the_model_says_after_why(subject, transcript, monkeypatch):
    says = iter(["age", "heat", "end"])

    def ask(_: Subject, name: str, prompts: list[str], top_k: int) -> dict[str, object]:
        assert all(" why" in text for text in prompts)
        word = next(says)
        return {"answers": [{"top": [(word if i else "end", 1.0)]} for i in range(len(prompts))]}

    monkeypatch.setattr(arms, "ask", ask)
    scores = arms.prompting(subject, LAW, transcript, 0).scores
    assert scores[FIELDS.index("age")] == pytest.approx(0.9)  # the first never says anything
    assert scores[FIELDS.index("heat")] == pytest.approx(0.8)
    assert scores.sum() == pytest.approx(1.7)


def test_evidence_without_scores_leaves_all_fields_to_the_predictor(subject, transcript):
    assert arms.samples_only(subject, LAW, transcript, 0) == Evidence(None, 0, 0)


def test_passes_at_the_least_are_one_forward_and_what_goes_backward(subject, transcript):
    assert arms.gradient(subject, LAW, transcript, 0).least_passes == 10 * (1 + 2)
    # Ten records, and three points for each, forward and backward; run is what is needed.
    path = arms.relp_path(subject, LAW, transcript, 0)
    assert (path.least_passes, path.run_passes) == (100, 100)
    # A graph's sweep carries two hundred features and the answer backward.
    graph = arms.attribution_graph(subject, LAW, transcript, 0)
    assert graph.least_passes == 10 * (1 + 2 * (arms.GRAPH_FEATURES + 1))
    assert graph.run_passes >= graph.least_passes
