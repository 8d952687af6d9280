"""How cost grows: one number at a time is changed, known powers come back, and the picture shows what was measured."""

import gc
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch
from vesalius.evals.benchmarks import attribution_growth
from vesalius.evals.benchmarks._attribution_cases import Shape
from vesalius.evals.benchmarks._growth_plot import fit_power, log_ticks
from vesalius.evals.benchmarks.attribution_growth import (
    AXES,
    BASE,
    Axis,
    Growth,
    Point,
    Results,
    Run,
    draw,
    grow,
    in_turns,
    last_step,
    main,
    metrics,
    shaped,
    table,
)

TINY = Shape("tiny", layers=2, d_model=32, heads=4, kv_heads=2, n_features=64, n_tokens=4, k=3)
TINY_AXES = {
    "nodes": Axis("k", (1, 3), "Nodes", "nodes of the graph"),
    "layers": Axis("layers", (2, 3), "Layers", "layers of the model"),
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def tiny():
    return grow(TINY, TINY_AXES, rounds=2, seed=0)


def with_seconds(axis: Axis, seconds: Callable[[int, int], float | int], rounds: int = 5) -> Growth:
    """A growth whose every run took a known time, by size and round; nodes are ten times k."""
    points = []
    for value in axis.values:
        shape = shaped(BASE, axis, value)
        times = [float(seconds(value, i)) for i in range(rounds)]
        runs = [Run(s / 4, 3 * s / 4, s, 10 * (shape.k or 0), 20 * (shape.k or 0), value**3) for s in times]
        points.append(Point(shape, tuple(runs)))
    return Growth(axis, tuple(points))


def results(**powers: float) -> Results:
    known = {name: with_seconds(AXES[name], lambda x, _, p=p: 0.01 * x**p) for name, p in powers.items()}
    return Results(BASE, 0, known)


def test_every_axis_changes_one_number_of_the_base_by_an_equal_factor_over_four_points_or_more():
    factors = {"nodes": 2, "positions": 2, "layers": 2, "features": 4}
    assert set(AXES) == set(factors)
    for name, axis in AXES.items():
        shapes = [shaped(BASE, axis, value) for value in axis.values]
        assert len(shapes) >= 4
        assert replace(BASE, name="") in [replace(shape, name="") for shape in shapes]
        for shape in shapes:
            changed = {f.name for f in fields(Shape) if getattr(shape, f.name) != getattr(BASE, f.name)}
            assert changed <= {axis.field, "name"}
        # Beside the k features of a layer and token stands one error node.
        sizes = [value + 1 if name == "nodes" else value for value in axis.values]
        assert {b / a for a, b in pairwise(sizes)} == {factors[name]}


def test_a_known_power_comes_back_with_no_interval_where_runs_do_not_differ():
    found = metrics(results(positions=2.0, features=0.25))
    for name, power in (("exponent_positions", 2.0), ("exponent_features", 0.25)):
        one = found[name]
        assert (one.value, one.low, one.high) == pytest.approx((power, power, power))
        assert (one.n, one.target, one.met) == (4 * 5, "", None)


def test_a_drift_that_hits_all_sizes_of_a_round_alike_moves_neither_exponent_nor_interval():
    drifting = with_seconds(AXES["layers"], lambda x, i: x**1.5 * (1 + i))
    fit = fit_power(drifting.sizes, [point.each("cpu_s") for point in drifting.points], seed=0)
    assert fit[:3] == pytest.approx((1.5, 1.5, 1.5))


def test_noise_of_single_runs_widens_the_interval_around_the_power():
    random_ = torch.Generator().manual_seed(0)

    def noisy(x, _):
        return x**1.5 * math.exp(0.2 * torch.randn((), generator=random_).item())

    growth = with_seconds(AXES["layers"], noisy, rounds=9)
    fit = fit_power(growth.sizes, [point.each("cpu_s") for point in growth.points], seed=0)
    assert fit.low < 1.5 < fit.high
    assert 0.05 < fit.high - fit.low < 0.5


def test_one_run_that_was_disturbed_does_not_move_the_exponent():
    disturbed = with_seconds(AXES["layers"], lambda x, i: x**2 * (100 if (x, i) == (24, 3) else 1))
    assert metrics(Results(BASE, 0, {"layers": disturbed}))["exponent_layers"].value == pytest.approx(2)


def test_growth_that_gathers_speed_shows_in_the_last_step():
    growth = with_seconds(AXES["layers"], lambda x, _: 1 + x**3 / 1000)
    step = math.log2((1 + 24**3 / 1000) / (1 + 12**3 / 1000))
    assert last_step(growth) == pytest.approx(step)
    assert last_step(growth) > metrics(Results(BASE, 0, {"layers": growth}))["exponent_layers"].value


def test_sizes_take_turns_every_other_round_backwards_and_the_first_round_is_thrown_away():
    order: list[str] = []
    rounds: list[int] = []

    def call(name):
        order.append(name)
        return f"{name}{order.count(name) - 1}"

    given = in_turns([lambda n=n: call(n) for n in "abc"], 3, rounds.append)
    assert "".join(order) in ("abccbaabccba", "cbaabccbaabc")
    assert given == [[f"{n}{i}" for i in (1, 2, 3)] for n in "abc"]
    assert rounds == [0, 1, 2, 3]


def test_nodes_and_links_held_are_those_of_the_shape_counted_by_hand(tiny):
    for growth in tiny.along.values():
        for point in growth.points:
            shape, run = point.shape, point.runs[0]
            places = shape.layers * shape.n_tokens
            logits = run.n_nodes - places * (shape.k + 1) - shape.n_tokens
            assert 1 <= logits <= 10
            # A feature sees tokens, features and errors of lower layers up to its own place; a logit sees all of them.
            into_features = sum(
                shape.k * (at + 1) * (1 + layer * (shape.k + 1))
                for layer in range(shape.layers)
                for at in range(shape.n_tokens)
            )
            assert run.n_stored == into_features + logits * (run.n_nodes - logits)
            assert run.stored_share == pytest.approx(run.n_stored / run.n_nodes**2)


def test_a_real_measurement_has_its_runs_and_its_peak_over_sizes_counted_once(tiny):
    found = metrics(tiny)
    assert set(found) == {"exponent_nodes", "exponent_layers", "peak_links_share"}
    runs = [run for growth in tiny.along.values() for point in growth.points for run in point.runs]
    assert len(runs) == 2 * 2 * 2
    assert all(min(run.model_s, run.links_s, run.products) > 0 for run in runs)
    share = max(run.n_stored / run.n_nodes**2 for run in runs)
    assert (found["peak_links_share"].value, found["peak_links_share"].n) == (share, 3)  # of four, two are the base
    assert tiny.along["nodes"].points[1] is tiny.along["layers"].points[0]
    assert tiny.along["nodes"].sizes == tuple(point.runs[0].n_nodes for point in tiny.along["nodes"].points)
    assert tiny.along["layers"].sizes == (2, 3)


def test_threads_and_the_collector_are_as_before_even_when_stopped():
    threads, frozen = torch.get_num_threads(), gc.get_freeze_count()

    def stop(done, total, what):
        if what == "every size once":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(TINY, {"nodes": TINY_AXES["nodes"]}, 1, 0, stop)
    assert (torch.get_num_threads(), gc.get_freeze_count()) == (threads, frozen)


def test_the_picture_shows_every_median_and_a_line_through_them(tmp_path):
    draw(results(nodes=1.0, positions=2.0, layers=1.5, features=0.0), tmp_path / "growth.svg")
    root = ElementTree.parse(tmp_path / "growth.svg").getroot()
    panels = root.findall(f"{SVG}g")
    said = ["".join(panel.itertext()) for panel in panels]
    assert [re.search(r"exponent (\S+) \((\S+) to (\S+)\)", text).group(1) for text in said] == [
        "1.00",
        "2.00",
        "1.50",
        "0.00",
    ]
    for panel, axis in zip(panels, AXES.values(), strict=True):
        dots = {name: panel.findall(f"{SVG}circle[@class='{name}']") for name in ("whole", "links")}
        assert [len(some) for some in dots.values()] == [len(axis.values)] * 2
        (line,) = panel.findall(f"{SVG}line[@class='fit']")
        x1, y1, x2, y2 = (float(line.get(k)) for k in ("x1", "y1", "x2", "y2"))
        for whole, links in zip(*dots.values(), strict=True):
            x, y = float(whole.get("cx")), float(whole.get("cy"))
            assert y == pytest.approx(y1 + (y2 - y1) * (x - x1) / (x2 - x1), abs=0.05)
            assert float(links.get("cy")) > y  # fewer seconds stand lower
        assert y2 <= y1 + 0.01


def test_the_picture_stands_by_itself_and_follows_light_and_dark(tmp_path):
    draw(results(layers=1.5), tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    root = ElementTree.fromstring(text)
    width, height = (float(root.get(k)) for k in ("width", "height"))
    ground = root.find(f"{SVG}rect[@class='ground']")
    assert (float(ground.get("width")), float(ground.get("height"))) == (width, height)
    assert root.find(f"{SVG}title").text
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    for class_ in ("ground", "tick", "grid", "fit", "whole", "links"):
        assert f".{class_}" in light.split("<style>")[1]
        assert f".{class_}" in dark.split("</style>")[0]
    assert not re.search(r"href|<script|url\(|@import|style=", text)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.04, 1.3, (0.05, 0.1, 0.2, 0.5, 1.0)), (0.5, 0.5, (0.5,)), (0.01, 1e5, tuple(10.0**e for e in range(-2, 6)))],
)
def test_ticks_are_round_and_few(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_the_table_names_machine_day_version_and_command_and_has_a_row_for_every_size(tiny, monkeypatch, tmp_path):
    processors = tmp_path / "cpuinfo"
    processors.write_text("processor\t: 0\nmodel name\t: Abacus 9\n")
    monkeypatch.setattr("vesalius.evals.benchmarks._process_cost.PROCESSORS", processors)
    text = table(tiny)
    assert "Abacus 9" in text
    assert torch.__version__ in text
    assert re.search(r"Measured \d{4}-\d\d-\d\d on", text)
    assert "python -m vesalius.evals.benchmarks.attribution_growth OUT_FOLDER" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| (nodes|layers) ", line)]
    assert [row[0] for row in rows] == ["nodes", "layers", "nodes", "nodes", "layers", "layers"]
    assert [row[1] for row in rows[2:]] == ["k 1", "k 3", "layers 2", "layers 3"]
    fit = metrics(tiny)["exponent_layers"]
    assert rows[1][1:4] == [f"{x:.2f}" for x in (fit.value, fit.low, fit.high)]


def test_the_entry_writes_picture_and_table_and_makes_its_folder(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(attribution_growth, "grow", lambda *args: tiny)
    main([str(tmp_path / "made" / "here")])
    written = sorted(path.name for path in (tmp_path / "made" / "here").iterdir())
    assert written == ["attribution_growth.md", "attribution_growth.svg"]
    assert (tmp_path / "made" / "here" / "attribution_growth.md").read_text() == table(tiny)


def test_a_file_where_the_folder_should_be_is_refused_before_anything_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(attribution_growth, "grow", lambda *args: pytest.fail("measured"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "taken")])
    assert stopped.value.code == 2
    assert "Name another one" in capsys.readouterr().err
