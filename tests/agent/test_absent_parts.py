"""That a part plays no part is no claim before a search has looked behind the others."""

import pytest
from vesalius.agent._absent_parts import unsearched
from vesalius.agent._evidence import Arm
from vesalius.tools import Measurement, SubjectKey, digest


def arm(site: str) -> Arm:
    return Arm(label="a", counterfactual_family="a", tool="patch", args={"sites": [site], "positions": ["last"]})


def search(*links: tuple[str, tuple[str, ...]], n_circuit: int | None = None, **args) -> Measurement:
    listed = [
        {"source": source, "slot": "logits", "in_circuit": True, "without": list(without)} for source, without in links
    ]
    listed.append({"source": "head.3.3", "slot": "logits", "in_circuit": False, "without": []})
    result = {"links": listed, "n_circuit": len(links) if n_circuit is None else n_circuit}
    body = {"id": "m-0123abcd", "tool": "circuit_search", "args": {"backups": True, "method": "eap_ig"} | args}
    key = SubjectKey(model="x", fingerprint="f" * 64)
    return Measurement.model_validate(
        {**body, "subject": key, "result": result, "digest": digest(result), "seconds": 0.1}
    )


@pytest.mark.parametrize("site", ["head.3.3", "attn_out.3", "mlp_out.0", "head.1.1"])
def test_without_a_search_that_looks_behind_others_nothing_is_said_of_a_part(site):
    for explored in ((), (search(backups=False),), (search(method="greedy"),)):
        assert "has not looked for what stands in for others" in unsearched(arm(site), explored)


def test_a_part_that_a_search_has_in_its_circuit_is_not_absent():
    found = (search(("head.1.10", ("head.0.0",)), ("mlp_out.2", ())),)
    assert "`head.1.10` in the circuit, with head.0.0 taken out" in unsearched(arm("head.1.10"), found)
    assert "`head.1.10` in the circuit" in unsearched(arm("attn_out.1"), found)
    assert unsearched(arm("mlp_out.2"), found).endswith("in the circuit")
    for other in ("head.1.1", "head.3.3", "attn_out.3", "mlp_out.0"):
        assert unsearched(arm(other), found) == ""


def test_a_search_that_lists_half_of_its_circuit_says_nothing_of_the_rest():
    assert "lists too few" in unsearched(arm("head.3.3"), (search(("mlp_out.2", ()), n_circuit=2),))


@pytest.mark.parametrize("site", ["resid_post.1", "resid_pre.0"])
def test_of_the_stream_nothing_more_is_asked(site):
    assert unsearched(arm(site), ()) == ""
