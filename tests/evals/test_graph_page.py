"""The benchmark of the graph's page: graphs of the size that was asked for, times of frames that were drawn."""

import json

import pytest
from vesalius.evals.benchmarks import graph_page
from vesalius.evals.benchmarks._page_graphs import graph_of
from vesalius.evals.benchmarks.graph_page import MOVES, Size, Timed, main, measure, table, timings
from vesalius.tools import named_graph

FOUND = [Timed("600 nodes, 2,300 links", "pan frame", (10.0, 20.0, 90.0), 50.0)]


def test_a_generated_graph_is_sound_has_the_size_that_was_asked_for_and_is_the_same_again():
    shown = graph_of(120, 300, 6, 5, seed=3)
    assert (len(shown.nodes), len(shown.links), len(shown.tokens)) == (120, 300, 6)
    named_graph(shown, "f" * 64)  # which refuses what is no graph
    assert shown == graph_of(120, 300, 6, 5, seed=3)
    assert shown != graph_of(120, 300, 6, 5, seed=4)
    with pytest.raises(ValueError, match="Ask for fewer"):
        graph_of(4, 100, 2, 1, seed=0)


def test_start_pan_and_zoom_are_timed_in_a_browser_while_the_picture_moves():
    pytest.importorskip("playwright.sync_api")
    if graph_page.shutil.which("chromium") is None:
        pytest.skip("no Chromium: apt-get install chromium")
    small = Size("60 nodes, 120 links", 60, 120, 5, 4, 5000, 5000)
    found = timings(0, sizes=[small])
    assert [one.what for one in found] == ["start", "pan frame", "zoom frame"]
    assert [one.met for one in found] == [True, True, True]
    assert all(len(one.times) >= MOVES / 4 for one in found[1:])
    assert all(min(one.times) > 0 for one in found)


def test_the_target_is_for_the_worst_frame(monkeypatch):
    (one,) = FOUND
    assert (one.median, one.worst, one.met) == (20.0, 90.0, False)
    monkeypatch.setattr(graph_page, "timings", lambda seed, progress: FOUND)
    metric = measure(0, lambda *_: None)["600_nodes_pan_frame_ms"]
    assert (metric.value, metric.n, metric.met) == (90.0, 3, False)
    assert "| pan frame | 20 | 90 | 3 | ≤ 50 | no |" in table(FOUND)


def test_the_command_prints_a_table_or_json_and_writes_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(graph_page, "timings", lambda seed, progress: FOUND)
    main(["--into", str(tmp_path / "made")])
    assert capsys.readouterr().out == (tmp_path / "made" / "graph_page.md").read_text() == table(FOUND)
    main(["--json"])
    assert json.loads(capsys.readouterr().out)[0]["worst"] == 90.0


def test_without_chromium_the_command_says_what_to_install(monkeypatch, capsys):
    pytest.importorskip("playwright.sync_api")
    monkeypatch.setattr(graph_page.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit):
        main([])
    assert "apt-get install chromium" in capsys.readouterr().err
