"""Relevance patching: each rule against its own formula, and the law that they have together."""

import pytest
import torch
from circuit_models import FAMILIES, PAIRS, REFUSED, linear_subject
from conftest import make_subject, random_model, word_tokenizer
from torch.nn.functional import gelu, silu
from vesalius.tools import Subject, ToolError
from vesalius.tools._circuit_families import Family
from vesalius.tools._circuit_methods import Method
from vesalius.tools._circuit_rules import GRADIENT, Rules, mlps_under, normed, pulled
from vesalius.tools._circuit_scores import Asking
from vesalius.tools.relp import RelpArgs, relp

ALL = Rules(norms=True, mlps=True, patterns=True)


def asking(subject, families=FAMILIES) -> Asking:
    return Asking.of(subject, [Family.model_validate(family) for family in families])


def inputs(subject, rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, subject.shape.d_model, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_without_biases_what_comes_in_times_its_coefficient_is_what_comes_out():
    """Conservation, for which the rules are made: Qwen 3 has no bias anywhere."""
    asked = asking(make_subject("qwen3")).asked[0]
    (chunk,) = asked.chunks()
    walk = chunk.part.walk(chunk.clean, chunk.last, ALL)
    out = chunk.differences(walk.logits)
    (coefficients,) = torch.autograd.grad(out.sum(), walk.added[:1])
    assert torch.allclose((coefficients * chunk.clean).sum((1, 2)), out, atol=1e-4)


def test_no_rule_changes_what_is_computed(subject):
    (chunk,) = asking(subject, FAMILIES[:1]).asked[0].chunks()
    plain, ruled = (chunk.part.walk(chunk.clean, chunk.last, rules).logits for rules in (GRADIENT, ALL))
    assert torch.equal(plain, ruled)


def test_an_activation_passes_on_its_value_over_its_input():
    subject, x = make_subject("gpt2"), inputs(make_subject("gpt2"))
    mlp = subject.architecture.blocks()[0].mlp
    with mlps_under(Rules(mlps=True), subject.architecture):
        (found,) = torch.autograd.grad(mlp(x).sum(), x)
    before = x.detach() @ mlp.c_fc.weight + mlp.c_fc.bias
    ratio = gelu(before, approximate="tanh") / before
    assert torch.allclose(found, (mlp.c_proj.weight.sum(1) * ratio) @ mlp.c_fc.weight.T, atol=1e-4)


def test_a_gate_and_what_it_gates_have_half_of_it_each():
    subject, x = make_subject("llama"), inputs(make_subject("llama"))
    mlp = subject.architecture.blocks()[0].mlp
    with mlps_under(Rules(mlps=True), subject.architecture):
        (found,) = torch.autograd.grad(mlp(x).sum(), x)
    gate, up = mlp.gate_proj(x.detach()), mlp.up_proj(x.detach())
    down = mlp.down_proj.weight.sum(0)
    due = (down * up * silu(gate) / gate) @ mlp.gate_proj.weight + (down * silu(gate)) @ mlp.up_proj.weight
    assert torch.allclose(found, due / 2, atol=1e-4)


def test_at_zero_an_activation_passes_on_its_slope():
    subject = make_subject("llama")
    activation = subject.architecture.blocks()[0].mlp.act_fn
    zero = torch.zeros(1, requires_grad=True)
    with mlps_under(Rules(mlps=True), subject.architecture):
        out = activation(zero)
        (found,) = torch.autograd.grad(out, zero)
    assert out.item() == 0
    assert found.item() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("rules", [GRADIENT, Rules(norms=True)])
def test_a_gradient_goes_back_through_a_norm_as_autograd_takes_it(family, rules):
    norm, x = make_subject(family).final_norm, inputs(make_subject(family))
    behind = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (due,) = torch.autograd.grad((normed(norm, x, rules) * behind).sum(), x)
    assert torch.allclose(pulled(norm, x.detach(), behind, rules), due, atol=1e-5)


def test_with_patterns_held_no_query_and_no_key_has_a_score(subject):
    made = asking(subject, FAMILIES[:1])
    held, free = (made.links(Method(rules=rules))[0].drops for rules in (ALL, Rules(norms=True, mlps=True)))
    looks = torch.tensor([slot[0] in "qk" for _, slot in made.graph.links])
    assert held[:, looks].abs().max() == 0
    assert free[:, looks].abs().max() > 0
    assert held[:, ~looks].abs().max() > 0


def test_in_a_linear_model_every_score_is_what_cutting_the_link_does():
    made = asking(linear_subject())
    rules = Rules(norms=True, mlps=True)
    for scores, due in zip(made.links(Method(rules=rules)), made.links(Method()), strict=True):
        assert torch.allclose(scores.drops, due.drops, atol=2e-5)


def test_a_pair_without_a_change_has_no_score_to_the_last_bit():
    same = {**PAIRS[1], "corrupted": PAIRS[1]["base"]}
    made = asking(make_subject("gpt_neox"), [{"name": "both", "pairs": [PAIRS[0], same]}])
    (scores,) = made.links(Method(rules=ALL))
    assert scores.drops[0].abs().max() > 0
    assert scores.drops[1].abs().max() == 0


def test_nodes_can_be_scored_too():
    asked = {"families": FAMILIES, "check": 3, "top": 4}
    nodes = relp(make_subject("gpt2"), RelpArgs.model_validate({**asked, "units": "nodes"}))
    assert (nodes.n_scored, nodes.n_measured) == (16, 3)
    assert all(one.slot == "" for one in nodes.scored)
    assert relp(make_subject("gpt2"), RelpArgs.model_validate(asked)).n_scored == 262


def test_an_mlp_that_no_rule_is_known_for_is_refused_before_it_runs():
    model = random_model("gpt2")
    for block in model.transformer.h:
        block.mlp.act = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.GELU())
    subject = Subject(model, word_tokenizer(), "odd", None, None)
    with pytest.raises(ToolError, match="Use `eap` or `eap_ig`"):
        relp(subject, RelpArgs.model_validate({"families": FAMILIES}))


@pytest.mark.parametrize(("change", "mend"), REFUSED[:2])
def test_what_cannot_be_scored_is_refused_with_the_mend(change, mend):
    with pytest.raises(ToolError, match=mend):
        relp(make_subject("gpt2"), relp.parse({"families": [{"name": "one", **change}]}))
