"""What an investigation would measure, as far as that is known without measuring."""

from collections.abc import Callable, Iterator

from ...tools import Measurement
from ..console import TEXT, in_short
from ..planners.interface import Experiment, Planner, SubjectCard, Task, View
from ..report._text import visible
from .turns import Line

MOST_STEPS = 60
COURSE = {
    "why": "does it answer that at all; prompt pairs; where in the stream, which blocks, which heads; what lies "
    "between prompt and answer; features, their names, and what the named groups do; steering",
    "where": "does it answer the pairs as they say; where in the stream, which blocks, which heads; a circuit",
    "depends": "how far the answer hangs on what the pairs differ in",
    "changes": "which answer it leans to after each prompt; how far that changes with what the pairs differ in",
    "steering": "a card of what steering hangs on: prompts, layer, strength, side effects, simpler ways to it",
    "trigger": "which prompts it answers; every word of its vocabulary put into some of them; the words that turn most",
    "feature": "where the feature fires, what it promotes, and whether it tells its word from others",
}
THEN = (
    "Then predictions are sealed, each confirmed on held-out prompts by at least one arm, beside random draws of the "
    "same size and re-initialised weights; the model is asked alone; code judges."
)


def planned_steps(
    planner: Planner, task: Task, card: SubjectCard, kept: Callable[[Experiment], Measurement | None]
) -> Iterator[Line]:
    """The planner's course, with what earlier runs have measured of it, up to where it hangs on a result to come.

    Args:
        kept: a measurement of the same request, where an earlier run has one.
    """
    results: dict[str, Measurement] = {}
    waiting: dict[str, str] = {}
    yield Line(text=f"Plan for: {visible(task.question)}", style="bold")
    for _ in range(MOST_STEPS):
        wanted = planner.next_experiment(View(task=task, card=card, results=results, failed=waiting))
        if wanted is None:
            break
        if not isinstance(wanted, Experiment):
            yield Line(text="a language model would be asked here, and what it says decides what follows", indent=TEXT)
            break
        found = kept(wanted)
        how = f"measured before: {found.id}" if found else "to be measured"
        yield Line(text=f"{wanted.tool}: {visible(wanted.why)} ({how})", indent=TEXT)
        if found:
            results[wanted.key] = found
        else:
            waiting[wanted.key] = "not measured yet"
    if waiting:
        yield Line(text="What follows hangs on what these find.", indent=TEXT)
        yield Line(text=f"The whole course: {COURSE[task.kind]}. {THEN}")
        return
    view = View(task=task, card=card, results=results)
    proposals = planner.propose(view)
    for proposal in proposals:
        said = in_short(visible(proposal.hypothesis.statement))
        yield Line(text=f"{proposal.prediction.id}, to be sealed and measured anew: {said}", indent=TEXT)
    if not proposals:
        yield Line(text="Nothing would be sealed: what was found gives nothing to predict.", indent=TEXT)
