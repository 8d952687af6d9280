"""What becomes of a planner's proposal before the ledger seals it: code adds the controls, sets the bars, and refuses
what could not mean anything.

A planner chooses a hypothesis, a place and prompts. The controls that could contradict it are not its to choose, nor
the effect that counts as small, nor what exploration is said to have shown. Not all can be checked: whether the words
of a hypothesis say what its arms test is for a reader to see, so reports show the arms beside the words.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ..tools import Measurement, Tool, ToolError, canonical, get_tool, parse_site
from ._absent_parts import unsearched
from ._construction import by_construction
from ._evidence import MOST_CHANCE, SHUFFLED, SMALLEST_EFFECT, TWIN, Arm, Prediction
from ._parts import PARTS, can_be_taken_out, is_part
from ._units import unit_of_arm, units_in
from .holdout import as_far_as_true, plain
from .planners.interface import Proposal

if TYPE_CHECKING:
    from ..tools import Subject

RANDOM_DRAWS = 20  # per arm, where its instrument draws any
TURNS = 0.5  # of the answer's share: what a word that is said to turn answers has to turn at least
MOVES = 0.5  # share of answers: the least that shows that a kind of value moves them at all
# What an instrument's result, and each of its cells, has if it can confirm.
CONFIRMING = {"cells", "no_op_change", "gap", "clean_correct"}
CONFIRMING_CELL = {"effects", "answers_moved", "random_effects"}


def together(proposals: Iterable[Proposal]) -> tuple[tuple[Proposal, ...], ...]:
    """Proposals that stand or fall together: those about one group of features under one name; any other alone.

    A name is what all its predictions say. Half of them could only ever leave it undecided.
    """
    found: dict[str, list[Proposal]] = {}
    for number, proposal in enumerate(proposals):
        found.setdefault(_named_group(proposal.prediction) or str(number), []).append(proposal)
    return tuple(map(tuple, found.values()))


def sealable_together(
    proposals: Sequence[Proposal], explored: Sequence[Measurement], subject: "Subject", is_attempt: bool = False
) -> tuple[Proposal, ...]:
    """All of these as `sealable` has them, or none.

    Raises:
        ToolError: one of them could not be sealed; says which and why.
    """
    found = []
    for proposal in proposals:
        try:
            found.append(sealable(proposal, explored, subject, is_attempt))
        except ToolError as error:
            raise for_all(proposal, proposals, error) from error
    return tuple(found)


def for_all(one: Proposal, proposals: Sequence[Proposal], error: ToolError) -> ToolError:
    """What is wrong with one of several proposals that stand or fall together, as a reason against all of them."""
    if len(proposals) == 1:
        return error
    why = f"Of {len(proposals)} predictions of one name, sealed whole or not at all, {one.prediction.id} cannot be: "
    return ToolError(why + error.message, mend=error.mend)


def sealable(
    proposal: Proposal, explored: Sequence[Measurement], subject: "Subject", is_attempt: bool = False
) -> Proposal:
    """The proposal with every control that is due, and with no promise that exploration does not bear out.

    Args:
        proposal: as the planner made it.
        explored: everything measured so far.
        subject: whose measurements they are.
        is_attempt: whether it is there to break a claim, and becomes none itself.

    Raises:
        ToolError: its arms cannot test what they are there to test; says why.
    """
    prediction = proposal.prediction
    if prediction.hypothesis != proposal.hypothesis.id or prediction.kind != proposal.hypothesis.kind:
        raise _unfit(prediction, "it is about another hypothesis than the one it came with")
    arms = tuple(_completed(arm, subject) for arm in prediction.arms)
    _refuse_arms(prediction, arms, subject)
    if prediction.direction == "none":
        _refuse_untried(prediction, arms, explored)
        if not is_attempt:
            _refuse_unsearched(prediction, arms, explored)
    update = {
        "arms": arms,
        "twin_arms": tuple(_control(arm, f"{TWIN}, {arm.label}") for arm in arms),
        "shuffled_arm": next(_shuffled(prediction, arms), None),
        "smallest_effect": _bar(prediction),
        "chance": max(prediction.chance, _chance(arms)),
        "expected": _seen(arms, explored) if prediction.direction == "positive" else None,
    }
    checked = Prediction.model_validate(prediction.model_dump() | {k: _dumped(v) for k, v in update.items()})
    return as_far_as_true(proposal.model_copy(update={"prediction": checked}), explored)


def _completed(arm: Arm, subject: "Subject") -> Arm:
    """The arm with its defaults filled in, its places under their own names, and its random control."""
    instrument = get_tool(arm.tool)
    if not _confirms(instrument):
        raise ToolError(f"`{arm.tool}` measures no effect per pair of prompts.", mend="Confirm with `patch`.")
    args = instrument.parse(arm.args).model_dump(mode="json") | {"random_draws": RANDOM_DRAWS}
    shape = subject.shape
    for named in {"sites", "without"} & args.keys():
        args[named] = [str(parse_site(site, shape.n_layers, shape.n_heads, shape.n_kv_heads)) for site in args[named]]
    return arm.model_copy(update={"args": args})


def _confirms(instrument: Tool[Any, Any]) -> bool:
    """Whether a result says of every pair what the judge asks."""
    fields = instrument.result_model.model_fields
    if not fields.keys() >= CONFIRMING:
        return False
    (cell, *_) = get_args(fields["cells"].annotation)
    return cell.model_fields.keys() >= CONFIRMING_CELL


def _refuse_arms(prediction: Prediction, arms: Sequence[Arm], subject: "Subject") -> None:
    labels = [arm.label for arm in arms]
    if len(set(labels)) < len(labels):
        raise _unfit(prediction, f"two of its arms have one label: {', '.join(labels)}")
    if len({canonical([arm.tool, _place(arm)]) for arm in arms}) > 1:
        raise _unfit(prediction, "its arms are about different places")
    seen: set[str] = set()
    for arm in arms:
        if arm.tool == "patch":
            _refuse_patch(prediction, arm.args, subject)
        mine = set(_donors(arm))
        if seen & mine:
            raise _unfit(prediction, "two of its families take values from the same prompts, so they are one")
        seen |= mine


def _refuse_patch(prediction: Prediction, args: dict[str, Any], subject: "Subject") -> None:
    if args["shuffle_labels"] or args["value"] not in ("source", "class_mean"):
        raise _unfit(prediction, "an arm writes a control's values in place of another prompt's")
    if len(args["positions"]) != 1 or len(args["sites"]) != 1:
        raise _unfit(prediction, "an arm has more than one place, and a claim is about one")
    if out := args["without"]:
        _refuse_taken_out(prediction, args["sites"][0], out)
    for pair in args["pairs"]:
        idle = plain(pair["source"] or pair["corrupted"]) == plain(pair["base"])
        if idle or (args["value"] == "class_mean" and pair["base_label"] == pair["source_label"]):
            raise _unfit(prediction, f"the pair of {pair['base']!r} puts in place of a value the same value")
    if args["value"] == "class_mean" and (own := _own(args)):
        raise _unfit(prediction, f"its class means are of the pairs' own {own!r}, and carry more than the class")
    if trivial := by_construction(subject, args):
        raise _unfit(prediction, trivial)


def _refuse_taken_out(prediction: Prediction, site: str, out: Sequence[str]) -> None:
    if not is_part(site) or site in out:
        raise _unfit(prediction, f"with parts taken out, a claim is about another part: {', '.join(PARTS)}")
    if other := [one for one in out if not can_be_taken_out(one)]:
        raise _unfit(prediction, f"{other[0]} cannot be taken out, only heads and MLPs")


def _own(args: dict[str, Any]) -> str:
    """A prompt or entity of the pairs that stands among the reference prompts too; nothing where none does."""
    for theirs, ours in (("prompt", ("base", "corrupted")), ("entity", ("base_entity", "source_entity"))):
        means = {plain(entry[theirs]) for entry in args["reference"]} - {""}
        if shared := means & {plain(pair[name]) for pair in args["pairs"] for name in ours}:
            return min(shared)
    return ""


def _refuse_untried(prediction: Prediction, arms: Sequence[Arm], explored: Sequence[Measurement]) -> None:
    """That nothing happens says something only of a kind of value that makes something happen elsewhere."""
    working = {_kind_of_value(m.args) for m in _patches(explored) for c in m.result["cells"] if c["moved"] >= MOVES}
    for arm in arms:
        if arm.tool == "supernode_effect":
            _refuse_idle_group(prediction, arm, explored)
        elif arm.tool != "patch" or _kind_of_value(arm.args) not in working:
            raise _unfit(prediction, f"nowhere did the values of `{arm.label}` move {MOVES:.0%} of the answers")


def _refuse_unsearched(prediction: Prediction, arms: Sequence[Arm], explored: Sequence[Measurement]) -> None:
    """What one patch does not show may stand in for something else."""
    for arm in arms:
        if arm.tool == "patch" and (why := unsearched(arm, explored)):
            raise _unfit(prediction, why)


def _refuse_idle_group(prediction: Prediction, arm: Arm, explored: Sequence[Measurement]) -> None:
    """That a group does nothing here says something only of a group that does something elsewhere."""
    seen = _seen((arm,), explored)
    if seen is None or seen <= SMALLEST_EFFECT:
        raise _unfit(prediction, f"nowhere did the group of `{arm.label}` have an effect that matters")


def _control(arm: Arm, label: str, **changes: Any) -> Arm:
    return arm.model_copy(update={"label": label, "args": arm.args | {"random_draws": 0} | changes})


def _shuffled(prediction: Prediction, arms: Sequence[Arm]) -> Iterator[Arm]:
    """The control of a claim about classes: the same class means, of labels that mean nothing."""
    if prediction.direction == "positive":
        for arm in arms:
            if arm.args.get("value") == "class_mean":
                yield _control(arm, SHUFFLED, shuffle_labels=True)


def _seen(arms: Sequence[Arm], explored: Sequence[Measurement]) -> float | None:
    """The largest effect that exploration saw of the units of these arms."""
    mine = {unit_of_arm(arm) for arm in arms}
    return max((cell["effect"] for m in explored for unit, cell in units_in(m) if unit in mine), default=None)


def _bar(prediction: Prediction) -> float:
    """The effect that counts as small: a planner's choice only where the claim itself is of an effect that large, since
    a bar as high as one likes would refute as much as one likes."""
    is_trigger = prediction.smallest_effect == TURNS and all(arm.tool == "answer_contrast" for arm in prediction.arms)
    return TURNS if is_trigger else SMALLEST_EFFECT


def _chance(arms: Sequence[Arm]) -> float:
    """What guessing one of the answers at stake would get right, as far as the pairs tell."""
    if any(arm.args.get("mode") == "ablate" for arm in arms):
        return 0.0  # no guess makes an answer stop being the most likely
    words = {pair[k] for arm in arms for pair in arm.args["pairs"] for k in ("answer", "foil") if k in pair}
    return min(MOST_CHANCE, 1 / len(words)) if words else 0.0


def _patches(explored: Iterable[Measurement]) -> Iterator[Measurement]:
    return (m for m in explored if m.tool == "patch" and m.subject.reinit_seed is None)


def _named_group(prediction: Prediction) -> str:
    """Which group of features under which name a prediction is about; empty where it is about something else."""
    arms = prediction.arms
    if not arms or any(arm.tool != "supernode_effect" for arm in arms):
        return ""
    name, features = arms[0].args.get("supernode"), arms[0].args.get("features")
    if not isinstance(name, str) or not isinstance(features, list | tuple):
        return ""  # what its instrument will refuse
    return repr((name, sorted(map(str, features))))


def _place(arm: Arm) -> Any:
    named = ("sites", "positions", "joint", "feature", "features", "mode", "dictionary")
    return [*(arm.args.get(name) for name in named), sorted(arm.args.get("without", ()))]


def _donors(arm: Arm) -> Iterator[str]:
    """What values come from: pairs of prompt and donor, or the reference prompts."""
    if arm.args.get("value") == "class_mean":
        return (plain(entry["prompt"]) for entry in arm.args["reference"])
    return (canonical([plain(p["base"]), plain(p.get("source") or p["corrupted"])]) for p in arm.args["pairs"])


def _kind_of_value(args: dict[str, Any]) -> str:
    return canonical([args["value"], args["reference"]])


def _unfit(prediction: Prediction, why: str) -> ToolError:
    return ToolError(f"Prediction {prediction.id} tests nothing: {why}.", mend="Propose another.")


def _dumped(value: Any) -> Any:
    if isinstance(value, Arm):
        return value.model_dump()
    return tuple(map(_dumped, value)) if isinstance(value, tuple) else value
