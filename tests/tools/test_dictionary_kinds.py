"""Every kind of dictionary finds what was planted, and what it computes while it trains is what it computes after."""

import pytest
import torch
from vesalius.evals.benchmarks._planted import matched, superposition
from vesalius.tools import Transcoder, TranscoderRecipe
from vesalius.tools._dictionary_fit import Training, fit_transcoders
from vesalius.tools._dictionary_kinds import (
    AUXILIARY_WEIGHT,
    BANDWIDTH,
    DEAD_AFTER,
    PREFIXES,
    _Count,
    _Jump,
    _nested_error,
    _pursue,
)
from vesalius.tools._dictionary_recipe import KINDS
from vesalius.tools._dictionary_stream import Buffer
from vesalius.tools._dictionary_writing import written

REBUILDING = ("relu", "topk", "batchtopk", "jumprelu", "matryoshka", "mp")
PLANTED = superposition(seed=3, n_tokens=6000, n_features=40, d_model=20)


def unexplained(due: torch.Tensor, got: torch.Tensor) -> float:
    return float((due - got).pow(2).sum() / (due - due.mean(0)).pow(2).sum())


def rebuilding(kind: str, steps: int = 500) -> Transcoder:
    recipe = TranscoderRecipe(n_features=40, k=2, steps=steps, kind=kind, site="resid_post")
    (made,) = fit_transcoders({"resid_post.0": PLANTED.values}, recipe)
    return made


@pytest.mark.parametrize("kind", REBUILDING)
def test_every_kind_finds_planted_directions_where_a_random_dictionary_does_not(kind):
    made = rebuilding(kind)
    found = float(matched(made.W_dec, PLANTED.directions).mean())
    random = torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    by_chance = float(matched(random, PLANTED.directions).mean())
    assert by_chance < 0.5
    # Nested prefixes want features that do alone, and on flat data there are none.
    assert found > (0.75 if kind == "matryoshka" else 0.87)
    assert unexplained(PLANTED.values, made.rebuild(PLANTED.values)) < 0.4
    assert (made.encode(PLANTED.values) > 0).sum(-1).float().mean() == pytest.approx(2, rel=0.2)
    assert torch.allclose(made.W_dec.norm(dim=-1), torch.ones(40), atol=1e-4)
    assert made.activation == KINDS[kind].activation


def two_layers(seed=0, n_tokens=4000):
    """What the first layer writes to the second cannot be read there."""
    first, second = (superposition(seed + i, n_tokens, 16, 12) for i in range(2))
    generator = torch.Generator().manual_seed(seed)
    own, later, other = (torch.randn(16, 12, generator=generator) for _ in range(3))
    return {
        "mlp_in.0": first.values,
        "mlp_out.0": 3 * first.amounts @ own + 1,
        "mlp_in.1": second.values,
        "mlp_out.1": 0.1 * (second.amounts @ other + first.amounts @ later) - 2,
    }, torch.cat([3 * own, 0.1 * later], -1)


def test_a_cross_layer_transcoder_sees_what_a_per_layer_one_cannot():
    values, writes = two_layers()
    recipe = TranscoderRecipe(n_features=16, k=3, steps=500, kind="cross-layer")
    first, second = fit_transcoders(values, recipe, layers=(0, 1))
    acts = [one.encode(values[one.reads]) for one in (first, second)]
    across = written([first, second], [values["mlp_in.0"], values["mlp_in.1"]], acts)[1]
    (alone,) = fit_transcoders(values, TranscoderRecipe(n_features=16, k=3, steps=500), layers=(1,))
    assert unexplained(values["mlp_out.1"], alone.rebuild(values["mlp_in.1"])) > 0.35
    assert unexplained(values["mlp_out.1"], across) < 0.1
    scale = torch.tensor([values[f"mlp_out.{i}"].var(0).mean() ** 0.5 for i in range(2)]).repeat_interleave(12)
    reached = torch.cat([first.W_dec, *first.W_dec_later], -1)
    assert matched(reached / scale, writes / scale).mean() > 0.85
    assert not second.W_dec_later


def test_a_skip_transcoder_learns_a_linear_map_without_help_of_its_features():
    generator = torch.Generator().manual_seed(0)
    inputs, matrix = 3 * torch.randn(2000, 12, generator=generator) - 1, torch.randn(12, 12, generator=generator)
    values = {"mlp_in.0": inputs, "mlp_out.0": 0.01 * inputs @ matrix + 7}
    (skip,) = fit_transcoders(values, TranscoderRecipe(n_features=16, k=2, steps=300, kind="skip"))
    (plain,) = fit_transcoders(values, TranscoderRecipe(n_features=16, k=2, steps=300))
    assert skip.W_skip is not None
    beside = skip.skip(inputs)
    assert unexplained(values["mlp_out.0"], beside - beside.mean(0) + values["mlp_out.0"].mean(0)) < 1e-3
    assert unexplained(values["mlp_out.0"], skip.rebuild(inputs)) < 1e-3
    assert unexplained(values["mlp_out.0"], plain.rebuild(inputs)) > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_measured_in_training_is_what_the_trained_dictionary_does(kind):
    """The units of training are folded away, and the features chosen stay the same."""
    layers = (0, 1) if kind == "cross-layer" else (0,)
    if kind in ("skip", "cross-layer"):
        values, _ = two_layers()
        recipe = TranscoderRecipe(n_features=16, k=3, steps=60, kind=kind)
    else:
        values = {"resid_post.0": 5 * PLANTED.values + 2}
        recipe = TranscoderRecipe(n_features=16, k=3, steps=60, kind=kind, site="resid_post")
    training = Training(recipe, layers, Buffer(values))
    training.run(lambda outcome: None)
    standard = {site: training.standards[site](values[site]) for site in training.standards}
    reads = [standard[site] for site in training.reads]
    outcome = training.trainee.outcome(reads, [standard[site] for site in training.writes])
    made = training.finished()
    acts = [one.encode(values[one.reads]) for one in made]
    assert sum(float((one > 0).sum(-1).float().mean()) for one in acts) / len(acts) == pytest.approx(
        outcome.l0, rel=0.1 if KINDS[kind].batchwise else 1e-4
    )
    assert training.fit(values)[0] == pytest.approx(outcome.unexplained, rel=0.05 if KINDS[kind].batchwise else 1e-3)


def test_pursuit_in_training_is_the_pursuit_of_the_trained_dictionary_and_carries_a_gradient():
    made = rebuilding("mp", steps=5)
    atoms = made.W_dec.clone().requires_grad_()
    model = Transcoder(0, atoms, made.b_enc, atoms, made.b_dec, "mp", k=2)
    acts = _pursue(model, PLANTED.values[:50])
    assert torch.allclose(acts, made.encode(PLANTED.values[:50]), atol=1e-5)
    (PLANTED.values[:50] - acts @ atoms).pow(2).mean().backward()
    assert atoms.grad is not None
    used = (acts > 0).any(0)
    assert torch.equal(atoms.grad.abs().sum(-1) > 0, used)


def test_a_jump_relu_and_its_count_learn_their_threshold_through_the_kernel():
    near, far = 1.0 + BANDWIDTH / 4, 1.0 + BANDWIDTH
    pre = torch.tensor([[near, far, 1.0 - BANDWIDTH / 4]], requires_grad=True)
    threshold = torch.ones(3, requires_grad=True)
    acts = _Jump.apply(pre, threshold)
    assert acts.tolist() == [[near, far, 0.0]]
    acts.backward(torch.tensor([[2.0, 3.0, 5.0]]))
    assert pre.grad is not None
    assert threshold.grad is not None
    assert pre.grad.tolist() == [[2.0, 3.0, 0.0]]
    # -(threshold / bandwidth) times the gradient, where the kernel reaches (Rajamanoharan et al. 2024, equation 11).
    assert threshold.grad.tolist() == pytest.approx([-2.0 / BANDWIDTH, 0.0, -5.0 / BANDWIDTH])
    threshold.grad = None
    _Count.apply(pre.detach(), threshold).sum().backward()
    assert threshold.grad.tolist() == pytest.approx([-1.0 / BANDWIDTH, 0.0, -1.0 / BANDWIDTH])


def test_a_nested_error_is_the_mean_over_prefixes_each_decoded_alone():
    made = rebuilding("matryoshka", steps=5)
    acts, due = made.encode(PLANTED.values[:40]), PLANTED.values[:40]
    errors = []
    for share in PREFIXES:
        kept = acts.clone()
        kept[:, max(1, round(share * 40)) :] = 0
        errors.append((due - made.decode(kept)).pow(2).mean())
    assert float(_nested_error(made, acts, due)) == pytest.approx(float(torch.stack(errors).mean()), rel=1e-5)


def test_a_given_weight_of_the_penalty_decides_how_many_features_are_active():
    def active(kind: str, sparsity: float) -> float:
        recipe = TranscoderRecipe(40, 2, 200, kind=kind, site="resid_post", sparsity=sparsity)
        (made,) = fit_transcoders({"resid_post.0": PLANTED.values}, recipe)
        return float((made.encode(PLANTED.values) > 0).sum(-1).float().mean())

    for kind in ("relu", "jumprelu"):
        assert active(kind, 0.5) < 0.7 * active(kind, 1e-4)


def test_the_logarithm_of_a_threshold_learns_by_the_chain_rule():
    """By hand: errors' gradient times -threshold / bandwidth, the count's -1 / bandwidth, both times the threshold."""
    recipe = TranscoderRecipe(8, 2, 1, kind="jumprelu", site="resid_post", sparsity=0.3)
    values = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    training = Training(recipe, (0,), Buffer({"resid_post.0": values}))
    trainee, weights = training.trainee, training.trainee.weights
    with torch.no_grad():
        weights["0.log_threshold"].copy_(torch.linspace(-1.0, 0.5, 8))
    trainee.outcome([values], [values]).loss.backward()
    with torch.no_grad():
        threshold = weights["0.log_threshold"].exp()
        pre = values @ weights["0.W_enc"].T + weights["0.b_enc"]
        acts = pre * (pre > threshold)
        missed = acts @ weights["0.W_dec"] + weights["0.b_dec"] - values
        near = ((pre - threshold).abs() < BANDWIDTH / 2) / BANDWIDTH
        of_error = -(2 * missed / missed.numel() @ weights["0.W_dec"].T * near).sum(0) * threshold
        of_count = -0.3 * near.sum(0) / len(values)
    found = weights["0.log_threshold"].grad
    assert found is not None
    assert torch.allclose(found, (of_error + of_count) * threshold, atol=1e-6)
    assert of_error.abs().min() > 0


def test_a_batch_without_an_active_feature_leaves_the_threshold_as_it_was():
    recipe = TranscoderRecipe(8, 2, 1, kind="batchtopk", site="resid_post")
    values = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    trainee = Training(recipe, (0,), Buffer({"resid_post.0": values})).trainee
    trainee.after_step(trainee.outcome([values], [values]))
    before = float(trainee.tracked["0.threshold"])
    with torch.no_grad():
        trainee.weights["0.b_enc"].fill_(-1e6)
    outcome = trainee.outcome([values], [values])
    assert outcome.l0 == 0
    trainee.after_step(outcome)
    assert 0 < before == float(trainee.tracked["0.threshold"])


def test_dead_features_are_made_to_write_what_the_others_miss():
    """Their loss, worked by hand: what all that died make of the error, and no gradient for the others from it."""
    recipe = TranscoderRecipe(8, 2, 1, site="resid_post")
    values = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    trainee = Training(recipe, (0,), Buffer({"resid_post.0": values})).trainee
    plain = trainee.outcome([values], [values])
    trainee.tracked["0.idle"][[1, 4]] = DEAD_AFTER + 1
    revived = trainee.outcome([values], [values])
    (model,) = trainee.models()
    with torch.no_grad():
        missed = values - model.rebuild(values)
        acts = (values @ model.W_enc[[1, 4]].T + model.b_enc[[1, 4]]).relu()
        due = (missed - acts @ model.W_dec[[1, 4]]).pow(2).mean()
    assert float((revived.loss - plain.loss).detach()) == pytest.approx(AUXILIARY_WEIGHT * float(due), rel=1e-4)
    (revived.loss - plain.loss).backward()
    assert trainee.weights["0.W_dec"].grad is not None
    moved = trainee.weights["0.W_dec"].grad.abs().sum(-1) > 1e-7
    assert moved.nonzero().flatten().tolist() == [1, 4]
