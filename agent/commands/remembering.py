"""`vesalius memory search`."""

from ..asking import Where
from ..settings import Settings
from .output import print_json, print_table


def search_command(settings: Settings, text: str, kind: str | None, limit: int, as_json: bool) -> None:
    """Print records nearest to a text, whatever weights they are about."""
    from ...memory._records import KINDS
    from ...tools import ToolError

    if kind is not None and kind not in KINDS:
        raise ToolError(f"There is no collection `{kind}`.", mend=f"Collections: {', '.join(KINDS)}.")
    opener = Where(settings.home, settings.memory).opener()
    assert opener is not None
    with opener() as memory:
        hits = memory.search(text, kind=kind, limit=limit)  # pyright: ignore[reportArgumentType]  # checked above
    if as_json:
        print_json(
            {"hits": [{"similarity": h.similarity, "id": h.id, **h.record.model_dump(mode="json")} for h in hits]}
        )
        return
    if not hits:
        print("Nothing is remembered yet; `vesalius ask` fills the memory.")
        return
    print_table(
        ("near", "kind", "tier", "model", "run", "what"),
        [
            (
                f"{h.similarity:.2f}",
                h.record.kind,
                h.record.tier,
                h.record.subject.model,
                h.record.run,
                h.record.wording,
            )
            for h in hits
        ],
    )
