"""One finished investigation of the reference model, shared by the tests that look at it."""

from pathlib import Path

import pytest
from finished_runs import DALLAS, Finished, finish
from vesalius.agent.asking import Where
from vesalius.tools import Subject


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of the shared run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def dallas(home: Path, atlas: Subject) -> Finished:
    """Why Austin, with an embedded memory."""
    return finish(Where(home), atlas, DALLAS)
