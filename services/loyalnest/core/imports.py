"""Taking in customers from a file: in batches, repeatable, with a report of what was left out."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.core import import_repository
from loyalnest.core.csv_file import CustomerFile, RejectedCell, Row
from loyalnest.core.import_repository import Import
from loyalnest.core.models import Report, Source
from loyalnest.core.repository import Registry
from loyalnest.core.sealing import Vault
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Database
from loyalnest.kit.errors import NotFound, PreconditionFailed, RaceLost
from loyalnest.kit.events import new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after

BATCH = 500
MAX_PROBLEMS = 5_000
INTERRUPTED_AFTER = timedelta(minutes=5)
"""An import that was not heard of for so long was killed; its file can be imported again."""
_TRIES = 3


class CustomerImports:
    """Imports of one merchant at a time.

    What a file says is of the moment when its content was first imported. So the same file again changes nothing,
    finishes what a killed import began, and never brings back what was changed since.
    """

    def __init__(self, database: Database, outbox: Outbox, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._vault = vault
        self._clock = clock

    async def run(self, merchant_id: str, content: bytes) -> Import:
        """Import a file and return its report.

        Raises TooLarge or InvalidInput for a file that cannot be taken, before anything of it is applied.
        """
        file = await asyncio.to_thread(CustomerFile, content)
        keys = await self._vault.keys(merchant_id)
        if keys is None:
            raise PreconditionFailed("This merchant's encryption keys were destroyed, so nothing can be imported.")
        file_hash = keys.hash("core.import", hashlib.sha256(content).hexdigest())
        async with self._database.request(merchant_id) as connection:
            log = await import_repository.begin(
                connection, merchant_id, new_id(), file_hash, current().actor, file.rows, self._clock()
            )
        try:
            rows = file.read()
            while batch := await asyncio.to_thread(_take, rows):
                log = await self._apply(log, batch, keys)
            await self._finish(log, "completed")
        except Exception:
            await self._finish(log, "failed")
            raise
        return log

    async def find(self, merchant_id: str, import_id: UUID) -> Import:
        """An import with its report. Raises NotFound for one that is unknown."""
        async with self._database.request(merchant_id) as connection:
            found = await import_repository.find(connection, merchant_id, import_id)
        if found is None:
            raise NotFound(f"No import {import_id} is known.")
        return self._as_seen(found)

    async def listed(self, merchant_id: str, page_size: int, page_token: str) -> tuple[list[Import], str]:
        """A page of imports, newest first, and the token of the next page (empty at the end)."""
        limit = page_limit(page_size)
        async with self._database.request(merchant_id) as connection:
            rows = await import_repository.imports(connection, merchant_id, uuid_after(page_token), limit + 1)
        page, token = page_of(rows, limit, lambda row: row.import_id)
        return [self._as_seen(each) for each in page], token

    async def _apply(self, log: Import, batch: list[Row | list[RejectedCell]], keys: MerchantKeys) -> Import:
        """Apply a batch and note it in one transaction; again if another made a customer of it meanwhile."""
        for _ in range(_TRIES - 1):
            with suppress(RaceLost):
                return await self._apply_once(log, batch, keys)
        return await self._apply_once(log, batch, keys)

    async def _apply_once(self, log: Import, batch: list[Row | list[RejectedCell]], keys: MerchantKeys) -> Import:
        reports = [_report(log, each) for each in batch if isinstance(each, Row)]
        rejected = [each for each in batch if not isinstance(each, Row)]
        registry = Registry()
        async with self._database.request(log.merchant_id) as connection:
            await registry.lock(connection, ((each.merchant_id, each.customer_id) for each in reports))
            registry.apply(reports, {log.merchant_id: keys}, self._clock())
            await registry.store(connection)
            await self._outbox.append(connection, registry.events())
            created, updated = len(registry.created), len(registry.changed)
            after = replace(
                log,
                created=log.created + created,
                updated=log.updated + updated,
                unchanged=log.unchanged + len(reports) - created - updated,
                rejected=log.rejected + len(rejected),
                problems=[*log.problems, *(cell for cells in rejected for cell in cells)][:MAX_PROBLEMS],
                seen_at=self._clock(),
            )
            await import_repository.note(connection, after)
        return after

    async def _finish(self, log: Import, status: str) -> None:
        log.status = status
        log.finished_at = log.seen_at = self._clock()
        context = current()
        audit = AuditLog(
            actor=context.actor,
            role=context.role,
            action="customers.imported",
            subject=f"import:{log.import_id}",
            before={},
            after={name: str(getattr(log, name)) for name in ("status", "rows", "created", "updated", "rejected")},
            at=log.finished_at,
        )
        async with self._database.request(log.merchant_id) as connection:
            await import_repository.finish(connection, log)
            await self._outbox.append(connection, [audit.event(log.merchant_id, "imports")])

    def _as_seen(self, log: Import) -> Import:
        if log.status == "running" and self._clock() - log.seen_at > INTERRUPTED_AFTER:
            log.status = "interrupted"
        return log


def _take(rows: Iterator[Row | list[RejectedCell]]) -> list[Row | list[RejectedCell]]:
    return list(islice(rows, BATCH))


def _report(log: Import, row: Row) -> Report:
    return Report(
        log.merchant_id,
        row.customer_id,
        Source.IMPORT,
        at=log.as_of,
        updated_at=log.as_of,
        personal=row.personal,
        accepts_marketing=row.accepts_marketing,
    )
