"""How many workers fit."""

import pytest
from vesalius.agent.audit import room


@pytest.mark.parametrize(("free_gib", "weights_gib", "expected"), [(64, 0, 8), (7, 0, 7), (7, 1, 2), (1, 8, 1)])
def test_no_more_workers_than_cores_nor_than_memory_holds_and_always_one(
    free_gib, weights_gib, expected, tmp_path, monkeypatch
):
    (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {free_gib * 2**20} kB\n")
    monkeypatch.setattr(room, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(room.os, "sched_getaffinity", lambda _: range(8))
    folder = tmp_path / "model"
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(weights_gib * 2**30)
    assert room.most_workers([str(folder), "some/hub-id"]) == expected


def test_where_the_system_does_not_tell_its_memory_cores_decide(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MEMORY", tmp_path / "none")
    monkeypatch.setattr(room.os, "sched_getaffinity", lambda _: range(3))
    assert room.most_workers(["atlas"]) == 3
