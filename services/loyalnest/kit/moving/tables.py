"""The services' tables as the catalogue has them, and sessions in which one merchant's rows may be read and changed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from loyalnest.kit.database import OUTAGES, Connection, connecting, without_password
from loyalnest.kit.errors import Conflict, Forbidden, PreconditionFailed, Unavailable

OUTBOX = "outbox"

_TABLES = """
SELECT c.relname::text AS name,
       array_agg(quote_ident(a.attname) ORDER BY a.attnum)::text[] AS columns,
       array_remove(array_agg(CASE WHEN pg_get_serial_sequence(c.oid::regclass::text, a.attname) IS NOT NULL
                                   THEN a.attname::text END), NULL)::text[] AS counted,
       ARRAY(SELECT r.relname::text FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
             WHERE f.contype = 'f' AND f.conrelid = c.oid AND f.confrelid <> c.oid) AS needs,
       c.relrowsecurity AND NOT (u.rolsuper OR u.rolbypassrls)
           AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND u.oid = ANY(p.polroles)) AS hidden
FROM pg_class c JOIN pg_roles u ON u.rolname = current_user
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.oid, c.relname, u.oid, u.rolsuper, u.rolbypassrls
HAVING bool_or(a.attname = 'merchant_id')
ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A service's table with merchants' rows.

    columns: those that can be written, quoted. counted: those that a sequence fills. needs: tables that it refers to.
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    counted: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def full(self) -> str:
        """Its name in SQL."""
        return f"{self.schema}.{self.name}"


async def tables_of(connection: Connection, schema: str) -> list[Table]:
    """The tables of a service, each after those that it refers to; none if the schema is not there.

    Raises PreconditionFailed if row-level security would hide the rows, so that none are taken for all.
    """
    rows = await connection.fetch(_TABLES, schema)
    hidden = [row["name"] for row in rows if row["hidden"]]
    if hidden:
        raise PreconditionFailed(
            f"This login may not see the rows of {schema}.{hidden[0]}: run loyalnest migrate with it before."
        )
    return in_order(
        [Table(schema, row["name"], tuple(row["columns"]), tuple(row["counted"]), tuple(row["needs"])) for row in rows]
    )


def in_order(tables: Sequence[Table]) -> list[Table]:
    """`tables`, each after those of them that it refers to. Raises PreconditionFailed for a circle."""
    left, ordered = list(tables), list[Table]()
    while left:
        waiting = {each.name for each in left}
        free = [each for each in left if not waiting & set(each.needs)]
        if not free:
            raise PreconditionFailed(f"These tables refer to each other in a circle: {', '.join(sorted(waiting))}.")
        ordered += free
        left = [each for each in left if each not in free]
    return ordered


async def confine(connection: Connection, merchant_id: str) -> None:
    """Let the transaction see and change the rows of one merchant, as the owner of the tables may."""
    await connection.execute("SELECT set_config('loyalnest.merchant_id', $1, true)", merchant_id)


async def revision(connection: Connection, schema: str) -> str | None:
    """The revision that a service's schema is at; None if it is not there."""
    if await connection.fetchval("SELECT to_regclass($1)", f"{schema}.alembic_version") is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {schema}.alembic_version")
    return found


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Connection]:
    """A connection of the login that owns the tables, with words for what goes wrong on it."""
    server = f"PostgreSQL at {without_password(url)}"
    with connecting("PostgreSQL", url):
        connection = await asyncpg.connect(
            url, timeout=10, server_settings={"application_name": "loyalnest move", "timezone": "UTC"}
        )
    try:
        yield connection
    except asyncpg.InsufficientPrivilegeError as error:
        raise Forbidden(f"{server}: the login does not own every table: {error}. Use that of owner.") from error
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"{server}: another merchant has what is unique: {error} ({error.detail}).") from error
    except OUTAGES as error:
        raise Unavailable(f"{server} went away: {error}") from error
    finally:
        connection.terminate()  # what is not committed is not wanted
