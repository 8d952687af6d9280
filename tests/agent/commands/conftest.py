"""What commands are given in tests."""

from pathlib import Path

import pytest
from vesalius.agent.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(home=tmp_path, device="cpu")
