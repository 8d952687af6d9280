"""The subject as a graph: every link that the order of the computation allows, under our names and MIB's."""

import pytest
from conftest import make_subject
from vesalius.tools import ToolError
from vesalius.tools._circuit_graph import CircuitGraph
from vesalius.tools._subject import Shape


def graph(family: str) -> CircuitGraph:
    return CircuitGraph(make_subject(family).shape)


def test_links_are_counted_by_hand():
    """3 layers of 4 heads: before layer L stand 1 + 5 L nodes; 12 slots of heads read them, the MLP the heads too."""
    due = sum(12 * (1 + 5 * layer) + (1 + 5 * layer + 4) for layer in range(3)) + 16
    assert len(graph("gpt2").links) == due == len(set(graph("gpt2").links))
    assert graph("gpt2").links[0] == ("embed", "q.0.0")


def test_in_parallel_blocks_the_mlp_does_not_read_its_own_heads():
    assert "head.1.0" in graph("gpt2").read_by("mlp_in.1")
    assert "head.1.0" not in graph("gpt_neox").read_by("mlp_in.1")
    assert "head.1.0" in graph("gpt_neox").read_by("q.2.0")


def test_every_link_goes_forward(subject):
    """A node's own slots are read from nodes that come before it."""
    made = CircuitGraph(subject.shape)
    order = {node: place for place, node in enumerate(made.nodes)}
    for node in made.nodes:
        for slot in made.slots_of(node):
            assert all(order[source] < order[node] for source in made.read_by(slot)), (node, slot)
            assert node in made.nodes_of(slot)


def test_every_slot_and_node_is_a_site_of_the_subject(subject):
    made = CircuitGraph(subject.shape)
    for name in (*made.nodes, *made.slots[:-1]):
        assert str(subject.site(name)) == name


def test_shared_keys_are_one_slot_of_several_heads():
    made = graph("llama")
    assert made.nodes_of("k.1.0") == ("head.1.0", "head.1.1")
    assert list(made.mib(("mlp_out.0", "k.1.0"))) == ["m0->a1.h0<k>", "m0->a1.h1<k>"]
    assert made.link("m0->a1.h1<k>") == ("mlp_out.0", "k.1.0")


def test_names_of_mib_lead_back_to_every_link(subject):
    made = CircuitGraph(subject.shape)
    for link in made.links:
        names = list(made.mib(link))
        assert names
        assert {made.link(name) for name in names} == {link}


@pytest.mark.parametrize(
    "text",
    [
        "m0->m0",
        "a1.h0->a0.h1<q>",
        "embed",
        "embed->wings",
        "logits->m1",
        "m1->a1.h0<v>",
        "m0->a1.h" + "9" * 5000 + "<q>",
    ],
)
def test_a_link_that_is_none_is_refused_with_one_that_is(text):
    with pytest.raises(ToolError, match=r"NODE->SLOT, a slot behind its node: for example `mlp_out\.2->logits`"):
        graph("gpt2").link(text)


def test_gpt2_small_has_as_many_nodes_and_links_as_mib_says():
    """As its published circuit files count them, the logits a node too."""
    small = CircuitGraph(Shape(12, 12, 12, 768, 64, 3072, 50257, 1024, parallel=False))
    assert len(small.nodes) + 1 == 158
    assert len(small.links) == 32_491
    assert list(small.mib(small.links[0])) == ["input->a0.h0<q>"]
