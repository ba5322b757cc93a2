"""Copies a merchant's rows from one place's databases to another's: all as of one moment, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from loyalnest.kit.database import Connection
from loyalnest.kit.errors import PreconditionFailed
from loyalnest.kit.moving.draining import unpublished
from loyalnest.kit.moving.tables import OUTBOX, Table, confine, revision, session, tables_of
from loyalnest.kit.placement import Placement
from loyalnest.kit.service import Service

_CHUNKS = 16
"""Pieces of a table, 64 kB or less each, that may wait between the two servers."""

Settled = Callable[[], Awaitable[str]]
"""What was perhaps not applied when the snapshot was taken, in words; nothing if all was. Called after it was taken."""
Arrived = Callable[[str, Connection], Awaitable[None]]
"""Looks at, or changes, the rows of a service in their new place (service, connection), before they are committed."""


class NotSettled(PreconditionFailed):
    """Something of the merchant is under way: nothing was copied."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows of a table were copied."""

    table: str
    rows: int


async def copy_merchant(
    source: Placement,
    target: Placement,
    services: Sequence[Service],
    merchant_id: str,
    *,
    settled: Settled,
    before: Arrived,
    after: Arrived,
) -> list[Copied]:
    """Copy every row of `merchant_id`, in place of what `target` has of it.

    The merchant must be closed in both places. before, after: called for each service in the target's transaction,
    before its old rows there go and after the new ones came. Safe to kill: the target commits at the end, or nothing.
    Raises NotSettled, PreconditionFailed for schemas of two versions, and as `session`.
    """
    copied: list[Copied] = []
    async with AsyncExitStack() as stack:
        residents = [service for service in services if service.migrations]
        sources = await _open(stack, source, residents)
        targets = await _open(stack, target, residents)
        for connection in _each(sources):
            await stack.enter_async_context(connection.transaction(isolation="repeatable_read", readonly=True))
        for url, connection in sources.items():
            there = [each.name for each in residents if source.database_for(each.name) == url]
            await _check_settled(await unpublished(connection, there, merchant_id))
        await _check_settled(await settled())
        commits = [connection.transaction() for connection in _each(targets)]
        for transaction in commits:
            await transaction.start()
        for connection in _each(targets):
            await confine(connection, merchant_id)
        for service in residents:
            old, new = sources[source.database_for(service.name)], targets[target.database_for(service.name)]
            await before(service.name, new)
            copied += await _copy_service(old, new, service.name, merchant_id)
            await after(service.name, new)
        for transaction in commits:
            await transaction.commit()
    return copied


async def _open(stack: AsyncExitStack, place: Placement, services: Iterable[Service]) -> dict[str, Connection]:
    urls = dict.fromkeys(place.database_for(service.name) for service in services)
    return {url: await stack.enter_async_context(session(url)) for url in urls}


def _each(connections: dict[str, Connection]) -> Iterable[Connection]:
    return connections.values()


async def _check_settled(words: str) -> None:
    if words:
        raise NotSettled(f"Not yet applied: {words}.")


async def _copy_service(old: Connection, new: Connection, schema: str, merchant_id: str) -> list[Copied]:
    had, has = await revision(old, schema), await revision(new, schema)
    if had is None:
        return []
    if had != has:
        raise PreconditionFailed(
            f"The tables of {schema} are at revision {had} here and at {has or 'none'} where they should go. Bring "
            "both places to the same version of LoyalNest first."
        )
    tables = [each for each in await tables_of(old, schema) if each.name != OUTBOX]
    for table in reversed(tables):
        await new.execute(f"DELETE FROM {table.full} WHERE merchant_id = $1", merchant_id)
    return [Copied(table.full, await _copy_table(old, new, table, merchant_id)) for table in tables]


async def _copy_table(old: Connection, new: Connection, table: Table, merchant_id: str) -> int:
    """Through a temporary table, because COPY may not fill one under row-level security."""
    columns = ", ".join(table.columns)
    draft = f"moved_{table.name}"
    await new.execute(f"CREATE TEMP TABLE {draft} ON COMMIT DROP AS SELECT {columns} FROM {table.full} WITH NO DATA")
    chunks: asyncio.Queue[bytes] = asyncio.Queue(_CHUNKS)
    reading = asyncio.create_task(_read(old, table, columns, merchant_id, chunks))
    filling = new.copy_to_table(draft, source=_pieces(chunks), format="binary", schema_name="pg_temp")
    await _both(reading, asyncio.create_task(filling))
    read = reading.result()
    # Numbers that a sequence gave stay as they are: other rows may speak of them.
    written = await new.execute(
        f"INSERT INTO {table.full} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {draft}"
    )
    await new.execute(f"DROP TABLE {draft}")
    if _rows(written) != read:
        raise PreconditionFailed(f"{table.full}: {read} rows were read and {_rows(written)} written.")
    for column in table.counted:
        await _count_on(new, table, column, merchant_id)
    return read


async def _read(old: Connection, table: Table, columns: str, merchant_id: str, chunks: "asyncio.Queue[bytes]") -> int:
    query = f"SELECT {columns} FROM {table.full} WHERE merchant_id = $1"
    status = await old.copy_from_query(query, merchant_id, output=chunks.put, format="binary")
    await chunks.put(b"")
    return _rows(status)


async def _both(*tasks: "asyncio.Task[Any]") -> None:
    """Wait for all; when one fails, the others are cancelled, and its error is raised as it is."""
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in done:
        task.result()


async def _pieces(chunks: "asyncio.Queue[bytes]") -> AsyncIterator[bytes]:
    while piece := await chunks.get():
        yield piece


def _rows(status: str) -> int:
    """How many rows a command says it has moved: `COPY 3`, `INSERT 0 3`."""
    return int(status.rpartition(" ")[2])


async def _count_on(new: Connection, table: Table, column: str, merchant_id: str) -> None:
    """Let the sequence behind `column` go on after the greatest number that came along."""
    await new.execute(
        f"""
        SELECT setval(s.name, greatest(m.most, nextval(s.name)))
        FROM (SELECT pg_get_serial_sequence($1, $2) AS name) s,
             (SELECT max({column}) AS most FROM {table.full} WHERE merchant_id = $3) m
        WHERE m.most IS NOT NULL
        """,
        table.full,
        column,
        merchant_id,
    )
