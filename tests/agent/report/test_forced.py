"""A dictionary that was forced is marked wherever a report shows what was measured with it."""

import pytest
from vesalius.agent.headlines import FORCED, headline
from vesalius.agent.report.views import view
from vesalius.tools import Measurement, SubjectKey

RESULTS = {
    "describe_feature": {"contexts": []},
    "feature_activations": {"features": []},
    "a_tool_of_tomorrow": {"found": 1},
}


def measured(tool: str, result: dict) -> Measurement:
    key = SubjectKey(model="m", fingerprint="f")
    return Measurement(id="m-12345678", tool=tool, subject=key, args={}, result=result, digest="d", seconds=0.0)


@pytest.mark.parametrize("tool", list(RESULTS))
def test_a_forced_dictionary_is_said_in_the_headline_and_above_the_picture(tool):
    plain, forced = (measured(tool, RESULTS[tool] | {"dictionary_forced": flag}) for flag in (False, True))
    assert headline(forced).text == f"{headline(plain).text} {FORCED}"
    assert 'class="warning"' in view(forced)
    assert "was not, or is not known to be, trained on these weights" in view(forced)
    assert "warning" not in view(plain)
    assert FORCED not in headline(plain).text


def test_what_used_no_dictionary_is_not_marked():
    assert FORCED not in headline(measured("a_tool_of_tomorrow", {"found": 1})).text
