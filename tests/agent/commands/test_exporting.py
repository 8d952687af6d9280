"""What `vesalius export inspect` refuses; what it writes is tested where Inspect is installed."""

import importlib.util
from types import SimpleNamespace

import pytest
from finished_runs import a_run
from vesalius.agent.commands.exporting import inspect_command
from vesalius.agent.runs import UnknownRun
from vesalius.agent.settings import read_settings
from vesalius.tools import ToolError


def test_without_its_package_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'vesalius\[inspect\]'"):
        inspect_command(read_settings(home=tmp_path), "last", None, as_json=False)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Inspect were there: what is refused is refused before it is used."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))


@pytest.mark.usefixtures("installed")
def test_another_ending_a_run_without_a_report_and_an_unknown_run_are_refused(tmp_path):
    settings = read_settings(home=tmp_path)
    with pytest.raises(UnknownRun, match="none yet"):
        inspect_command(settings, "last", None, as_json=False)
    folder = a_run(tmp_path)
    with pytest.raises(ToolError, match=r"Name it .*log\.eval"):
        inspect_command(settings, folder.name, tmp_path / "log.json", as_json=False)
    with pytest.raises(ToolError, match="ask --resume"):
        inspect_command(settings, folder.name, tmp_path / "log.eval", as_json=False)
    assert not (tmp_path / "log.eval").exists()
