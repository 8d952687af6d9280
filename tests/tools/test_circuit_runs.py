"""Circuits run alone: ends of the scale, a second road through the model's own hooks, and what is refused."""

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError
from vesalius.tools._circuit_runs import CircuitRuns, circuit_answers
from vesalius.tools._pair_answers import Pair

PAIRS = [
    Pair(base="w1 w2 w3", corrupted="w1 w9 w3", answer="w4", foil="w5"),
    Pair(base="w6 w7 w8 w9", corrupted="w6 w10 w8 w11", answer="w11", foil="w12"),
]


def of_model(subject, kind: str, write=None) -> torch.Tensor:
    tokens = subject.tokenise([getattr(pair, kind) for pair in PAIRS])
    logits = subject.run(tokens, write=write).last_logits
    words = [[subject.answer_token(p.base, word) for word in (p.answer, p.foil)] for p in PAIRS]
    return torch.stack([row[a] - row[b] for row, (a, b) in zip(logits, words, strict=True)])


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-4, rtol=1e-4)


def test_all_links_are_the_base_and_none_the_counterfactual(subject):
    runs = CircuitRuns(subject, PAIRS)
    everything, nothing = runs.answers([runs.graph.links, []])
    assert close(everything, of_model(subject, "base"))
    assert close(nothing, of_model(subject, "corrupted"))
    assert close(runs.clean, everything)
    assert not close(everything, nothing)


def test_links_to_the_logits_alone_are_the_base_as_the_counterfactual_heard_it(subject):
    """Every node computes from the counterfactual, but for the embedding, which is the base's own at the end."""
    runs = CircuitRuns(subject, PAIRS)
    (found,) = runs.answers([[link for link in runs.graph.links if link[1] == "logits"]])
    start = {kind: subject.run(tokens(subject, kind), read=["resid_pre.0"]).sites["resid_pre.0"] for kind in KINDS}
    last = f"resid_post.{subject.shape.n_layers - 1}"
    due = of_model(subject, "corrupted", {last: lambda end: end + start["base"] - start["corrupted"]})
    assert close(found, due)


KINDS = ("base", "corrupted")


def tokens(subject, kind: str):
    return subject.tokenise([getattr(pair, kind) for pair in PAIRS])


def test_one_link_less_is_that_slot_written_by_hand(subject):
    """What the slot reads, less the sender's part on the base, plus its part on the counterfactual."""
    runs, weights = CircuitRuns(subject, PAIRS), subject.weights(1)
    read = {kind: subject.run(tokens(subject, kind), read=["resid_pre.1", "mlp_out.0"]).sites for kind in KINDS}
    exchanged = read["base"]["resid_pre.1"] + read["corrupted"]["mlp_out.0"] - read["base"]["mlp_out.0"]
    shared = subject.shared_by
    for slot, W, b in (
        ("q.1.2", subject.architecture.looks(1).W_Q[2], subject.architecture.looks(1).b_Q[2]),
        ("k.1.1", subject.architecture.looks(1).W_K[shared], subject.architecture.looks(1).b_K[shared]),
        ("v.1.1", weights.W_V[shared], weights.b_V[shared]),
    ):
        due = of_model(subject, "base", {slot: lambda _, W=W, b=b: weights.norm1(exchanged) @ W + b})
        (found,) = runs.answers([set(runs.graph.links) - {("mlp_out.0", slot)}])
        assert close(found, due), slot
        assert not close(found, runs.clean), slot


def test_an_mlp_can_lose_the_head_in_front_of_it():
    subject = make_subject("gpt2")
    runs, weights = CircuitRuns(subject, PAIRS), subject.weights(1)
    read = {k: subject.run(tokens(subject, k), read=["resid_mid.1", "head.1.3"]).sites for k in KINDS}
    moved = (read["corrupted"]["head.1.3"] - read["base"]["head.1.3"]) @ weights.W_O[3]
    due = of_model(subject, "base", {"mlp_in.1": lambda _: weights.norm2(read["base"]["resid_mid.1"] + moved)})
    (found,) = runs.answers([set(runs.graph.links) - {("head.1.3", "mlp_in.1")}])
    assert close(found, due)


def test_a_silent_models_answer_goes_over_one_link():
    """Heads and MLPs write nothing: of all links only the one from the embedding to the logits matters."""
    subject = Subject(writing_nothing("o_proj", "down_proj"), word_tokenizer(), "silent", None, None)
    pairs = [Pair(base="w1 w2", corrupted="w1 w3", answer="w4", foil="w5")]
    runs = CircuitRuns(subject, pairs)
    alone, others = runs.answers([[("embed", "logits")], set(runs.graph.links) - {("embed", "logits")}])
    assert torch.allclose(alone, runs.clean, atol=1e-6)
    assert torch.allclose(others, runs.corrupted, atol=1e-6)
    assert not close(alone, others)


def test_pairs_and_circuits_in_many_passes_are_those_of_one(monkeypatch):
    subject = make_subject("gemma2")
    links = CircuitRuns(subject, PAIRS).graph.links
    sets = [links[::2], links[::3], links[5:90]]
    at_once = circuit_answers(subject, PAIRS, sets)
    monkeypatch.setattr("vesalius.tools._circuit_runs.LARGEST_RUNS", 1)
    assert close(circuit_answers(subject, PAIRS, sets), at_once)
    assert at_once.shape == (3, 2)


def test_half_a_link_lies_between():
    runs = CircuitRuns(make_subject("llama"), PAIRS)
    row = torch.ones(3, len(runs.graph.links))
    place = runs.places[("embed", "logits")]
    row[:, place] = torch.tensor([0, 0.5, 1])
    none, half, whole = runs.answers_of(row)
    assert not close(none, half)
    assert not close(half, whole)


def test_a_link_that_is_none_is_refused_with_one_that_is():
    with pytest.raises(ToolError, match="NODE->SLOT, a slot behind its node"):
        circuit_answers(make_subject("gpt2"), PAIRS, [[("mlp_out.2", "q.1.0")]])


def test_a_pair_of_unequal_lengths_is_refused_before_anything_runs():
    pairs = [Pair(base="w1 w2", corrupted="w1 w2 w3", answer="w4", foil="w5")]
    with pytest.raises(ToolError, match="counterfactuals of the same length"):
        CircuitRuns(make_subject("gpt2"), pairs)
