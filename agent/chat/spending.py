"""What a chat has spent so far, by what lies in its runs' folders, and what the next run may spend."""

from collections.abc import Iterator, Sequence

from ..budget import NAMES, Budget
from ..console import TEXT
from ..ledger import read_ledger
from ..planners.llm_turns import Turn
from ..runs import RunFolder
from .turns import Line


def spending(budget: Budget, runs: Sequence[RunFolder], calls: int) -> Iterator[Line]:
    """Limits of each run to come, then what the runs so far came to.

    Args:
        calls: requests to a language model to understand messages (count).
    """
    limits = [f"{NAMES[name]} {limit:,.10g}" for name in NAMES if (limit := getattr(budget, name)) is not None]
    yield Line(text=f"Each run may spend: {', '.join(limits) or 'no limits'}.")
    yield Line(text="Change it by: /budget seconds=60,calls=20", style="dim")
    seconds, measured, reused, said = 0.0, 0, 0, list[Turn]()
    for run in runs:
        entries = read_ledger(run.ledger) if run.ledger.is_file() else ()
        taken = {entry.body["reused"] for entry in entries if "reused" in entry.body}
        reused += len(taken)
        turns = (Turn.model_validate(entry.body["turn"]) for entry in entries if "turn" in entry.body)
        said += (turn for turn in turns if turn.role != "reader")  # these are counted with the messages
        ids = {entry.body["measurement"] for entry in entries if entry.kind in ("measurement", "confirmed")}
        for found in (run.measurement(one) for one in ids - taken):
            measured += 1
            seconds += found.seconds
    yield Line(
        text=f"Spent in this chat: {len(runs)} runs, {measured} measurements in {seconds:.0f} seconds of instruments,"
    )
    yield Line(text=f"and {reused} measurements taken from earlier runs of it.", indent=TEXT)
    if said or calls:
        tokens = sum(turn.tokens for turn in said)
        text = f"Language models: {len(said)} requests to plan ({tokens:,} tokens), {calls} to understand messages."
        yield Line(text=text)
