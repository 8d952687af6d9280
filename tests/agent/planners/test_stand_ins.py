"""What a circuit search saw only with nodes taken out: which patches that calls for."""

from types import SimpleNamespace
from typing import Any

from vesalius.agent.planners._circuits import KEY
from vesalius.agent.planners._stand_ins import _hidden
from vesalius.agent.planners.interface import View


def hidden_link(part: str, out: tuple[str, ...], score: float = 0.5) -> dict[str, Any]:
    return {"source": part, "hidden": True, "in_circuit": True, "score": score, "without": list(out)}


def seen(*links: dict[str, Any]) -> View:
    results = {KEY: SimpleNamespace(result={"links": links})}
    return View.model_construct(results=results)  # type: ignore[arg-type]


def test_parts_hidden_behind_each_other_are_each_looked_at_without_the_other_and_once():
    view = seen(hidden_link("head.1.0", ("head.1.1",)), hidden_link("head.1.1", ("head.1.0",)))
    assert dict(_hidden(view)) == {("head.1.1",): ("head.1.0",), ("head.1.0",): ("head.1.1",)}


def test_what_hid_others_is_looked_at_with_all_of_them_taken_out():
    view = seen(hidden_link("head.1.2", ("head.1.0",)), hidden_link("head.1.1", ("head.1.0",)))
    assert dict(_hidden(view)) == {
        ("head.1.0",): ("head.1.2", "head.1.1"),
        ("head.1.1", "head.1.2"): ("head.1.0",),
    }


def test_the_strongest_sight_of_a_part_says_what_is_taken_out_and_a_block_of_attention_cannot_be():
    view = seen(
        hidden_link("head.1.2", ("head.0.0",), 0.2),
        hidden_link("head.1.2", ("head.0.1",), -0.4),
        hidden_link("attn_out.1", ("head.0.1",)),
    )
    assert [out for out, parts in _hidden(view) if "head.1.2" in parts] == [("head.0.1",)]
    assert all("attn_out.1" not in parts for _, parts in _hidden(view))


def test_nothing_is_looked_at_where_no_search_ran():
    assert list(_hidden(View.model_construct(results={}))) == []
