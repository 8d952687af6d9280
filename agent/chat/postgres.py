"""A chat's history in a PostgreSQL database, for those who go on with a chat from several machines.

Needs `vesalius[postgres]`. The runs stay where they are measured: HOME/runs of the machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...tools import ToolError
from .history import NAME, History, in_use, refuse_name, serializer

if TYPE_CHECKING:
    import psycopg

THREADS = "vesalius chat "  # before a chat's name: a team's database may hold other people's checkpoints


@contextmanager
def open_postgres(url: str, name: str, resume: bool, any_name: bool) -> Iterator[History]:
    """A chat kept in a database; only one process has it at a time.

    Args:
        url: as libpq takes it.
        name: of the chat.
        resume: whether it is there already.
        any_name: whether the chat used last is wanted where one is gone on with.

    Raises:
        ToolError: no such database, the chat is or is not there, or another process has it.
    """
    try:
        import psycopg
        from langgraph.checkpoint.postgres import PostgresSaver
        from psycopg.rows import dict_row
    except ImportError as error:
        raise ToolError(
            f"Chats in PostgreSQL need a package that is not installed ({error.name}).",
            mend="pip install 'vesalius[postgres]', or leave VESALIUS_CHATS unset.",
        ) from error
    try:
        # As `PostgresSaver.from_conn_string` connects, which would take no serializer of ours.
        with psycopg.Connection[dict[str, Any]].connect(
            url, autocommit=True, prepare_threshold=0, row_factory=dict_row, client_encoding="utf8"
        ) as connection:
            saver = PostgresSaver(connection, serde=serializer())  # pyright: ignore[reportArgumentType]  # rows are dicts
            saver.setup()
            name = _chosen(_names(connection), name, resume, any_name)
            _hold(connection, name)
            yield History(name, saver, THREADS + name)
    except psycopg.Error as error:
        # What the library says may quote the address, and with it a password.
        raise ToolError(
            f"The database of chats cannot be used ({type(error).__name__}).",
            mend="Check the address in VESALIUS_CHATS and that the server runs.",
        ) from None


def _chosen(kept: list[str], name: str, resume: bool, any_name: bool) -> str:
    if not resume:
        refuse_name(name)
        if name in kept:
            raise ToolError(f"There is a chat {name}.", mend=f"Go on with it: --resume --name {name}; or give another.")
        return name
    if any_name and kept:
        return kept[-1]
    if name in kept:
        return name
    listed = ", ".join(kept[-5:]) or "none yet"
    raise ToolError("There is no such chat to go on with.", mend=f"Chats, the one used last at the end: {listed}.")


def _names(connection: "psycopg.Connection[Any]") -> list[str]:
    """The chats in the database, the one used last at the end: ids of checkpoints grow with time."""
    query = (
        "SELECT thread_id FROM checkpoints WHERE starts_with(thread_id, %s) GROUP BY thread_id "
        "ORDER BY max(checkpoint_id)"
    )
    found = (row["thread_id"].removeprefix(THREADS) for row in connection.execute(query, (THREADS,)))
    return [name for name in found if NAME.fullmatch(name)]


def _hold(connection: "psycopg.Connection[Any]", name: str) -> None:
    """Hold a chat for as long as the connection lasts; the server lets go when it ends, however it ends."""
    asked = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS held", (THREADS + name,))
    row = asked.fetchone()
    if row is None or not row["held"]:
        raise in_use(name, "it has the database's lock")
