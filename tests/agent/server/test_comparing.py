"""Two runs side by side: what changed is told by fixed rules, and shared evidence is never counted twice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import Served
from vesalius.agent.server.comparing_claims import RULE
from vesalius.tools import digest

SAME = "The same measurements confirm it in both runs: one piece of evidence, not two."
MIRRORED = {"weaker": "stronger", "stronger": "weaker", "only_a": "only_b", "only_b": "only_a"}
Edit = Callable[[Any], object]


def changed(home: Path, name: str, edit: Edit = lambda report: None) -> str:
    """A copy of the run, with its report changed."""
    folder = home / "runs" / name
    shutil.copytree(home / "runs" / "done", folder)
    report = json.loads((folder / "report.json").read_text())
    edit(report)
    (folder / "report.json").write_text(json.dumps(report))
    return name


def compared(page: Served, a: str = "done", b: str = "other", status: int = 200) -> Any:
    return page.get("/api/compare", status, params={"a": a, "b": b})


def judged(place: int = 0, **changes: Any) -> Edit:
    return lambda report: report["claims"][place]["judgement"].update(changes)


def args_of(report: Any, place: int = 0) -> list[Any]:
    return [arm["args"] for arm in report["claims"][place]["prediction"]["arms"]]


def test_a_copy_holds_everything_and_is_the_same_evidence(page, home):
    found = compared(page, b=changed(home, "other"))
    assert [(row["change"], row["place"]) for row in found["claims"]] == [
        ("held", "head.1.2 at last"),
        ("held", "head.0.0 at last"),
    ]
    assert found["claims"][0]["words"] == ["Held: supported in both.", SAME]
    assert found["claims"][1]["words"] == ["The same verdict: refuted in both.", SAME]
    assert all(row["overlap"] for row in found["claims"])
    assert all(row["same"] for row in found["head"])
    assert {one["outcome"] for one in found["measured"]["both"]} == {"same"}
    assert (found["measured"]["only_a"], found["measured"]["only_b"]) == (0, 0)
    report = page.get("/api/runs/done")
    confirming = [one["measurement"]["id"] for one in report["measurements"] if one["phase"] == "confirm"]
    assert sorted(found["shared"]) == sorted(confirming)
    assert found["claims"][0]["shared"] == report["claims"][0]["measurements"]
    assert any("one piece of evidence, not two that agree" in one for one in found["told"])
    assert found["rule"] == RULE
    assert "no test" in found["caution"]


@pytest.mark.parametrize(
    ("edit", "change", "said"),
    [
        (judged(effect=0.4, low=0.3, high=0.5), "weaker", "The effect is weaker in B: less than half"),
        (judged(effect=0.6, low=0.3, high=0.9), "held", "Held: supported in both."),
        (judged(effect=2.5, low=2.3, high=2.6), "stronger", "The effect is stronger in B"),
        (judged(tier="causal"), "weaker", "The evidence is weaker in B: controlled in A, causal in B."),
        (judged(tier="replicated"), "stronger", "The evidence is stronger in B: controlled in A, replicated in B."),
        (judged(tier="replicated", effect=0.4), "mixed", "The effect is weaker in B"),
        (judged(verdict="inconclusive"), "verdict", "Another verdict: supported in A, inconclusive in B."),
        (judged(verdict="refuted", effect=-0.5), "verdict", "Another verdict: supported in A, refuted in B."),
        (judged(1, effect=-0.001), "held", "The same verdict: refuted in both."),
    ],
)
def test_what_became_of_a_claim_has_a_known_answer_and_its_mirror(page, home, edit, change, said):
    changed(home, "other", edit)
    place = 1 if "refuted in both" in said else 0
    row = compared(page)["claims"][place]
    assert row["change"] == change
    assert any(said in one for one in row["words"])
    back = compared(page, "other", "done")["claims"][place]
    assert back["change"] == MIRRORED.get(change, change)
    assert (back["a"], back["b"]) == (row["b"], row["a"])


def test_intervals_that_do_not_overlap_are_told_as_that_and_a_missing_one_as_none(page, home):
    changed(home, "other", judged(effect=0.4, low=0.3, high=0.5))
    changed(home, "bare", lambda report: (report.update(answer=[]), judged(low=None, high=None)(report)))
    assert compared(page)["claims"][0]["overlap"] is False
    assert compared(page, b="bare")["claims"][0]["overlap"] is None


def test_swapped_runs_are_mirrored_throughout(page, home):
    def edit(report: Any) -> None:
        del report["claims"][1]
        report["measurements"][2]["measurement"]["result"]["gap"] *= 2
        report["seed"] = 7

    changed(home, "other", edit)
    one, back = compared(page), compared(page, "other", "done")
    assert (one["a"], one["b"]) == (back["b"], back["a"])
    assert [(row["name"], row["a"], row["b"]) for row in one["head"]] == [
        (row["name"], row["b"], row["a"]) for row in back["head"]
    ]
    assert [row["change"] for row in one["claims"]] == ["held", "only_a"]
    assert [row["change"] for row in back["claims"]] == ["held", "only_b"]
    assert one["told"] == back["told"]
    assert sorted(one["shared"]) == sorted(back["shared"])
    for ours, theirs in zip(one["measured"]["both"], back["measured"]["both"], strict=True):
        assert (ours["id"], ours["outcome"], ours["differing"]) == (
            theirs["id"],
            theirs["outcome"],
            theirs["differing"],
        )
        swapped = [{**value, "a": value["b"], "b": value["a"]} for value in theirs["differences"]]
        assert ours["differences"] == swapped


def test_a_claim_of_one_run_alone_says_nothing_of_the_other(page, home):
    changed(home, "other", lambda report: report["claims"].pop())
    row = compared(page)["claims"][1]
    assert (row["change"], row["b"], row["overlap"], row["shared"]) == ("only_a", None, None, [])
    assert "says nothing of whether it is so" in row["words"][0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sites", ["head.3.3"]),
        ("positions", ["entity"]),
        ("without", ["mlp_out.0"]),
        ("value", "zero"),
        ("joint", True),
    ],
)
def test_another_place_or_way_is_another_prediction(page, home, key, value):
    changed(home, "other", lambda report: [args.update({key: value}) for args in args_of(report)])
    assert [row["change"] for row in compared(page)["claims"]] == ["only_a", "held", "only_b"]


def test_another_direction_or_tool_is_another_prediction(page, home):
    changed(home, "other", lambda report: report["claims"][0]["prediction"].update(direction="none"))
    changed(home, "tool", lambda report: [a.update(tool="x") for a in report["claims"][0]["prediction"]["arms"]])
    for name in ("other", "tool"):
        assert [row["change"] for row in compared(page, b=name)["claims"]] == ["only_a", "held", "only_b"]


def test_the_same_places_in_another_order_and_other_draws_are_the_same_prediction(page, home):
    def with_args(**more: Any) -> Edit:
        return lambda report: [args.update(more) for args in args_of(report)]

    changed(home, "one", with_args(sites=["head.1.2", "head.0.0"], random_draws=20))
    changed(home, "two", with_args(sites=["head.0.0", "head.1.2"], random_draws=50))
    changed(home, "seed", with_args(sites=["head.0.0", "head.1.2"], seed=9))
    assert compared(page, "one", "two")["claims"][0]["change"] == "held"
    assert compared(page, "one", "seed")["claims"][0]["change"] == "held"


def test_claims_on_the_same_prompts_are_not_called_independent_and_others_are_told_as_others(page, home):
    def renamed(report: Any, digits: str) -> None:
        """Measurements under other names, as another seed makes them."""
        text = json.dumps(report)
        for one in report["measurements"]:
            if one["phase"] == "confirm":
                text = text.replace(one["measurement"]["id"], f"{one['measurement']['id'][:-4]}{digits}")
        report.update(json.loads(text))

    def asked_otherwise(report: Any) -> None:
        renamed(report, "fff1")
        for args in args_of(report):
            args["pairs"] = [{**pair, "base": "other words"} for pair in args["pairs"]]

    changed(home, "other", lambda report: renamed(report, "fff0"))
    changed(home, "words", asked_otherwise)
    found = compared(page)
    row = found["claims"][0]
    assert (row["shared"], found["shared"]) == ([], [])
    assert row["same_prompts"] > 0
    assert "not independent evidence" in row["words"][-1]
    assert any("does not make the runs independent" in one for one in found["told"])
    row = compared(page, b="words")["claims"][0]
    assert row["same_prompts"] == 0
    assert row["words"][-1] == "It was confirmed on other prompts in each run."


def test_runs_that_share_some_measurements_are_so_far_one_piece_of_evidence(page, home):
    def half(report: Any) -> None:
        one = report["claims"][0]["measurements"][0]
        report.update(json.loads(json.dumps(report).replace(one, f"{one[:-4]}ffff")))

    changed(home, "other", half)
    found = compared(page)
    assert len(found["claims"][0]["shared"]) == 1
    assert "so far one piece of evidence" in found["claims"][0]["words"][-1]
    assert (found["measured"]["only_a"], found["measured"]["only_b"]) == (1, 1)


def test_no_claim_is_set_against_one_of_another_model(page, home):
    def other_model(report: Any) -> None:
        report["subject"]["key"].update(model="another", fingerprint="0" * 64)

    def other_shape(report: Any) -> None:
        report["subject"]["shape"]["n_layers"] += 1

    changed(home, "other", other_model)
    changed(home, "shape", other_shape)
    for name in ("other", "shape"):
        found = compared(page, b=name)
        assert [row["change"] for row in found["claims"]] == ["only_a", "only_a", "only_b", "only_b"]
        assert all("Not comparable" in row["words"][0] for row in found["claims"])
        assert "models are not the same" in found["told"][0]


def test_other_weights_of_one_model_are_compared_and_it_is_said(page, home):
    changed(home, "other", lambda report: report["subject"]["key"].update(fingerprint="0" * 64))
    found = compared(page)
    assert [row["change"] for row in found["claims"]] == ["held", "held"]
    assert "may be the model, or chance" in found["told"][0]
    assert len(found["shared"]) == 4, "equal ids are one measurement, whatever the head says"
    assert all(row["words"][-1] == SAME for row in found["claims"])


def test_another_question_on_other_prompts_is_not_comparable(page, home):
    def other_question(report: Any) -> None:
        report["question"] = "Where are plurals made?"
        for args in args_of(report):
            args["pairs"] = [{**pair, "base": "other words"} for pair in args["pairs"]]

    changed(home, "other", other_question)
    found = compared(page)
    assert [row["change"] for row in found["claims"]] == ["not_comparable", "held"], "the second is on the same prompts"
    assert "another question" in found["claims"][0]["words"][0]
    assert "questions are not the same" in found["told"][1]


def test_values_are_held_against_each_other_with_the_tolerance_of_verify(page, home):
    def edit(factor: float, digest: str) -> Edit:
        def change(report: Any) -> None:
            one = report["measurements"][2]["measurement"]
            one["result"]["gap"] *= factor
            one["digest"] = digest

        return change

    report = page.get("/api/runs/done")
    one = report["measurements"][2]["measurement"]
    changed(home, "other", edit(2.0, one["digest"]))
    found = compared(page)["measured"]["both"][0]
    gap = one["result"]["gap"]
    assert (found["id"], found["differing"]) == (one["id"], 1)
    assert found["differences"] == [{"path": "gap", "a": gap, "b": gap * 2}]
    assert found["outcome"] == "altered", "its digest is that of another result"
    for name, factor, outcome, differing in (("near", 1.0001, "within", 0), ("far", 1.5, "differs", 1)):
        changed(home, name, edit(factor, digest({**one["result"], "gap": gap * factor})))
        row = next(row for row in compared(page, b=name)["measured"]["both"] if row["id"] == one["id"])
        assert (row["outcome"], row["differing"]) == (outcome, differing)


def test_the_head_tells_what_differs(page, home):
    def edit(report: Any) -> None:
        report.update(question="Other?", planner="protocol", seed=3, created="2026-01-01T00:00:00+00:00", black_box=[])
        report["subject"]["key"]["fingerprint"] = "0" * 64

    changed(home, "other", edit)
    found = {row["name"]: row for row in compared(page)["head"]}
    differing = {name for name, row in found.items() if not row["same"]}
    assert differing == {"question", "planner", "seed", "begun", "black-box answer", "weights (fingerprint)"}
    assert (found["seed"]["a"], found["seed"]["b"]) == ("0", "3")
    assert found["black-box answer"]["b"] == ""
    assert "Asked alone" in found["black-box answer"]["a"]


def test_runs_that_claim_nothing_are_compared(page, home):
    changed(home, "other", lambda report: report.update(claims=[], answer=[]))
    changed(home, "third", lambda report: report.update(claims=[], answer=[]))
    assert compared(page, "other", "third")["claims"] == []


def test_what_cannot_be_compared_is_refused(page, home):
    changed(home, "other")
    (home / "runs" / "other" / "report.json").unlink()
    (home / "runs" / changed(home, "broken") / "report.json").write_text("{")
    assert "There is no run 'nowhere'" in compared(page, b="nowhere", status=404)["error"]
    assert "There is no run '../done'" in compared(page, a="../done", b="done", status=404)["error"]
    assert "no report yet" in compared(page, b="other", status=422)["error"]
    assert "no JSON" in compared(page, b="broken", status=422)["error"]
    assert compared(page, b="done", status=422) == {"error": "A and B are one run, done.", "mend": "Give two runs."}
    page.get("/api/compare", 422, params={"a": "done"})


def test_hostile_text_is_passed_on_as_text_with_nothing_hidden(page, hostile):
    found = compared(page, b=hostile)
    head = {row["name"]: row for row in found["head"]}
    assert head["question"]["b"].startswith("<script>")
    assert "\u202e" not in json.dumps(found, ensure_ascii=False)
    assert "not the same" in found["told"][1]
    assert page.client.get("/compare").headers["content-type"].startswith("text/html")
