"""Which other places are tested, from hand-made sweeps."""

import pytest
from vesalius.agent.comparing.search import Search, candidates
from vesalius.agent.planners.interface import Experiment
from vesalius.tools import Measurement

LOOK = Experiment(key="elsewhere:1", tool="patch", args={}, why="")
CITIES = [f"city {i}" for i in range(8)]


def sweep(**effects):
    """A search that saw these effects; a site is written with `_` for `.`."""
    cells = [
        {"site": site.replace("__", "."), "position": "last", "effect": e, "effects": [e + 0.001 * i for i in range(8)]}
        for site, e in effects.items()
    ]
    pairs = [{"base": city, "cluster": ""} for city in CITIES]
    return Measurement.model_construct(args={"pairs": pairs}, result={"cells": cells})


def found(site, before, **effects):
    search = Search(LOOK, before, site, "last")
    return [one.site for one in candidates(search, sweep(**effects), lost=0.8, smallest=0.05)]


def test_a_head_that_gained_what_was_lost_is_tested():
    assert found("head.0.0", {"head.0.1": 0.1}, head__0__0=0.0, head__0__1=0.9) == ["head.0.1"]


def test_a_head_that_did_as_much_before_has_not_taken_over():
    assert found("head.0.0", {"head.0.1": 0.9}, head__0__0=0.0, head__0__1=0.9) == []


def test_less_than_half_of_the_loss_is_not_tested():
    assert found("head.0.0", {}, head__0__0=0.0, head__0__1=0.39, head__1__0=0.41) == ["head.1.0"]


def test_its_own_place_is_no_other_place():
    assert found("head.0.0", {}, head__0__0=0.9) == []


def test_of_the_stream_the_nearest_sites_that_carry_are_tested_though_they_carried_before():
    before = {f"resid_post.{i}": 1.0 for i in range(5)}
    effects = {"resid_post__0": 0.0, "resid_post__1": 0.9, "resid_post__2": 1.0, "resid_post__3": 1.0}
    assert found("resid_post.0", before, **effects) == ["resid_post.1", "resid_post.2", "resid_post.3"]
    assert found("resid_post.3", before, **effects) == ["resid_post.2", "resid_post.1"]


def test_what_chance_may_do_is_not_tested():
    made = sweep(head__0__1=0.9)
    made.result["cells"][0]["effects"] = [5.0, -4.0] * 4
    assert candidates(Search(LOOK, {}, "head.0.0", "last"), made, lost=0.8, smallest=0.05) == ()


@pytest.mark.parametrize(("effect", "share"), [(0.5, 0.5), (0.9, 1.0)])
def test_what_a_place_makes_up_for_is_its_gain_over_the_loss(effect, share):
    (one,) = candidates(
        Search(LOOK, {"head.0.1": 0.1}, "head.0.0", "last"), sweep(head__0__1=effect + 0.0001), 0.8, 0.05
    )
    assert one.made_up(one.seen) == pytest.approx(share, abs=1e-3)
    assert one.made_up(0.1) == 0.0  # as much as A's exploration saw there
