"""Schema migrations: Alembic per service, each with its own schema, roles and version table.

A migration file calls the helpers below, so that every table gets row-level security and the grants of the service's
two roles in one line. Migrations must be safe while the previous version of the code still runs: lock and
statement timeouts are set, and one advisory lock keeps two migrations of one database from racing.
"""

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from loyalnest.kit.database import connecting
from loyalnest.kit.errors import LoyalNestError
from loyalnest.kit.placement import Placement
from loyalnest.kit.roles import request_role, worker_role
from loyalnest.kit.service import Service

log = structlog.get_logger(__name__)

LOCK_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 300

OWN_ROWS = "merchant_id = current_setting('loyalnest.merchant_id', true)"
"""The condition of row-level security: the rows of the merchant that the transaction is for."""

_migrated: ContextVar[Connection] = ContextVar("loyalnest_migrated")
"""The connection of the migration that this task runs."""


class MigrationFailed(LoyalNestError):
    """PostgreSQL refused a step. `detail` names the service and says why."""


async def migrate(placement: Placement, services: Iterable[Service]) -> dict[str, str]:
    """Bring every service's schema to its newest revision. Returns the revision per service.

    Raises as `connecting`, and MigrationFailed with what the database said of a migration, which is rolled back then;
    the log names its file.
    """
    revisions: dict[str, str] = {}
    for service in services:
        if service.migrations:
            revisions[service.name] = await _migrate_service(placement.database_for(service.name), service)
    return revisions


async def _migrate_service(url: str, service: Service) -> str:
    assert service.migrations
    folder = await asyncio.to_thread(_folder_of, service.migrations)
    # SQLAlchemy would read only part of what asyncpg understands in an address: sslmode, several hosts.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connect(url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(hashtextextended('loyalnest.migrate', 0))"))
            await connection.commit()
            return await connection.run_sync(_upgrade, service.name, folder)
    except DBAPIError as error:
        raise MigrationFailed(f"A migration of {service.name} failed and was rolled back: {_words(error)}") from error
    finally:
        await engine.dispose()


async def _connect(url: str) -> Any:
    with connecting("PostgreSQL", url):
        return await asyncpg.connect(url)


def _words(error: DBAPIError) -> str:
    """What PostgreSQL said, in one line, without SQLAlchemy's name of the exception's class."""
    said = error.orig.__cause__ if error.orig is not None else None
    return " ".join(str(said or error.orig or error).split())


def _folder_of(package: str) -> Path:
    module_file = import_module(package).__file__
    assert module_file
    return Path(module_file).parent


def _upgrade(connection: Connection, schema: str, folder: Path) -> str:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    assert head, f"no migrations in {folder}"

    def steps(revision: Any, _context: Any) -> Any:
        for step in script._upgrade_revs(head, revision):  # noqa: SLF001 - what alembic.command.upgrade itself calls
            log.info("migrate", service=schema, file=Path(step.revision.path).name)
            yield step

    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'"))
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    connection.commit()
    _make_roles(connection, schema)
    options = {"fn": steps, "script": script, "version_table_schema": schema, "transaction_per_migration": True}
    token = _migrated.set(connection)
    try:
        context = MigrationContext.configure(connection, opts=options)
        context.run_migrations()
    finally:
        _migrated.reset(token)
    connection.commit()
    _let_owner_in(connection, schema)
    return head


_SHUT_TO_OWNER = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relrowsecurity
  AND pg_get_userbyid(c.relowner) = current_user
  AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND c.relowner = ANY(p.polroles))
ORDER BY c.relname
"""


def _let_owner_in(connection: Connection, schema: str) -> None:
    """Let the owner of the tables at one merchant's rows, for who moves or erases them (`loyalnest.kit.moving`).

    A policy locks its table against everybody for a moment, so each is a transaction of its own, and made once.
    """
    for table in connection.execute(text(_SHUT_TO_OWNER), {"schema": schema}).scalars().all():
        policy = f"CREATE POLICY owner_of_one_merchant ON {schema}.{table} TO CURRENT_USER"
        connection.execute(text(f"{policy} USING ({OWN_ROWS}) WITH CHECK ({OWN_ROWS})"))
        connection.commit()


def _make_roles(connection: Connection, schema: str) -> None:
    """Make the service's two roles where they are missing, and let us become them where we may not.

    A login without the right to make roles can migrate where it was given both before, as the operator does.
    Roles belong to the whole server. Inside a migration's transaction they would hold up the migrations of every
    other database on it, so each step here is a short transaction of its own.
    """
    for role in (request_role(schema), worker_role(schema)):
        make = f"""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE {role} NOLOGIN;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$
            """
        become = f"""
            DO $$ BEGIN
                IF NOT pg_has_role('{role}', 'SET') THEN
                    GRANT {role} TO CURRENT_USER;
                END IF;
            END $$
            """
        for statement in (make, become):
            connection.execute(text(statement))
            connection.commit()


def run(*statements: str) -> None:
    """Execute SQL statements, one by one, in the transaction of the migration file that calls this."""
    for statement in statements:
        # SQLAlchemy would read ':name' as a bind parameter; migrations have none.
        _migrated.get().execute(text(statement.replace(":", "\\:")))


def ask(question: str) -> Any:
    """The value that a query returns, for a migration that depends on what there is."""
    return _migrated.get().scalar(text(question.replace(":", "\\:")))


def create_roles(schema: str) -> None:
    """Let the service's two roles, which `migrate` has made, see its schema."""
    run(f"GRANT USAGE ON SCHEMA {schema} TO {request_role(schema)}, {worker_role(schema)}")


def protect(schema: str, table: str, *, rights: str = "SELECT, INSERT, UPDATE, DELETE") -> None:
    """Put a table under forced row-level security by `merchant_id`, and grant the two roles `rights` on it."""
    name = f"{schema}.{table}"
    request, worker = request_role(schema), worker_role(schema)
    run(
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY own_merchant ON {name} TO {request} USING ({OWN_ROWS}) WITH CHECK ({OWN_ROWS})",
        f"CREATE POLICY every_merchant ON {name} TO {worker} USING (true) WITH CHECK (true)",
        f"GRANT {rights} ON {name} TO {request}, {worker}",
    )


def create_inbox(schema: str) -> None:
    """The table of applied events (see `loyalnest.kit.inbox`)."""
    run(
        f"""
        CREATE TABLE {schema}.inbox (
            merchant_id text NOT NULL,
            event_id uuid NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (merchant_id, event_id)
        )
        """,
        f"CREATE INDEX inbox_received ON {schema}.inbox USING brin (received_at)",
    )
    protect(schema, "inbox", rights="SELECT, INSERT, DELETE")


def create_outbox(schema: str) -> None:
    """The table of events that wait for the relay (see `loyalnest.kit.outbox`)."""
    run(
        f"""
        CREATE TABLE {schema}.outbox (
            merchant_id text NOT NULL,
            id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
            event_id uuid NOT NULL,
            topic text NOT NULL,
            key text NOT NULL,
            payload bytea NOT NULL,
            occurred_at timestamptz NOT NULL,
            traceparent text NOT NULL,
            PRIMARY KEY (merchant_id, id)
        )
        """,
        f"CREATE INDEX outbox_order ON {schema}.outbox (id)",
    )
    protect(schema, "outbox", rights="SELECT, INSERT, DELETE")


def create_program_rules(schema: str) -> None:
    """The table of the merchants' rules as the service knows them (see `loyalnest.kit.rules_projection`)."""
    run(
        f"""
        CREATE TABLE {schema}.program_rules (
            merchant_id text NOT NULL,
            version int NOT NULL,
            rules jsonb NOT NULL,
            PRIMARY KEY (merchant_id)
        )
        """
    )
    protect(schema, "program_rules")


def create_privacy_requests(schema: str) -> None:
    """The table of how far privacy requests are (see `loyalnest.kit.privacy`). It names no customer."""
    run(
        f"""
        CREATE TABLE {schema}.privacy_requests (
            merchant_id text NOT NULL,
            request_id uuid NOT NULL,
            counts jsonb NOT NULL DEFAULT '{{}}',
            finished_at timestamptz,
            PRIMARY KEY (merchant_id, request_id)
        )
        """
    )
    protect(schema, "privacy_requests", rights="SELECT, INSERT, UPDATE")


def create_import_logs(schema: str, table: str, *, rights: str = "SELECT, INSERT, UPDATE") -> None:
    """The table of what was imported from files (see `loyalnest.kit.import_repository`)."""
    run(
        # `as_of` is when that very content was first imported, which is the time of what it says. `problems` hold no
        # cell's content, and `file_hash` is keyed where what a file holds must not be guessed from it.
        f"""
        CREATE TABLE {schema}.{table} (
            merchant_id text NOT NULL,
            import_id uuid NOT NULL,
            file_hash bytea NOT NULL,
            as_of timestamptz NOT NULL,
            status text NOT NULL CHECK (status IN ('running', 'completed', 'failed')),
            rows int NOT NULL DEFAULT 0,
            created int NOT NULL DEFAULT 0,
            updated int NOT NULL DEFAULT 0,
            unchanged int NOT NULL DEFAULT 0,
            rejected int NOT NULL DEFAULT 0,
            problems jsonb NOT NULL DEFAULT '[]',
            actor text NOT NULL,
            started_at timestamptz NOT NULL,
            seen_at timestamptz NOT NULL,
            finished_at timestamptz,
            PRIMARY KEY (merchant_id, import_id)
        )
        """,
        f"CREATE INDEX {table}_file ON {schema}.{table} (merchant_id, file_hash, as_of)",
    )
    protect(schema, table, rights=rights)
