"""Swapping links: the pass that trains against the slow reference that verifies, and both against the model itself."""

import random

import pytest
import torch
from vesalius.evals.organisms._interchange_causal import Build, Link
from vesalius.evals.organisms._interchange_forward import LinkModel, Swap
from vesalius.evals.organisms._interchange_reference import Reference
from vesalius.evals.organisms._interchange_training import new_model
from vesalius.evals.organisms._tokenizer import word_tokenizer
from vesalius.tools import Subject, one_thread

WORDS = [f"w{i}" for i in range(20)]
BUILDS = {
    "gpt2": Build("gpt2", 2, d_model=16, n_heads=2, n_kv_heads=2),
    "llama": Build("llama", 2, d_model=16, n_heads=2, n_kv_heads=1),
}
N_PROMPTS, N_WORDS = 2, 4


class Pairs:
    """A random model of a build, wide enough that every link matters, and prompts with their sources."""

    def __init__(self, family: str) -> None:
        self.build, rng = BUILDS[family], random.Random(family)
        tokenizer = word_tokenizer(WORDS)
        model = new_model(self.build, len(tokenizer), 0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
        self.subject = Subject(model, tokenizer, family, None, None)
        self.bases, self.sources = (
            [" ".join(rng.choices(WORDS, k=N_WORDS)) for _ in range(N_PROMPTS)] for _ in range(2)
        )
        self.reference = Reference(self.subject, self.bases, self.sources)
        self.fast = LinkModel(model, self.build)
        self.ids, self.source_ids = (self.subject.tokenise(texts).ids for texts in (self.bases, self.sources))

    def swapped(self, links: set[Link]) -> torch.Tensor:
        """Logits of the training pass."""
        carried = torch.zeros(N_PROMPTS, len(self.build.slots), len(self.build.nodes))
        for node, slot in links:
            carried[:, self.build.slots.index(slot), self.build.nodes.index(node)] = 1
        return self.fast.run(self.ids, Swap(self.fast.run(self.source_ids).nodes, carried)).logits


@pytest.fixture(params=BUILDS, scope="module")
def pairs(request):
    with one_thread():
        return Pairs(request.param)


def test_a_pass_without_swaps_is_the_models_own(pairs):
    assert torch.allclose(pairs.fast.run(pairs.ids).logits, pairs.reference.clean, atol=1e-4)
    assert torch.allclose(pairs.swapped(set()), pairs.reference.clean, atol=1e-4)
    assert torch.equal(pairs.reference.with_links([]), pairs.reference.clean)


def test_all_links_swapped_are_the_run_of_the_source(pairs):
    everything = set(pairs.build.links)
    assert torch.allclose(pairs.swapped(everything), pairs.reference.corrupted, atol=1e-4)
    assert torch.allclose(pairs.reference.with_links(everything), pairs.reference.corrupted, atol=1e-4)


def test_every_link_alone_and_many_at_once_do_what_the_slow_reference_does(pairs):
    rng = random.Random(0)
    sets = [{link} for link in pairs.build.links]
    sets += [set(rng.sample(pairs.build.links, len(pairs.build.links) // 3)) for _ in range(3)]
    for links in sets:
        slow = pairs.reference.with_links(links)
        assert torch.allclose(pairs.swapped(links), slow, atol=2e-4), sorted(links)
        assert not torch.allclose(slow, pairs.reference.clean, atol=1e-4), f"{sorted(links)} do nothing here"


def test_a_component_swapped_is_all_its_links_swapped(pairs):
    for node in pairs.build.nodes[1:]:
        links = {link for link in pairs.build.links if link[0] == node}
        assert torch.allclose(pairs.reference.with_node(node), pairs.reference.with_links(links), atol=1e-4)


def test_nodes_slots_and_links_are_those_of_the_instruments(pairs):
    from vesalius.tools._circuit_graph import CircuitGraph

    graph = CircuitGraph(pairs.subject.shape)
    assert graph.nodes == pairs.build.nodes
    assert graph.slots == pairs.build.slots
    assert graph.links == pairs.build.links
