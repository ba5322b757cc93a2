"""The log of imports from files: all its SQL. The table is made by `loyalnest.kit.migrations.create_import_logs`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from loyalnest.kit.database import Connection


@dataclass(frozen=True, slots=True)
class RejectedCell:
    """What is wrong in a row. line: where the row begins, from 1; column: empty for the row as a whole."""

    line: int
    column: str
    reason: str


@dataclass(slots=True)
class Import:
    """One import. as_of: when this very content was first imported, which is the time of what it says.

    seen_at: when it was last heard of. problems: the first that were found; empty in lists.
    """

    merchant_id: str
    import_id: UUID
    as_of: datetime
    status: str
    actor: str
    started_at: datetime
    seen_at: datetime
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    finished_at: datetime | None = None
    problems: Sequence[RejectedCell] = field(default_factory=list)


_LISTED = """l.merchant_id, l.import_id, l.as_of, l.status, l.actor, l.started_at, l.seen_at, l.rows, l.created,
    l.updated, l.unchanged, l.rejected, l.finished_at"""
_problems = msgspec.json.Decoder(list[RejectedCell])


class ImportLogs:
    """The log of one kind of imports, in the table `<schema>.<table>`."""

    def __init__(self, table: str) -> None:
        self._table = table

    async def begin(
        self,
        connection: Connection,
        merchant_id: str,
        import_id: UUID,
        file_hash: bytes,
        actor: str,
        rows: int,
        now: datetime,
    ) -> Import:
        """Note that an import began; it takes the time of the first import of the same content."""
        row = await connection.fetchrow(
            f"""
            INSERT INTO {self._table} AS l
                (merchant_id, import_id, file_hash, as_of, status, actor, rows, started_at, seen_at)
            VALUES ($1, $2, $3,
                    coalesce((SELECT min(f.as_of) FROM {self._table} f
                              WHERE f.merchant_id = $1 AND f.file_hash = $3), $6),
                    'running', $4, $5, $6, $6)
            RETURNING {_LISTED}
            """,
            merchant_id,
            import_id,
            file_hash,
            actor,
            rows,
            now,
        )
        assert row is not None
        return Import(**row)

    async def note(self, connection: Connection, log: Import) -> None:
        """Write how far an import is."""
        await connection.execute(
            f"""
            UPDATE {self._table} l
            SET status = $3, created = $4, updated = $5, unchanged = $6, rejected = $7, seen_at = $8, finished_at = $9
            WHERE l.merchant_id = $1 AND l.import_id = $2
            """,
            log.merchant_id,
            log.import_id,
            log.status,
            log.created,
            log.updated,
            log.unchanged,
            log.rejected,
            log.seen_at,
            log.finished_at,
        )

    async def finish(self, connection: Connection, log: Import) -> None:
        """Write an import's end, with its report."""
        await self.note(connection, log)
        await connection.execute(
            f"UPDATE {self._table} l SET problems = $3::jsonb WHERE l.merchant_id = $1 AND l.import_id = $2",
            log.merchant_id,
            log.import_id,
            msgspec.json.encode(log.problems).decode(),
        )

    async def find(self, connection: Connection, merchant_id: str, import_id: UUID) -> Import | None:
        """One import with its report."""
        row = await connection.fetchrow(
            f"""
            SELECT {_LISTED}, l.problems FROM {self._table} l
            WHERE l.merchant_id = $1 AND l.import_id = $2
            """,
            merchant_id,
            import_id,
        )
        return None if row is None else _import(row)

    async def listed(self, connection: Connection, merchant_id: str, before: UUID | None, limit: int) -> list[Import]:
        """Imports without their reports, newest first, those older than `before`."""
        rows = await connection.fetch(
            f"""
            SELECT {_LISTED} FROM {self._table} l
            WHERE l.merchant_id = $1 AND ($2::uuid IS NULL OR l.import_id < $2)
            ORDER BY l.import_id DESC LIMIT $3
            """,
            merchant_id,
            before,
            limit,
        )
        return [Import(**row) for row in rows]


def _import(row: asyncpg.Record) -> Import:
    values = dict(row)
    problems = _problems.decode(values.pop("problems"))
    return Import(**values, problems=problems)
