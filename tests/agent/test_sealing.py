"""What is sealed of a planner's proposals: a name whole or not at all, and no exchange that exchanges nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from finished_runs import DALLAS
from vesalius.agent.asking import Where, start_run
from vesalius.agent.bench import Bench
from vesalius.agent.desk import Desk
from vesalius.agent.docket import Docket
from vesalius.agent.ledger import Ledger, LedgerError
from vesalius.agent.planners._supernode_prompts import Setting
from vesalius.agent.planners._supernodes import Named, name_tests
from vesalius.agent.planners.interface import Proposal, View
from vesalius.agent.planners.protocol import ProtocolPlanner
from vesalius.agent.sealing import _confirms, sealable, together
from vesalius.tools import Measurement, ToolError, load_tools

FEATURES = ("2/133", "3/77")


@pytest.fixture(scope="module")
def setting(atlas) -> Setting:
    """The Dallas prompt."""
    return Setting(atlas.tasks, atlas.tasks[0], "the capital of the state containing Dallas is", 0)


@pytest.fixture(scope="module")
def said(setting) -> tuple[Proposal, Proposal]:
    """What `Say (Austin)` predicts: that Austin needs it, and that nothing else does."""
    one, other = name_tests(Named("Say (Austin)", FEATURES), setting, {}, "transcoders")
    return one.proposal("1"), other.proposal("2")


@pytest.fixture
def docket(atlas, tmp_path) -> Iterator[Docket]:
    """An empty one."""
    folder = start_run(Where(tmp_path, use_memory=False), atlas, DALLAS, seed=0, device="cpu")
    with Ledger(folder.ledger) as ledger:
        yield Docket(ledger, Bench(atlas, folder), folder)


def seen(atlas, effect: float = 0.4) -> View:
    """As much of a view as sealing reads: the group had this effect in discovery."""
    args = {"features": list(FEATURES), "mode": "ablate", "dictionary": "transcoders", "pairs": []}
    rest = {"id": "m-0", "tool": "supernode_effect", "digest": "0", "seconds": 0.0, "subject": atlas.key}
    explored = Measurement.model_validate(rest | {"args": args, "result": {"cells": [{"effect": effect, "moved": 0}]}})
    return View.model_construct(results={"seen": explored})


def test_a_name_of_which_one_prediction_cannot_be_sealed_is_not_sealed_at_all(docket, said):
    """Nothing was explored, so that the group does nothing elsewhere would mean nothing."""
    with pytest.raises(
        ToolError, match=r"Of 2 predictions of one name, sealed whole or not at all, p2 cannot be: .* Pr"
    ):
        docket.seal(said, View.model_construct(results={}))
    assert docket.sealed == ()
    assert docket.seal(said[:1], View.model_construct(results={})), "alone the first would have been sealed"


def test_a_name_that_holds_up_is_sealed_in_order_and_chained(docket, said, atlas):
    keys = docket.seal(said, seen(atlas))
    first, second = docket.ledger.entries("sealed")
    assert (first.key, second.key) == ("sealed:p1", "sealed:p2")
    assert second.prev == first.hash
    assert [e.key for e in docket.experiments] == keys
    assert docket.seal(said, seen(atlas)) == keys
    assert len(docket.ledger.entries()) == 2, "a resumed run seals nothing twice"


def test_a_run_that_was_killed_between_two_seals_completes_them(docket, said, atlas, monkeypatch):
    append, calls = Ledger.append, []

    def killed(self, key, kind, body):
        calls.append(key)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return append(self, key, kind, body)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            docket.seal(said, seen(atlas))
    assert [entry.key for entry in docket.ledger.entries()] == ["sealed:p1"]
    docket.seal(said, seen(atlas))
    assert [entry.key for entry in docket.ledger.entries()] == ["sealed:p1", "sealed:p2"]


def test_what_would_test_one_of_them_was_measured_so_none_is_sealed(docket, said, atlas):
    sealed = sealable(said[1], tuple(seen(atlas).results.values()), atlas).prediction.arms[0]
    body = {"measurement": docket.bench.id_of(sealed.tool, sealed.args, None)}
    docket.ledger.append("measured:peek", "measurement", body)
    with pytest.raises(ToolError, match=r"p2 cannot be: What would test p2 was measured already. Test it on other"):
        docket.seal(said, seen(atlas))
    assert docket.sealed == ()


def test_two_predictions_of_one_id_are_not_sealed(docket, said, atlas):
    again = said[1].model_copy(update={"prediction": said[1].prediction.model_copy(update={"id": "p1"})})
    with pytest.raises(ToolError, match=r"There is a prediction p1 already. Give it another name"):
        docket.seal((said[0], again), seen(atlas))
    assert docket.sealed == ()


def test_the_ledger_itself_refuses_what_was_sealed_after_it_was_measured(docket, said, atlas):
    docket.seal(said, seen(atlas))
    with pytest.raises(LedgerError, match="sealed already"):
        docket.ledger.append("sealed:again", "sealed", {"prediction": "p2"})


def test_both_predictions_of_a_name_are_told_as_refused(atlas, said, tmp_path):
    class OneName(ProtocolPlanner):
        def propose(self, view):
            return said

        def closing(self, view):
            return ()

    folder, heard = start_run(Where(tmp_path, use_memory=False), atlas, DALLAS, seed=0, device="cpu"), []
    with Ledger(folder.ledger) as ledger:
        desk = Desk(atlas, OneName(0), folder, ledger, None, 0)
        assert desk.seal({"done": [], "failed": []}, heard.append) == []
        assert [statement for statement, _ in desk.docket.refused] == [one.hypothesis.statement for one in said]
        assert all("p2 cannot be" in reason for _, reason in desk.docket.refused)
    assert [event["event"] for event in heard] == ["notice", "notice"]


def test_only_one_group_under_one_name_stands_or_falls_together(setting, said):
    def about(name: str, features: tuple[str, ...], number: str) -> Proposal:
        return name_tests(Named(name, features), setting, {}, "transcoders")[0].proposal(number)

    other_group = about("Say (Austin)", ("2/133",), "3")
    other_name = about("capital", FEATURES, "4")
    turned = about("Say (Austin)", FEATURES[::-1], "5")
    patch = said[0].prediction.arms[0].model_copy(update={"tool": "patch"})
    elsewhere = said[0].model_copy(update={"prediction": said[0].prediction.model_copy(update={"arms": (patch,)})})
    garbage = patch.model_copy(update={"tool": "supernode_effect", "args": {"features": 3}})
    broken = said[0].model_copy(update={"prediction": said[0].prediction.model_copy(update={"arms": (garbage,)})})
    found = together([said[0], other_group, said[1], other_name, turned, elsewhere, broken, elsewhere])
    assert found == ((said[0], said[1], turned), (other_group,), (other_name,), (elsewhere,), (broken,), (elsewhere,))


def same_base(pair: dict[str, Any]) -> dict[str, Any]:
    return pair | {"source": pair["base"]}


def one_answer(pair: dict[str, Any]) -> dict[str, Any]:
    return pair | {"foil": pair["answer"]}


@pytest.mark.parametrize(
    ("change", "counterpart", "why"),
    [
        (same_base, ("1/7",), "which exchanges nothing: take another"),
        (one_answer, ("1/7",), "have one answer"),
        (dict, ("1/4", "1/3"), "name a group with features of its own"),
    ],
)
def test_an_exchange_that_exchanges_nothing_is_not_sealed(atlas, setting, change, counterpart, why):
    states = ("Georgia", "Ohio", "Florida", "Oregon", "Arizona", "Michigan", "Illinois", "California")
    (test,) = name_tests(Named("Texas", ("1/3", "1/4")), setting, dict.fromkeys(states, ("1/7",)), "transcoders")
    proposal = test.proposal("1")
    assert sealable(proposal, (), atlas)
    arm = proposal.prediction.arms[0]
    pairs = [change(arm.args["pairs"][0]), *arm.args["pairs"][1:]]
    put_in = {name: list(counterpart) for name in arm.args["counterparts"]}
    idle = arm.model_copy(update={"args": arm.args | {"pairs": pairs, "counterparts": put_in}})
    arms = (idle, *proposal.prediction.arms[1:])
    changed = proposal.model_copy(update={"prediction": proposal.prediction.model_copy(update={"arms": arms})})
    with pytest.raises(ToolError, match=why):
        sealable(changed, (), atlas)


def test_only_instruments_that_tell_of_every_pair_what_the_judge_asks_can_confirm(atlas, said):
    able = {name for name, tool in load_tools().items() if _confirms(tool)}
    assert able == {"answer_contrast", "patch", "supernode_effect", "feature_contrast"}
    arm = said[0].prediction.arms[0].model_copy(update={"tool": "subspace_patch"})
    other = said[0].model_copy(update={"prediction": said[0].prediction.model_copy(update={"arms": (arm,)})})
    with pytest.raises(ToolError, match="measures no effect per pair of prompts"):
        sealable(other, (), atlas)
