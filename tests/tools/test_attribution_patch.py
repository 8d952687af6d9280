"""Attribution patching of nodes: exact where the model is linear, and the sum of the node's links everywhere."""

import pytest
import torch
from circuit_models import FAMILIES, PAIRS, REFUSED, linear_subject
from conftest import make_subject
from vesalius.tools import ToolError
from vesalius.tools._circuit_families import Family
from vesalius.tools._circuit_methods import Method
from vesalius.tools._circuit_results import out_of
from vesalius.tools._circuit_scores import Asking
from vesalius.tools.attribution_patch import AttributionPatchArgs, attribution_patch
from vesalius.tools.patch import PatchArgs, patch


def asking(subject, families=FAMILIES) -> Asking:
    return Asking.of(subject, [Family.model_validate(family) for family in families])


def test_in_a_linear_model_every_score_is_what_cutting_the_node_off_does():
    made = asking(linear_subject())
    exact = made.exact([out_of(made.graph, node) for node in made.graph.nodes])
    for scores, due in zip(made.nodes(), exact, strict=True):
        assert torch.allclose(scores.drops, due.drops, atol=2e-5)


def test_the_measured_effect_of_the_last_mlp_is_that_of_patching_its_output_at_the_last_token(subject):
    asked = {"families": FAMILIES[:1], "top": 16, "check": 16}
    result = attribution_patch(subject, AttributionPatchArgs.model_validate(asked))
    (mlp,) = (one for one in result.scored if one.source == "mlp_out.2")
    (cell,) = patch(subject, PatchArgs.model_validate({"pairs": PAIRS[:2], "sites": ["mlp_out.2"]})).cells
    assert mlp.families[0].measured == pytest.approx(cell.effect, abs=1e-4)


def test_a_node_has_the_sum_of_its_links(subject):
    made = asking(subject, FAMILIES[:1])
    (nodes,), (links,) = made.nodes(), made.links(Method())
    for place, node in enumerate(made.graph.nodes):
        mine = torch.tensor([source == node for source, _ in made.graph.links])
        assert torch.allclose(nodes.drops[:, place], links.drops[:, mine].sum(1), atol=2e-5), node


def test_a_pair_without_a_change_has_no_score_to_the_last_bit():
    same = {**PAIRS[1], "corrupted": PAIRS[1]["base"]}
    (scores,) = asking(make_subject("gemma2"), [{"name": "both", "pairs": [PAIRS[0], same]}]).nodes()
    assert scores.drops[0].abs().max() > 0
    assert scores.drops[1].abs().max() == 0


@pytest.mark.parametrize(("change", "mend"), REFUSED)
def test_what_cannot_be_scored_is_refused_with_the_mend(change, mend):
    with pytest.raises(ToolError, match=mend):
        attribution_patch(make_subject("gpt2"), attribution_patch.parse({"families": [{"name": "one", **change}]}))
