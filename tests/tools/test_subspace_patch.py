"""Subspace patching: the illusion named, true directions kept, a search that finds what was planted, no-ops, errors."""

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from dormant_paths import dormant_path, neurons, pairs_of
from torch.nn.functional import cross_entropy
from vesalius.tools import Subject, ToolError, silent
from vesalius.tools._alignment_search import Lesson, Search, _loss, aligned_subspace, class_subspace
from vesalius.tools._patch_places import SitePlace
from vesalius.tools._patching import Patching
from vesalius.tools._subspace_runs import Exchange
from vesalius.tools._subspace_verdict import IllusionRule, failures_of, verdict_of
from vesalius.tools._subspaces import connection, orthonormal, random_subspace
from vesalius.tools.patch import PatchArgs, patch
from vesalius.tools.subspace_patch import SubspacePatchArgs, subspace_patch

PAIRS = [
    {"base": "w1 w2 w3", "corrupted": "w1 w9 w3", "answer": "w4", "foil": "w5"},
    {"base": "w6 w7 w8", "corrupted": "w6 w10 w8", "answer": "w11", "foil": "w12"},
]
DISCOVERY = [
    {"base": "w3 w2 w3", "corrupted": "w3 w9 w3", "answer": "w4", "foil": "w5"},
    {"base": "w6 w13 w8", "corrupted": "w6 w10 w8", "answer": "w11", "foil": "w12"},
    {"base": "w6 w1 w8", "corrupted": "w6 w11 w8", "answer": "w11", "foil": "w13"},
]
SILENT = dormant_path(true_writes=0)
SPEAKING = dormant_path(true_writes=3)


def run(subject, **asked):
    raw = {"pairs": PAIRS, "site": "resid_post.1", "direction": "given", **asked}
    return subspace_patch(subject, SubspacePatchArgs.model_validate(raw))


def at_mlp(subject, *vectors: list[float]):
    result = run(subject, pairs=pairs_of("w5", "w6", "w7"), site="mlp_act.1", vectors=vectors)
    return result, result.cells[0]


def test_a_dormant_path_is_named_an_illusion():
    """Known answer: neither part moves anything, nor does the whole MLP; together they move the answer."""
    result, cell = at_mlp(SILENT, neurons(correlated=1, dormant=1))
    assert cell.subspace.effect > 0.5
    assert cell.row_part.effect == cell.null_part.effect == cell.component.effect == 0
    assert (cell.row_part.dimension, cell.null_part.dimension) == (1, 1)
    assert cell.row_share == pytest.approx(0.5)
    assert cell.verdict == "illusion"
    assert cell.failed == ("needs_disconnected_part", "exceeds_component")
    assert (result.outgoing, result.connected, result.width) == ("W_down", 1, 40)
    assert result.no_op_change == 0.0


def test_a_search_that_falls_for_a_dormant_path_is_caught():
    """Distributed alignment search is rewarded for the illusion, and finds it where there is nothing else."""
    asked = {"pairs": pairs_of("w5", "w6"), "discovery": pairs_of("w20", "w21"), "site": "mlp_act.1"}
    (cell,) = run(SILENT, **asked, direction="das", search={"steps": 40}).cells
    assert cell.subspace.effect > 0.9
    assert (cell.verdict, cell.row_part.effect, cell.component.effect) == ("illusion", 0, 0)


def test_a_true_direction_does_what_its_component_does_and_holds():
    _, cell = at_mlp(SPEAKING, neurons(true=1))
    assert cell.subspace.effect == pytest.approx(cell.component.effect, abs=1e-6)
    assert cell.component.effect > 0.2
    assert (cell.verdict, cell.failed) == ("holds", ())
    assert cell.subspace.effect > max(map(abs, cell.random_effects + cell.random_pushes))
    assert len(cell.random_effects) == len(cell.random_pushes) == 20


def test_what_is_disconnected_does_nothing_and_is_no_effect():
    _, cell = at_mlp(SPEAKING, neurons(correlated=1))
    assert cell.subspace.effect == 0
    assert (cell.verdict, cell.row_part.dimension) == ("no_effect", 0)


@pytest.mark.parametrize(
    ("effect", "row", "component", "verdict"),
    [
        (0.459, 0.132, -0.08, "illusion"),  # the MLP direction of Makelov et al. 2023, Table 1
        (1.389, 1.389, 1.215, "holds"),  # their direction in the stream
        (0.459, 0.459, -0.08, "exceeds_component"),
        (0.04, 0.0, 0.0, "no_effect"),
        (-0.5, -0.4, -0.5, "holds"),
        (-0.5, 0.4, -0.5, "illusion"),
        (0.2, 0.2, 0.2, "not_above_random"),
    ],
)
def test_published_figures_get_the_verdict_that_was_published(effect, row, component, verdict):
    failed = failures_of(
        effect, row, component, [0.1, -0.3] if verdict == "not_above_random" else [0.1], IllusionRule()
    )
    assert verdict_of(failed) == verdict


def test_a_basis_of_everything_is_the_whole_component_and_what_patch_measures(subject):
    site = "head.1.2"
    result = run(subject, site=site, vectors=torch.eye(subject.shape.d_head).tolist())
    (cell,) = result.cells
    (by_patch,) = patch(subject, PatchArgs.model_validate({"pairs": PAIRS, "sites": [site]})).cells
    assert cell.subspace.effects == pytest.approx(cell.component.effects, abs=1e-4)
    assert cell.component.effects == pytest.approx(by_patch.effects, abs=1e-6)
    assert result.no_op_change == 0.0


def test_nothing_sees_the_null_space_of_what_an_mlp_writes(subject):
    seen = connection(subject, subject.site("mlp_act.1"))
    assert seen.seen is not None
    assert len(seen.seen) == 24 - subject.final_norm.centred
    hidden = torch.linalg.svd(seen.seen)[2][len(seen.seen) :][:3]
    (cell,) = run(subject, site="mlp_act.1", vectors=hidden.tolist()).cells
    assert cell.subspace.effects == pytest.approx([0, 0], abs=2e-4)
    assert (cell.row_part.dimension, cell.null_part.dimension, cell.verdict) == (0, 3, "no_effect")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_what_is_seen_does_not_hang_on_the_element_type(family, dtype):
    """Known answer: a mean taken off in half precision would leave a direction of rounding that counts as seen."""
    subject = Subject(random_model(family).to(dtype), word_tokenizer(), "", None, None)
    seen = connection(subject, subject.site("mlp_act.1"))
    assert seen.seen is not None
    assert len(seen.seen) == 24 - subject.final_norm.centred


def test_a_base_exchanged_for_itself_changes_no_bit_in_double_precision():
    subject = Subject(random_model("gpt2").double(), word_tokenizer(), "", None, None)
    assert run(subject, vectors=[list(range(24))]).no_op_change == 0.0


@pytest.mark.parametrize("size", [1e-40, 1e38, 1e300])
def test_given_vectors_span_the_same_however_long_they_are(size):
    subject = make_subject("gpt2")
    (plain,), (other,) = (run(subject, vectors=[[one] * 12 + [-one] * 12]).cells for one in (1.0, size))
    assert other == plain


def test_norms_that_centre_hide_the_streams_mean_and_others_do_not(subject):
    (cell,) = run(subject, site="resid_post.1", vectors=[[1.0] * 24]).cells
    if subject.final_norm.centred:
        assert cell.subspace.effects == pytest.approx([0, 0], abs=2e-4)
        assert cell.null_part.dimension == 1
    else:
        assert max(map(abs, cell.subspace.effects)) > 1e-3
        assert (cell.null_part.dimension, cell.row_share) == (0, pytest.approx(1))


def test_values_shared_by_heads_are_seen_through_all_their_output_matrices():
    for family, outgoing in (("llama", "W_O"), ("gpt2", "W_O")):
        subject = make_subject(family)
        seen = connection(subject, subject.site("v.1.1"))
        assert (seen.outgoing, len(seen.seen)) == (outgoing, 6)
    assert connection(make_subject("llama"), make_subject("llama").site("q.1.1")).outgoing == "nonlinear"


def test_an_exchange_equals_a_hook_written_by_hand():
    subject, vector = make_subject("gpt2"), torch.arange(24.0)
    unit, site = vector / vector.norm(), "resid_mid.1"
    bases, donors = (subject.tokenise([p[key] for p in PAIRS]) for key in ("base", "corrupted"))
    own, other = (subject.run(tokens, read=[site]).sites[site] for tokens in (bases, donors))

    def write(value):
        value = value.clone()
        value[:, 2] += (other[:, 2] - own[:, 2]) @ unit[:, None] * unit
        return value

    def difference(logits):
        words = ("w4", "w5"), ("w11", "w12")
        return torch.stack(
            [
                row[subject.answer_token("w1", a)] - row[subject.answer_token("w1", b)]
                for row, (a, b) in zip(logits, words, strict=True)
            ]
        )

    moved = difference(subject.run(bases).last_logits) - difference(subject.run(bases, write={site: write}).last_logits)
    result = run(subject, site=site, positions=["-2", "last"], vectors=[vector.tolist()])
    assert torch.tensor(result.cells[0].subspace.effects) * result.gap == pytest.approx(moved, abs=1e-4)
    assert [cell.position for cell in result.cells] == ["-2", "last"]


def test_the_search_finds_the_direction_that_tells_the_prompts_apart():
    """Known answer: the stream says w1 or w2 along one line, and exchanging that line is the counterfactual."""
    asked = {"pairs": pairs_of("w5", "w6"), "discovery": pairs_of("w20", "w21", "w22"), "site": "resid_pre.1"}
    result = run(SPEAKING, **asked, direction="das", search={"steps": 40}, keep_basis=True)
    (cell,) = result.cells
    line = torch.tensor([1.0, -1.0] + [0.0] * 22) / 2**0.5
    # Not 1: a loss that is never satisfied also learns to write the answer, which the stream holds at 0.
    assert abs(torch.tensor(cell.basis[0]) @ line) > 0.8
    assert cell.subspace.effect > 0.9
    assert (cell.subspace.moved, cell.verdict) == (1.0, "holds")
    assert cell.search_losses[1] < cell.search_losses[0]
    assert cell.discovery_effect == pytest.approx(cell.subspace.effect, abs=0.05)
    assert (result.n_discovery, result.n_pairs, result.n_seen_entities) == (6, 4, 4)


def test_the_difference_of_means_is_the_line_itself():
    asked = {"pairs": pairs_of("w5", "w6"), "discovery": pairs_of("w20"), "site": "resid_pre.1"}
    for pair in asked["discovery"]:
        pair |= {"base_label": pair["base_entity"], "source_label": pair["source_entity"]}
    (cell,) = run(SPEAKING, **asked, direction="difference", keep_basis=True).cells
    assert cell.basis[0] == pytest.approx([-(2**-0.5), 2**-0.5] + [0.0] * 22, abs=1e-6)
    assert cell.subspace.effect == pytest.approx(1, abs=1e-5)


def test_means_of_three_classes_span_a_plane():
    corners = torch.tensor([[1.0, 0, 0, 5], [0, 1, 0, 5], [0, 0, 1, 5]]).repeat(2, 1)
    basis = class_subspace(corners, list("abcabc"), 2)
    assert torch.allclose(basis @ basis.T, torch.eye(2), atol=1e-6)
    assert (basis @ torch.tensor([1.0, 1, 1, 0])).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert basis[:, 3].tolist() == pytest.approx([0, 0], abs=1e-6)


def test_the_searchs_loss_is_that_of_the_patched_run(subject):
    """Second road: patched without gradients, and scored by hand."""
    args = SubspacePatchArgs.model_validate(
        {"pairs": PAIRS, "site": "resid_pre.1", "direction": "given", "vectors": [[1.0] * 24]}
    )
    site, basis = subject.site("attn_out.1"), random_subspace(torch.zeros(2, 24), seed=3)
    patching = Patching(subject, args.pairs, [SitePlace(str(site))], ["last"])
    exchange = Exchange(patching, str(site), "last")
    due = torch.tensor([subject.answer_token(p.base, p.foil) for p in args.pairs])
    lesson = Lesson(patching.tokens, [(3,), (3,)], exchange.own, exchange.donor, due)
    moved = [(d - o) @ basis.T @ basis for o, d in zip(exchange.own, exchange.donor, strict=True)]

    def write(value):
        value = value.clone()
        value[:, 3] += torch.cat(moved)
        return value

    by_hand = cross_entropy(subject.run(patching.tokens, write={str(site): write}).last_logits, due)
    assert _loss(subject, site, lesson, [0, 1], basis).item() == pytest.approx(by_hand.item(), rel=1e-4)
    one_by_one = [exchange.of_subspace(random_subspace(basis, seed)).effect for seed in (1, 2)]
    assert exchange.of_random_subspaces(basis, [1, 2]) == pytest.approx(one_by_one, abs=1e-4)
    found = aligned_subspace(subject, site, lesson, 2, Search(steps=8), 0, silent)
    assert found.last_loss < found.first_loss
    assert torch.allclose(found.basis @ found.basis.T, torch.eye(2), atol=1e-5)


def test_each_argument_of_a_search_varies_the_result_and_a_repeat_does_not():
    asked = {"direction": "das", "discovery": DISCOVERY, "search": {"steps": 3}}
    subject = make_subject("llama")
    first = run(subject, **asked)
    assert run(subject, **asked) == first
    for change in ({"seed": 1}, {"shuffle": True}, {"search": {"steps": 4}}):
        assert run(subject, **{**asked, **change}).cells != first.cells, change


def test_a_part_too_short_to_be_one_is_left_out():
    assert len(orthonormal(torch.tensor([[1e-5, 0.0]]))) == 0
    assert len(orthonormal(torch.tensor([[1.0, 0.0], [1.0, 1e-5]]))) == 1
    assert orthonormal(torch.tensor([[-2.0, 0.0]])).tolist() == [[-1, 0]]


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"site": "pattern.1"}, "Write head outputs"),
        ({"vectors": [[1.0, 2.0]]}, "Give 24"),
        ({"vectors": [[0.0] * 24]}, "point somewhere"),
        ({"vectors": [[1.0] * 24, [2.0] * 24]}, "Leave out those"),
        ({"vectors": []}, "needs `vectors`"),
        ({"direction": "das"}, "needs `vectors`"),
        ({"direction": "das", "vectors": []}, "need discovery pairs"),
        ({"discovery": DISCOVERY}, "`given` takes none"),
        ({"direction": "das", "vectors": [], "discovery": PAIRS}, "hold out those that are measured"),
        ({"direction": "difference", "vectors": [], "discovery": DISCOVERY, "dimension": 2}, r"Ask for 1\.\.1"),
        ({"direction": "das", "vectors": [], "discovery": DISCOVERY, "dimension": 25}, r"1\.\.24"),
        ({"shuffle": True}, "`difference` or `das`"),
        ({"random_draws": 19}, "greater than or equal to 20"),
        ({"positions": ["middle"]}, "last, entity, differs"),
        ({"pairs": [{**PAIRS[0], "corrupted": PAIRS[0]["base"]}]}, "change the answer"),
        ({"rule": {"slack": float("inf")}}, "finite number"),
        ({"rule": {"over_component": float("inf")}}, "finite number"),
        ({"seed": 10**14}, "less than or equal to"),
    ],
)
def test_what_cannot_be_patched_is_refused_with_the_mend(change, mend):
    raw = {"pairs": PAIRS, "site": "resid_post.1", "direction": "given", "vectors": [[1.0] * 24], **change}
    with pytest.raises(ToolError, match=mend):
        subspace_patch(make_subject("gpt2"), subspace_patch.parse(raw))
