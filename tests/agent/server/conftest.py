"""One small finished run, and servers of homes that hold copies of it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from planned_runs import copying, honest, planned_run
from vesalius.tools import Subject, SubjectKey, ToolError

pytest.importorskip("fastapi")

from browsing import chromium_running, on_a_port
from served import HOSTILE, Served, pool_of, served, settings_of
from vesalius.agent.report.schema import read_report
from vesalius.agent.server.access import access_for
from vesalius.agent.server.app import make_app


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with two claims, planned by a scripted language model."""
    home = tmp_path_factory.mktemp("finished")
    planned_run(home, *honest())
    (run,) = (home / "runs").iterdir()
    return run


@pytest.fixture
def home(tmp_path: Path, finished: Path) -> Path:
    """A home with a copy of that run, named `done`."""
    shutil.copytree(finished, tmp_path / "runs" / "done")
    return tmp_path


@pytest.fixture
def loaded() -> list[str]:
    """Names of subjects that were loaded, in order."""
    return []


@pytest.fixture
def load(loaded: list[str]) -> Callable[[str, str], Subject]:
    """Loads the model of that run, which lies nowhere on disk."""
    subject = copying()[0].organism.subject

    def load(name: str, device: str) -> Subject:
        loaded.append(name)
        if name != subject.key.model:
            raise ToolError(f"No model {name}.", mend="Take another.")
        return subject

    return load


@pytest.fixture
def page(home: Path, load: Callable[[str, str], Subject]) -> Iterator[Served]:
    """A server of that home."""
    with served(home, load) as one:
        yield one


@pytest.fixture
def site(home: Path, load: Callable[[str, str], Subject]) -> Iterator[str]:
    """Address of a server of that home, for a browser."""
    settings = settings_of(home)
    with pool_of(settings, load) as pool, on_a_port(make_app(settings, access_for("127.0.0.1"), pool)) as address:
        yield address


@pytest.fixture
def hostile(home: Path) -> str:
    """A run whose subject, planner and asker wrote markup wherever they could."""
    report = home / "runs" / "done" / "report.json"
    folder = home / "runs" / "hostile"
    shutil.copytree(report.parent, folder)
    found = read_report(report)
    key = SubjectKey(model=HOSTILE, fingerprint=found.subject.key.fingerprint)
    claims = tuple(
        claim.model_copy(update={"hypothesis": claim.hypothesis.model_copy(update={"statement": HOSTILE})})
        for claim in found.claims
    )
    changed = found.model_copy(
        update={
            "question": HOSTILE,
            "planner": HOSTILE,
            "claims": claims,
            "subject": found.subject.model_copy(update={"key": key}),
        }
    )
    (folder / "report.json").write_text(changed.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return folder.name


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser; for one file, because its event loop would be in the way of other tests'."""
    with chromium_running() as browser:
        yield browser
