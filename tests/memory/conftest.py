"""Records to write, and a machine whose only network is itself."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from vesalius.memory import ClaimRecord, FeatureCard, HashingEmbedder, HypothesisRecord, Trial
from vesalius.tools import SubjectKey

THESE = SubjectKey(model="atlas", fingerprint="a" * 64)
OTHERS = SubjectKey(model="gpt2", fingerprint="b" * 64)
TWIN = SubjectKey(model="atlas", fingerprint="a" * 64, reinit_seed=1)


def make_claim(text: str = "Head 3.5 copies the name that came before.", **changes: Any) -> ClaimRecord:
    fields: dict[str, Any] = {
        "subject": THESE,
        "run": "run-1",
        "tier": "controlled",
        "verdict": "supported",
        "effect": 0.42,
        "interval": (0.31, 0.5),
        "question": "How does the model finish the name?",
        "where": "head.3.5",
        "measurements": ("m-00000001",),
    }
    return ClaimRecord(text=text, **(fields | changes))


def make_tested(**changes: Any) -> Trial:
    fields: dict[str, Any] = {
        "behaviour": "task capital_of_state",
        "kind": "mediation",
        "predicts": "effect",
        "intervention": "patch (value source)",
        "families": ("values from the swapped prompt", "values from another wording"),
        "site": "resid_post.1",
        "position": "entity",
    }
    return Trial(**(fields | changes))


def make_hypothesis(statement: str = "Layer 2 detects closing quotation marks.", **changes: Any) -> HypothesisRecord:
    fields: dict[str, Any] = {"subject": THESE, "run": "run-1", "tier": "observed", "verdict": "inconclusive"}
    return HypothesisRecord(statement=statement, **(fields | changes))


def make_card(name: str = "names of capital cities", **changes: Any) -> FeatureCard:
    fields: dict[str, Any] = {
        "subject": THESE,
        "run": "run-1",
        "tier": "observed",
        "dictionary": "d" * 64,
        "feature": "mlp_out.3/17",
        "contexts": ("the capital of France is", "flew to Rome"),
        "promoted": (" Paris", " Rome"),
    }
    return FeatureCard(name=name, **(fields | changes))


@pytest.fixture
def claim() -> Callable[..., ClaimRecord]:
    """Makes a claim about `these` weights."""
    return make_claim


@pytest.fixture
def tested() -> Callable[..., Trial]:
    """Makes what a claim was tested by: a patch of `resid_post.1` at the entity."""
    return make_tested


@pytest.fixture
def hypothesis() -> Callable[..., HypothesisRecord]:
    """Makes a hypothesis about `these` weights."""
    return make_hypothesis


@pytest.fixture
def card() -> Callable[..., FeatureCard]:
    """Makes a feature card about `these` weights."""
    return make_card


@pytest.fixture
def these() -> SubjectKey:
    """The weights under study."""
    return THESE


@pytest.fixture
def others() -> SubjectKey:
    """Another model."""
    return OTHERS


@pytest.fixture
def twin() -> SubjectKey:
    """`these`, re-initialised: same fingerprint, other weights."""
    return TWIN


@pytest.fixture
def spelling() -> HashingEmbedder:
    """The embedder that needs no weights."""
    return HashingEmbedder()


@pytest.fixture(autouse=True, scope="module")
def _light_and_alone() -> Iterator[None]:
    """One thread, and an error for every connection that would leave the machine."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _only_here(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _only_here(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", _no_names(socket.getaddrinfo))
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield


def _only_here(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test reached for the network: {address}")
        return connect(self, address)

    return guarded


def _no_names(getaddrinfo: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *rest: Any, **options: Any) -> Any:
        if host not in (None, "127.0.0.1", "::1", "localhost", b"127.0.0.1"):
            raise AssertionError(f"a test looked up a name: {host}")
        return getaddrinfo(host, *rest, **options)

    return guarded
