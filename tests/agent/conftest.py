"""One finished investigation of the reference model, shared by the tests that look at it, in whatever process."""

import json
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from finished_runs import DALLAS, Finished, finish
from vesalius.agent.asking import Where
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import RunFolder
from vesalius.tools import Subject


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of the shared run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def dallas(home: Path, atlas: Subject, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Why Austin, with an embedded memory: asked by the first process that wants it, and copied by the others.

    Each has a copy of its own, since tests add to the memory and to the runs.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return finish(Where(home), atlas, DALLAS)
    shared = tmp_path_factory.getbasetemp().parent / "dallas"
    with FileLock(f"{shared}.lock"):
        if not (shared / "events.json").exists():
            shutil.rmtree(shared, ignore_errors=True)
            made = finish(Where(shared), atlas, DALLAS)
            (shared / "events.json").write_text(json.dumps(made.events))
    shutil.copytree(shared, home, dirs_exist_ok=True)
    (run,) = (home / "runs").iterdir()
    events = json.loads((home / "events.json").read_text())
    return Finished(RunFolder(run), read_report(run / "report.json"), events)
