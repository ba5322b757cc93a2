"""Taking in products from a file: in batches, repeatable, with a report of what was left out."""

import asyncio
import hashlib
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.api_gateway.events import ProductFacts
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import CallContext
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.import_repository import Import, ImportLogs
from loyalnest.kit.imports import Applied, Imports
from loyalnest.kit.outbox import Outbox
from loyalnest.products import repository
from loyalnest.products.json_lines import ProductFile
from loyalnest.products.models import Told


class ProductImports:
    """Imports of one merchant at a time (see `loyalnest.kit.imports`)."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        logs = ImportLogs("products.product_import_logs")
        self._imports: Imports[ProductFacts] = Imports(database, outbox, clock, logs, _told)

    async def run(self, merchant_id: str, content: bytes) -> Import:
        """Import a file and return its report. What a delivery tells later of a product wins, also if it came before.

        Raises TooLarge or InvalidInput for a file that cannot be taken, before anything of it is applied.
        """
        file = await asyncio.to_thread(ProductFile, content)

        async def apply(connection: Connection, log: Import, rows: list[ProductFacts]) -> Applied:
            changes = await repository.apply(connection, [_row(log, facts) for facts in rows])
            return Applied(changes.created, changes.updated)

        return await self._imports.run(merchant_id, hashlib.sha256(content).digest(), file.rows, file.read(), apply)

    async def find(self, merchant_id: str, import_id: UUID) -> Import:
        """An import with its report. Raises NotFound for one that is unknown."""
        return await self._imports.find(merchant_id, import_id)

    async def listed(self, merchant_id: str, page_size: int, page_token: str) -> tuple[list[Import], str]:
        """A page of imports, newest first, and the token of the next page (empty at the end)."""
        return await self._imports.listed(merchant_id, page_size, page_token)


def _row(log: Import, facts: ProductFacts) -> Told:
    """What a line tells. No file knows the future: a time in it would shut out every delivery until then."""
    at = min(facts.updated_at or log.as_of, log.as_of)
    return Told(log.merchant_id, facts, at, at)


def _told(context: CallContext, log: Import) -> AuditLog:
    return AuditLog(
        actor=context.actor,
        role=context.role,
        action="products.imported",
        subject=f"import:{log.import_id}",
        before={},
        after={name: str(getattr(log, name)) for name in ("status", "rows", "created", "updated", "rejected")},
        at=log.seen_at,
    )
