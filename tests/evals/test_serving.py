"""The page under load: its figures, and a short load of a real server."""

import pytest
from vesalius.evals.benchmarks._loaded_server import Seen
from vesalius.evals.benchmarks.serving import Load, load, share, table

SEEN = tuple(Seen("page" if i % 2 else "data", i / 1000, "") for i in range(1, 101))


@pytest.mark.parametrize(("part", "expected"), [(0.5, 51.0), (0.95, 96.0), (1.0, 100.0)])
def test_a_share_of_answers_is_within_what_is_said(part: float, expected: float) -> None:
    assert share(Load(SEEN, (), 0, 1.0, 1, 0).of(""), part) == pytest.approx(expected)


def test_the_table_has_every_kind_and_counts_what_failed() -> None:
    told = table(Load(SEEN, ("500 GET /",), 4, 120.0, 20, 3))
    assert "| pages | 50 | 50 | 95 | 99 |" in told
    assert "| all | 100 |" in told
    assert "scripts" not in told, "none was asked for"
    assert ("4 questions were answered" in told, "failed: 1" in told) == (True, True)


@pytest.mark.slow
def test_people_read_while_somebody_asks_and_nothing_fails() -> None:
    found = load(seed=0, seconds=5.0, readers=4, askers=1)
    assert found.errors == ()
    assert {one.kind for one in found.seen} == {"page", "data", "static"}
    assert len(found.seen) > 20
