"""Everything a merchant has in the databases, as files: JSON lines per table and a manifest.

Rows are read under the request role of their service, which row-level security confines to the merchant, and all of
one database as of one moment. The folder gets its name only when everything in it is complete and on disk.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from loyalnest.kit.clock import system_clock
from loyalnest.kit.database import OUTAGES, Connection, without_password
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, Unavailable
from loyalnest.kit.export_folder import Export, ExportedTable, TableFile, complete_export, draft_of, write_manifest
from loyalnest.kit.placement import Placement
from loyalnest.kit.roles import request_role, worker_role
from loyalnest.kit.service import Service

_TABLES = """
SELECT c.relname::text AS name,
       (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place)
        FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
        WHERE i.indrelid = c.oid AND i.indisprimary) AS key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'merchant_id')
ORDER BY c.relname
"""


_READABLE_REVISIONS = """
SELECT n.nspname::text AS schema, format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1::text[]) AND c.relname = 'alembic_version'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
"""


async def export_merchant(placement: Placement, services: Iterable[Service], merchant_id: str, folder: Path) -> Export:
    """Write every row of `merchant_id` to the new folder `folder`; a complete export of it there is left as it is.

    Safe to kill: what is not complete has another name, and is begun anew by the next call. Databases without any
    merchant's rows give an export without rows. Raises NotFound if others have rows and `merchant_id` has none,
    Conflict if `folder` holds something else, Unavailable while a database is away.
    """
    done = complete_export(folder, merchant_id)
    if done is not None:
        return done
    by_url: dict[str, list[Service]] = {}
    for service in services:
        if service.migrations:
            by_url.setdefault(placement.database_for(service.name), []).append(service)
    tables: list[ExportedTable] = []
    revisions: dict[str, str] = {}
    others = False
    with draft_of(folder) as draft:
        for url, residents in by_url.items():
            async with _snapshot(url) as connection:
                found: list[ExportedTable] = []
                revisions |= await _revisions(connection, [service.name for service in residents])
                for service in residents:
                    found += await _export_service(connection, service.name, merchant_id, draft)
                if not any(table.rows for table in found):
                    others = others or await _has_rows(connection, found)
                tables += found
        if others and not any(table.rows for table in tables):
            raise NotFound(f"There is nothing of the merchant {merchant_id} here, only of others: check the name.")
        exported_at = system_clock().isoformat()
        write_manifest(draft, merchant_id, exported_at, revisions, tables)
    return Export(folder, exported_at, tables, made=True)


async def _revisions(connection: Connection, schemas: Iterable[str]) -> dict[str, str]:
    """The revision of each schema, as far as this login may see it: the owner may, a service may not."""
    readable = await connection.fetch(_READABLE_REVISIONS, list(schemas))
    return {row["schema"]: await connection.fetchval(f"SELECT version_num FROM {row['name']}") for row in readable}


async def _export_service(connection: Connection, schema: str, merchant_id: str, folder: Path) -> list[ExportedTable]:
    exported = []
    tables = await connection.fetch(_TABLES, schema)
    if tables:
        await _become(connection, request_role(schema), merchant_id)
    for name, key in tables:
        sink = TableFile(folder / f"{schema}.{name}.jsonl")
        try:
            # jsonb has no line breaks and no control characters of its own, so that CSV with these never quotes.
            await connection.copy_from_query(
                f"SELECT to_jsonb(t) FROM {schema}.{name} AS t WHERE t.merchant_id = $1 ORDER BY {key}",
                merchant_id,
                output=sink.write,
                format="csv",
                delimiter="\x02",
                quote="\x01",
                encoding="utf-8",
            )
        finally:
            sink.close()
        exported.append(ExportedTable(sink.path.name, schema, name, sink.rows, sink.bytes, sink.digest))
    return exported


async def _has_rows(connection: Connection, tables: Iterable[ExportedTable]) -> bool:
    """Whether any merchant has rows in one of `tables`."""
    for table in tables:
        await _become(connection, worker_role(table.service), "")
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table.service}.{table.table})"):
            return True
    return False


async def _become(connection: Connection, role: str, merchant_id: str) -> None:
    """Take the rights of `role` until the transaction ends."""
    await connection.execute(
        "SELECT set_config('role', $1, true), set_config('loyalnest.merchant_id', $2, true)", role, merchant_id
    )


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[Connection]:
    """A transaction that sees the database at `url` as of one moment, and changes nothing."""
    server = f"PostgreSQL at {without_password(url)}"
    try:
        connection = await asyncpg.connect(
            url, timeout=10, server_settings={"application_name": "loyalnest export", "timezone": "UTC"}
        )
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        raise InvalidInput(f"{server}: the address is not valid: {error}") from error
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable(f"{server} cannot be reached: {error}") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    except asyncpg.InsufficientPrivilegeError as error:
        raise Forbidden(f"{server}: the login may not read every service: {error}. Use that of owner.") from error
    except OUTAGES as error:
        raise Unavailable(f"{server} went away during the export: {error}") from error
    finally:
        connection.terminate()  # there is nothing to finish
