"""The language model of the settings: what is missing is said before anything is asked, and the key never."""

import pytest
from scripted_endpoint import KEY, says, serving
from vesalius.agent.commands.doctor import _planner
from vesalius.agent.endpoint import endpoint_of
from vesalius.agent.failing import SettingError
from vesalius.agent.settings import Settings, read_settings

HERE = {"planner_url": "http://127.0.0.1:8000/v1", "planner_model": "tiny"}
THERE = {"planner_url": "https://api.example.org/v1", "planner_model": "tiny"}


def settings(**given: str) -> Settings:
    return read_settings(**{"planner_url": "", "planner_model": "", "planner_key": "", **given})


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ({}, "Set VESALIUS_PLANNER_URL"),
        ({"planner_model": "tiny", "planner_key": KEY}, "Set VESALIUS_PLANNER_URL"),
        ({**HERE, "planner_model": " "}, "Set VESALIUS_PLANNER_MODEL"),
        (THERE, "Set VESALIUS_PLANNER_KEY"),
        ({**HERE, "planner_url": "127.0.0.1:8000"}, "VESALIUS_PLANNER_URL cannot be used: is no address"),
        ({**HERE, "planner_url": "http://127.0.0.1:99999"}, "VESALIUS_PLANNER_URL cannot be used: Port out of range"),
        ({**HERE, "planner_model": "x" * 201}, "VESALIUS_PLANNER_MODEL cannot be used"),
        ({**HERE, "planner_model": "a\nb"}, "VESALIUS_PLANNER_MODEL cannot be used: holds a line break"),
        ({**THERE, "planner_key": f"{KEY} x"}, "VESALIUS_PLANNER_KEY cannot be used: is empty, or holds a space"),
    ],
)
def test_what_is_missing_or_malformed_is_said_with_the_mend(given, mend):
    with pytest.raises(SettingError, match=mend) as refused:
        endpoint_of(settings(**given))
    assert KEY not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_an_endpoint_on_this_machine_needs_no_key(host):
    assert endpoint_of(settings(**{**HERE, "planner_url": f"http://{host}:8000/v1"})).model == "tiny"


def test_a_key_is_kept_out_of_whatever_is_printed_or_dumped():
    given = settings(**THERE, planner_key=KEY)
    endpoint = endpoint_of(given)
    assert endpoint.api_key.get_secret_value() == KEY
    shown = f"{given!r} {given} {given.model_dump_json()} {endpoint!r} {endpoint.model_dump_json()} {endpoint.shown}"
    assert KEY not in shown


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("VESALIUS_PLANNER_URL", THERE["planner_url"])
    monkeypatch.setenv("VESALIUS_PLANNER_MODEL", "tiny")
    monkeypatch.setenv("VESALIUS_PLANNER_KEY", KEY)
    monkeypatch.setenv("VESALIUS_PROBES", "llm")
    read = read_settings()
    assert (endpoint_of(read).api_key.get_secret_value(), read.probes) == (KEY, "llm")
    monkeypatch.setenv("VESALIUS_PROBES", "oracle")
    with pytest.raises(SettingError, match="'protocol' or 'llm'"):
        read_settings()


def test_doctor_says_whether_the_model_is_there_and_sends_the_key_to_its_endpoint_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-someone-else")
    with serving(says("yes")) as played:
        there = {"planner_url": played.url, "planner_key": KEY}
        assert _planner(settings(**there, planner_model="tiny")).ok
        assert "tiny" in _planner(settings(**there, planner_model="huge")).mend
        _planner(settings(planner_url=played.url, planner_model="tiny"))
        assert played.keys == [f"Bearer {KEY}"] * 2 + ["Bearer none"]
    found = _planner(settings(**there, planner_model="tiny"))
    assert (found.ok, KEY in found.state) == (False, False)
    assert not _planner(settings(planner_url=played.url)).ok
    assert _planner(settings()).ok
