"""Names of supernodes put to the test as an investigation does: seen in discovery, sealed, confirmed, judged.

One set of groups at a time, so that names, clusters and random groups go through the same hands: the same predictions,
prompts, controls, statistics and judge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...agent._evidence import Prediction
from ...agent._samples import arm_key, arms_of, judge_all
from ...agent.docket import TWIN_SEED
from ...agent.planners._supernode_prompts import Setting
from ...agent.planners._supernodes import Named, NameTest, name_tests, worth_sealing
from ...agent.sealing import sealable_together
from ...tools import Measurement, Subject, ToolError, get_tool


@dataclass(frozen=True)
class Trial:
    """What became of one group under one name."""

    node: Named
    tests: tuple[NameTest, ...]
    sealed: bool  # whether discovery bore out all that the name predicts, and code would seal it
    verdicts: Mapping[str, str]  # by what is tested; of those whose arms ran
    reasons: Mapping[str, str]  # by what is tested: the judge's, or why nothing was sealed
    effects: Mapping[str, float]  # by what is tested: on held-out prompts

    @property
    def holds(self) -> bool:
        """Whether every prediction that the name makes was judged and supported."""
        return self.sealed and all(self.verdicts.get(test.what) == "supported" for test in self.tests)


class Bench:
    """A subject and its twin."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self._twin = subject, subject.twin(TWIN_SEED)

    def measure(self, tool_name: str, raw: Mapping[str, object], on_twin: bool = False) -> Measurement:
        """Run an instrument.

        Raises:
            ToolError: what the instrument refuses.
        """
        tool, subject = get_tool(tool_name), self._twin if on_twin else self.subject
        return tool.measure(subject, tool.parse(dict(raw)))


def try_names(
    bench: Bench,
    setting: Setting,
    nodes: Sequence[Named],
    counterparts: Mapping[str, tuple[str, ...]],
    dictionary: str,
    seed: int,
) -> tuple[Trial, ...]:
    """Every group under its name.

    Args:
        setting: task data around the prompt, and what naming has read.
        counterparts: features of groups named after other values, made as these were.
        seed: of the statistics.
    """
    tests = {node: name_tests(node, setting, counterparts, dictionary) for node in nodes}
    explored, reasons = _explored(bench, [test for mine in tests.values() for test in mine])
    sealed: dict[NameTest, Prediction] = {}
    for mine in tests.values():
        if all(test in explored and worth_sealing(test, explored[test]) for test in mine):
            sealed |= _sealed(bench, mine, tuple(explored.values()), reasons, len(sealed))
    arms, failed = _arms(bench, tuple(sealed.values()))
    judged = judge_all(tuple(sealed.values()), arms, failed, tuple(explored.values()), seed)
    found = {test: judged[p.id] for test, p in sealed.items() if p.id in judged}
    return tuple(
        Trial(
            node=node,
            tests=mine,
            sealed=bool(mine) and all(test in sealed for test in mine),
            verdicts={test.what: found[test].verdict for test in mine if test in found},
            reasons={test.what: found[test].reason if test in found else reasons.get(test, "") for test in mine},
            effects={test.what: found[test].effect for test in mine if test in found},
        )
        for node, mine in tests.items()
    )


def _explored(bench: Bench, tests: Sequence[NameTest]) -> tuple[dict[NameTest, Measurement], dict[NameTest, str]]:
    """What each group does on discovery prompts, and in words what that was or why it could not be seen."""
    explored: dict[NameTest, Measurement] = {}
    reasons: dict[NameTest, str] = {}
    for test in tests:
        try:
            explored[test] = bench.measure(test.experiment.tool, test.experiment.args)
        except ToolError as error:
            reasons[test] = str(error)
            continue
        (cell,) = explored[test].result["cells"]
        largest = f", largest random {max(cell['random_effects']):.3f}" if cell["random_effects"] else ""
        reasons[test] = f"discovery: effect {cell['effect']:.3f}{largest}"
    return explored, reasons


def _sealed(
    bench: Bench, tests: Sequence[NameTest], explored: Sequence[Measurement], reasons: dict[NameTest, str], number: int
) -> dict[NameTest, Prediction]:
    """All predictions of one name; none where code would not seal one of them."""
    proposals = [test.proposal(str(number + i)) for i, test in enumerate(tests)]
    try:
        sealed = sealable_together(proposals, explored, bench.subject)
    except ToolError as error:
        reasons |= dict.fromkeys(tests, str(error))
        return {}
    return {test: one.prediction for test, one in zip(tests, sealed, strict=True)}


def _arms(bench: Bench, predictions: Sequence[Prediction]) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Measurements of all arms and controls by their key, and why some could not run."""
    arms: dict[str, Measurement] = {}
    failed: dict[str, str] = {}
    for prediction in predictions:
        for arm in arms_of(prediction):
            key = arm_key(prediction, arm)
            try:
                arms[key] = bench.measure(arm.tool, arm.args, on_twin=arm in prediction.twin_arms)
            except ToolError as error:
                failed[key] = str(error)
    return arms, failed
