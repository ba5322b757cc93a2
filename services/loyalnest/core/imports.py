"""Taking in customers from a file: in batches, repeatable, with a report of what was left out."""

import asyncio
import hashlib
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.core.csv_file import CustomerFile, Row
from loyalnest.core.models import Report, Source
from loyalnest.core.repository import Registry
from loyalnest.core.sealing import Vault
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import CallContext
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import PreconditionFailed
from loyalnest.kit.import_repository import Import, ImportLogs
from loyalnest.kit.imports import Applied, Imports
from loyalnest.kit.outbox import Outbox


class CustomerImports:
    """Imports of one merchant at a time (see `loyalnest.kit.imports`)."""

    def __init__(self, database: Database, outbox: Outbox, vault: Vault, clock: Clock) -> None:
        self._outbox = outbox
        self._vault = vault
        self._clock = clock
        self._imports: Imports[Row] = Imports(database, outbox, clock, ImportLogs("core.customer_import_logs"), _told)

    async def run(self, merchant_id: str, content: bytes) -> Import:
        """Import a file and return its report.

        Raises TooLarge or InvalidInput for a file that cannot be taken, before anything of it is applied.
        """
        file = await asyncio.to_thread(CustomerFile, content)
        keys = await self._vault.keys(merchant_id)
        if keys is None:
            raise PreconditionFailed("This merchant's encryption keys were destroyed, so nothing can be imported.")

        async def apply(connection: Connection, log: Import, rows: list[Row]) -> Applied:
            registry = Registry()
            reports = [_report(log, row) for row in rows]
            await registry.lock(connection, ((each.merchant_id, each.customer_id) for each in reports))
            registry.apply(reports, {merchant_id: keys}, self._clock())
            await registry.store(connection)
            await self._outbox.append(connection, registry.events())
            return Applied(len(registry.created), len(registry.changed))

        file_hash = keys.hash("core.import", hashlib.sha256(content).hexdigest())
        return await self._imports.run(merchant_id, file_hash, file.rows, file.read(), apply)

    async def find(self, merchant_id: str, import_id: UUID) -> Import:
        """An import with its report. Raises NotFound for one that is unknown."""
        return await self._imports.find(merchant_id, import_id)

    async def listed(self, merchant_id: str, page_size: int, page_token: str) -> tuple[list[Import], str]:
        """A page of imports, newest first, and the token of the next page (empty at the end)."""
        return await self._imports.listed(merchant_id, page_size, page_token)


def _told(context: CallContext, log: Import) -> AuditLog:
    return AuditLog(
        actor=context.actor,
        role=context.role,
        action="customers.imported",
        subject=f"import:{log.import_id}",
        before={},
        after={name: str(getattr(log, name)) for name in ("status", "rows", "created", "updated", "rejected")},
        at=log.seen_at,
    )


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
