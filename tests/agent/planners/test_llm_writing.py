"""A language model as the writer of a run's probes: asked again for what cannot be read, never replaced."""

import pytest
from scripted_endpoint import KEY, says, serving
from vesalius.agent.planners.interface import Inquiry
from vesalius.agent.planners.llm_endpoint import Endpoint, EndpointError
from vesalius.agent.planners.llm_writing import TRIES, ProbeWriter
from vesalius.tools import ToolError

INQUIRY = Inquiry(key="probes", prompt="Dallas is in", target="Texas", contexts=("Waco",), words=("Dallas", "is", "in"))
TEXAS = {"label": "Texas", "category": "state", "description": "Dallas is in"}


def writer(url: str, model: str = "tiny", **more) -> ProbeWriter:
    return ProbeWriter(lambda: Endpoint(base_url=url, model=model, api_key=KEY, retries=0, **more), "tiny", seed=7)


def test_what_is_wanted_is_asked_for_and_comes_back_with_its_origin():
    with serving(says([TEXAS])) as played:
        found = writer(played.url).write(INQUIRY)
    assert [(p.text, p.concept) for p in found.probes] == [("Dallas is in is Texas", "Texas")]
    assert (found.model, found.seed, found.problem) == ("tiny-2025", 7, "")
    about = {"prompt": "Dallas is in", "target": "Texas", "contexts": ["Waco"], "words": ["Dallas", "in", "is"]}
    assert played.about(0) == about


def test_a_reply_that_is_no_list_is_asked_for_again_with_another_seed():
    with serving(says("Certainly!"), says([]), says([TEXAS])) as played:
        found = writer(played.url).write(INQUIRY)
    assert ([one["seed"] for one in played.asked], found.seed, len(found.probes)) == ([7, 8, 9], 9, 1)


def test_a_model_that_never_writes_a_list_leaves_a_problem_and_no_probes():
    with serving(says("I would rather not.")) as played:
        found = writer(played.url).write(INQUIRY)
    assert (len(played.asked), found.probes, found.reply_digest) == (TRIES, (), "")
    assert "is no list of concepts" in found.problem
    assert "rather" not in found.problem


def test_an_endpoint_that_fails_is_an_error_and_no_finding():
    with serving((500, "{}")) as played, pytest.raises(EndpointError, match=r"status 500.*Check the server"):
        writer(played.url).write(INQUIRY)
    assert len(played.asked) == 1
    with serving(20.0) as played, pytest.raises(EndpointError, match=r"within 0\.2 s"):
        writer(played.url, timeout_s=0.2).write(INQUIRY)


def test_a_run_is_written_for_by_one_model():
    with serving(says([TEXAS])) as played, pytest.raises(ToolError, match=r"`tiny`.*`huge`.*PLANNER_MODEL=tiny"):
        writer(played.url, model="huge").write(INQUIRY)
    assert not played.asked
