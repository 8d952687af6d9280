"""`vesalius score-names`: do the names of a run tell where its features fire? Answered by a language model where one is
set, else by the deterministic simulator; which of them is said with every score.

The run is not changed: its ledger and report stay as they are. The measurement is kept beside the others of the run,
with the answers among its arguments, so that it can be made again with nobody to ask.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ...tools import Measurement, ToolError, digest, get_tool
from ..asking import Where, desk_for
from ..endpoint import endpoint_of
from ..failing import SettingError
from ..ledger import read_ledger
from ..planners._naming import KEY
from ..rebuilding import recorded
from ..remembering import records_of
from ..runs import RunFolder, UnreadableFile, write_whole
from ..settings import Settings
from .output import print_json, print_line, print_table
from .progress import shown

if TYPE_CHECKING:
    from ...tools import Subject
    from ..planners.llm_endpoint import Endpoint

TOOL = "score_names"
PER_KIND, PERMUTATIONS = 5, 2  # where each answer takes a request; the instrument's own are larger
Answers = dict[Annotated[str, Field(pattern="^[0-9a-f]{16}$")], bool]
By = Literal["llm", "simulator"]


def score_command(
    settings: Settings,
    run: str,
    by: str | None,
    per_kind: int | None,
    permutations: int | None,
    most: int,
    use_memory: bool,
    as_json: bool,
) -> None:
    """Score the names of a run's features, keep the measurement and the cards, and print it."""
    from ...tools import load_subject

    scorer = _by(settings, by)
    endpoint = endpoint_of(settings) if scorer == "llm" else None  # before anything is loaded
    folder = RunFolder.open(settings.home, run)
    probed = _probed(folder)
    args = scoring_args(probed, settings.seed)
    few = {"per_kind": per_kind or PER_KIND, "permutations": permutations or PERMUTATIONS} if endpoint else {}
    given = {"per_kind": per_kind, "permutations": permutations}
    args |= few or {name: value for name, value in given.items() if value is not None}
    subject = load_subject(folder.info.model, settings.device)
    if subject.key.fingerprint != probed.subject.fingerprint:
        raise ToolError(f"The weights of {subject.name} have changed since the run.", mend="Restore them.")
    with shown("scoring names") as progress:
        if endpoint is not None:
            args = _answered(subject, endpoint, folder, args, most, settings.seed, progress)
        measurement = _measured(subject, args, progress)
    if measurement.result["dictionary_digest"] != probed.result["dictionary_digest"]:
        raise ToolError("The dictionary has changed since the run.", mend="Restore it, or ask the question again.")
    folder.keep(measurement)
    if use_memory:
        _remember(Where(settings.home, settings.memory), subject, folder, measurement)
    if as_json:
        print_json({**measurement.model_dump(mode="json"), "deterministic": endpoint is None})
    else:
        _print(measurement)


def _by(settings: Settings, by: str | None) -> By:
    if by is None:
        return "llm" if settings.planner_url else "simulator"
    if by not in ("llm", "simulator"):
        raise SettingError(f"There is no scorer `{by}`. Scorers: llm, simulator.")
    return by


def _probed(folder: RunFolder) -> Measurement:
    """The naming of the features of the prompt that the run was about."""
    entries = {entry.key: entry.body for entry in read_ledger(folder.ledger)} if folder.ledger.is_file() else {}
    entry = entries.get(f"measured:{KEY}")
    if entry is None:
        raise ToolError(
            f"Run {folder.name} named no features.",
            mend="Give a run of a `why` question on a model that has a dictionary.",
        )
    return folder.measurement(entry["measurement"])


def scoring_args(probed: Measurement, seed: int) -> dict[str, Any]:
    """Arguments of the scoring of a naming's names, on probes that it held out and texts that it did not look at.

    Raises:
        ToolError: no feature has a name.
    """
    named = [one for one in probed.result["features"] if one["name"]]
    if not named:
        raise ToolError("No feature of the run has a name.", mend="Ask about another prompt.")
    probes = probed.result["probes"]
    return {
        "features": [{"feature": _place(one), "name": one["name"], "group": one["group"]} for one in named],
        "contexts": [one["text"] for one in probes if one["held_out"]],
        "seen": [one["text"] for one in probes if not one["held_out"]],
        "prompt": probed.args["prompt"],
        "naming_seed": probed.args["seed"],
        "language": probed.args["language"],
        "dictionary": probed.args["dictionary"],
        "force_dictionary": probed.args["force_dictionary"],
        "seed": seed,
    }


def _measured(subject: "Subject", args: dict[str, Any], progress: Any) -> Measurement:
    instrument = get_tool(TOOL)
    return instrument.measure(subject, instrument.parse(args), progress)


def _answered(
    subject: "Subject",
    endpoint: "Endpoint",
    folder: RunFolder,
    args: dict[str, Any],
    most: int,
    seed: int,
    progress: Any,
) -> dict[str, Any]:
    """The arguments with the language model's answers to all that they ask."""
    from ..planners.llm_judging import judgements

    asked = _measured(subject, args | {"list_questions": True}, progress).result
    if asked["n_questions"] > most:
        raise ToolError(
            f"{asked['n_questions']} questions would be asked of {endpoint.model}, a request each.",
            mend=f"Raise --most, now {most}, or lower --per-kind or --permutations.",
        )
    if not asked["n_questions"]:
        raise ToolError(
            "There is nothing to ask: no name has contexts enough to be scored on.",
            mend="Use --by simulator to see which features lack contexts.",
        )
    path = _answers_of(folder, endpoint.model)
    known = _known(path)

    def keep(found: Mapping[str, bool]) -> None:
        write_whole(path, TypeAdapter(Answers).dump_json({**known, **found}, indent=0).decode())

    path.parent.mkdir(exist_ok=True)
    found = judgements(endpoint, asked["questions"], known, keep, progress, seed)
    answers = [{"question": name, "answer": found[name]} for name in sorted(found)]
    return args | {"judgements": answers, "scorer": endpoint.model}


def _answers_of(folder: RunFolder, model: str) -> Path:
    """Where a model's answers are kept, so that a scoring that was stopped asks none of them again."""
    return folder.path / "answers" / f"{digest(model)[:16]}.json"


def _known(path: Path) -> dict[str, bool]:
    if not path.is_file():
        return {}
    try:
        return TypeAdapter(Answers).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise UnreadableFile(f"{path} holds no answers. Remove it to have all questions asked again.") from error


def _remember(where: Where, subject: "Subject", folder: RunFolder, scores: Measurement) -> None:
    """Write the run's records again, the cards with their scores; what stands there is replaced."""
    opener = where.opener()
    assert opener is not None, "a memory was wanted"
    with desk_for(where, subject, folder) as desk:
        view = desk.view(recorded(desk.ledger))
        records = records_of(desk, view.model_copy(update={"results": {**view.results, TOOL: scores}}))
    with opener() as memory:
        memory.remember(records)


def _print(measurement: Measurement) -> None:
    result = measurement.result
    by = f"the language model {result['scorer']}, which may answer otherwise when asked again"
    print_line(f"Scored by {by if result['scorer'] else 'the deterministic simulator, no language model'}.")
    rows = [
        (_place(one), one["name"], one["group"], _score(one["detection"]), _score(one["fuzzing"]))
        for one in result["features"]
    ]
    print_table(("feature", "name", "class", "detection", "fuzzing"), rows)
    for kind in ("detection", "fuzzing"):
        if mean := result[kind]:
            control = "no control" if mean["permuted"] is None else f"names permuted {mean['permuted']:.2f}"
            print_line(
                f"{kind}: mean {mean['value']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}] of {mean['n_features']} "
                f"features; {control}; guessing gives 0.50"
            )
    print_line(f"measurement {measurement.id}; different questions: {result['n_questions']}")


def _place(one: Mapping[str, Any]) -> str:
    return f"{one['layer']}/{one['feature']}"


def _score(one: Mapping[str, Any] | None) -> str:
    return f"{one['score']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" if one else "not scored"
