"""Taking in rows from a file: in batches, repeatable, with a report of what was left out.

What a file says is of the moment when its content was first imported. So the same file again changes nothing, finishes
what a killed import began, and never brings back what was changed since.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Generic, TypeVar
from uuid import UUID

from loyalnest.kit.clock import Clock
from loyalnest.kit.context import CallContext, current
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import NotFound, RaceLost
from loyalnest.kit.events import Payload, new_id
from loyalnest.kit.import_repository import Import, ImportLogs, RejectedCell
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after

BATCH = 500
MAX_PROBLEMS = 5_000
INTERRUPTED_AFTER = timedelta(minutes=5)
"""An import that was not heard of for so long was killed; its file can be imported again."""
_TRIES = 3

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch of rows came to: how many were new, and how many changed something."""

    created: int
    updated: int


Apply = Callable[[Connection, Import, list[R]], Awaitable[Applied]]
"""Applies rows in the transaction that it is given. Raises RaceLost to be tried again."""

Told = Callable[[CallContext, Import], Payload]
"""What the audit log is told of an import that has ended."""


class Imports(Generic[R]):
    """Imports of one kind, of one merchant at a time."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock, logs: ImportLogs, told: Told) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._logs = logs
        self._told = told

    async def run(
        self,
        merchant_id: str,
        file_hash: bytes,
        count: int,
        rows: Iterator[R | list[RejectedCell]],
        apply: Apply[R],
    ) -> Import:
        """Import `rows`, of which there are `count`, and return the report. file_hash: the same for the same file."""
        async with self._database.request(merchant_id) as connection:
            log = await self._logs.begin(
                connection, merchant_id, new_id(), file_hash, current().actor, count, self._clock()
            )
        try:
            while batch := await asyncio.to_thread(lambda: list(islice(rows, BATCH))):
                log = await self._apply(log, batch, apply)
            await self._finish(log, "completed")
        except Exception:
            await self._finish(log, "failed")
            raise
        return log

    async def find(self, merchant_id: str, import_id: UUID) -> Import:
        """An import with its report. Raises NotFound for one that is unknown."""
        async with self._database.request(merchant_id) as connection:
            found = await self._logs.find(connection, merchant_id, import_id)
        if found is None:
            raise NotFound(f"No import {import_id} is known.")
        return self._as_seen(found)

    async def listed(self, merchant_id: str, page_size: int, page_token: str) -> tuple[list[Import], str]:
        """A page of imports, newest first, and the token of the next page (empty at the end)."""
        limit = page_limit(page_size)
        async with self._database.request(merchant_id) as connection:
            rows = await self._logs.listed(connection, merchant_id, uuid_after(page_token), limit + 1)
        page, token = page_of(rows, limit, lambda row: row.import_id)
        return [self._as_seen(each) for each in page], token

    async def _apply(self, log: Import, batch: list[R | list[RejectedCell]], apply: Apply[R]) -> Import:
        """Apply a batch and note it in one transaction; again if another made one of its rows meanwhile."""
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                return await self._apply_once(log, batch, apply)
            except RaceLost:
                if last:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _apply_once(self, log: Import, batch: list[R | list[RejectedCell]], apply: Apply[R]) -> Import:
        rows: list[R] = []
        problems: list[RejectedCell] = []
        for each in batch:
            if isinstance(each, list):
                problems += each
            else:
                rows.append(each)
        async with self._database.request(log.merchant_id) as connection:
            applied = await apply(connection, log, rows)
            after = replace(
                log,
                created=log.created + applied.created,
                updated=log.updated + applied.updated,
                unchanged=log.unchanged + len(rows) - applied.created - applied.updated,
                rejected=log.rejected + len(batch) - len(rows),
                problems=[*log.problems, *problems][:MAX_PROBLEMS],
                seen_at=self._clock(),
            )
            await self._logs.note(connection, after)
        return after

    async def _finish(self, log: Import, status: str) -> None:
        log.status = status
        log.finished_at = log.seen_at = self._clock()
        async with self._database.request(log.merchant_id) as connection:
            await self._logs.finish(connection, log)
            event = self._told(current(), log).event(log.merchant_id, "imports")
            await self._outbox.append(connection, [event])

    def _as_seen(self, log: Import) -> Import:
        if log.status == "running" and self._clock() - log.seen_at > INTERRUPTED_AFTER:
            log.status = "interrupted"
        return log
