"""The multiplications that a sweep is planned by are those that it does."""

import pytest
import torch
from conftest import make_subject
from random_dictionaries import random_dictionary
from torch.utils.flop_counter import FlopCounterMode
from vesalius.tools import _attribution_plan, count_products
from vesalius.tools._attribution_local import local_model
from vesalius.tools._attribution_nodes import Sources, feature_targets
from vesalius.tools._attribution_sweep import direct_effects

PROMPT = "w3 w17 w5 w11 w2"


def added_product(_, left, right, **others) -> int:
    """What the counter knows of products that make a tensor, for one that adds to a tensor."""
    return 2 * torch.Size(left).numel() * right[-1]


def done_by(local, sources, targets) -> float:
    in_place = {torch.ops.aten.addmm_: added_product, torch.ops.aten.baddbmm_: added_product}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        direct_effects(local, sources, targets, local.n_sources)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("cut", range(4))
@pytest.mark.parametrize("kind", ["topk", "skip", "cross-layer"])
@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
def test_the_products_counted_are_the_products_done(family, kind, cut, monkeypatch):
    subject = make_subject(family)
    dictionary = random_dictionary(subject, kind)
    local = local_model(subject, dictionary, PROMPT)
    sources, targets = Sources(local), feature_targets(local, torch.arange(local.n_active))
    monkeypatch.setattr(_attribution_plan, "ROWS_AT_ONCE", 1)  # neighbours that go together see more than they need
    counted = _attribution_plan.products
    monkeypatch.setattr(_attribution_plan, "products", lambda *args: args[-1] != cut)
    done = done_by(local, sources, targets)
    monkeypatch.setattr(_attribution_plan, "products", lambda *args: counted(*args) if args[-1] == cut else 10**15)
    share = done / count_products(local, sources, targets)
    assert 1 <= share < 1.25  # a mix goes over all pairs of positions, also those that do not see one another
