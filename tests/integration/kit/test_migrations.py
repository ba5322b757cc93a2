"""Migrations: run again, run at once, run into an error; and what the helpers leave in the catalogue."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from integration.kit.support import COUNTERS, counters_service, no_parts, write_migrations
from loyalnest.kit.database import with_parameters
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement
from loyalnest.kit.service import Service

SECOND = """
from loyalnest.kit.migrations import protect, run

revision = "0002"
down_revision = "0001"


def upgrade():
    run(
        "CREATE TABLE {schema}.notes (merchant_id text, note text DEFAULT '::', at time DEFAULT '12:30:00', "
        "PRIMARY KEY (merchant_id, note))",
        "INSERT INTO {schema}.notes (merchant_id) SELECT 'acme'::text WHERE '50%' LIKE '50%'",
    )
    protect("{schema}", "notes", rights="SELECT, INSERT")
"""

BROKEN = """
from loyalnest.kit.migrations import run

revision = "0003"
down_revision = "0002"


def upgrade():
    run("CREATE TABLE {schema}.half (merchant_id text PRIMARY KEY)", "SELECT 1 / 0")
"""


def service_of(folder: Path, *sources: str, schema: str = "counters") -> Service:
    """A service with one revision file per source. Each call's package has a name of its own, as versions of one."""
    files = {f"{number:04}_step.py": source.format(schema=schema) for number, source in enumerate(sources, 1)}
    package = write_migrations(folder, f"m{uuid.uuid4().hex}", files)
    return Service(name=schema, summary="", build=no_parts, migrations=package)


async def run(url: str, *services: Service) -> dict[str, str]:
    return await migrate(Placement(database_url=url), services)


async def query(url: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


async def tables(url: str, schema: str = "counters") -> set[str]:
    rows = await query(url, "SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    return {row["tablename"] for row in rows}


async def test_migrating_again_changes_nothing(database_url: str, tmp_path: Path) -> None:
    service = service_of(tmp_path, COUNTERS, SECOND)
    assert await run(database_url, service) == {"counters": "0002"}
    await query(database_url, "INSERT INTO counters.notes VALUES ('zenith', 'kept')")
    with capture_logs() as logs:
        assert await run(database_url, service) == {"counters": "0002"}
    assert logs == []
    rows = await query(database_url, "SELECT merchant_id, note, at::text FROM counters.notes ORDER BY 1")
    assert [tuple(row) for row in rows] == [("acme", "::", "12:30:00"), ("zenith", "kept", "12:30:00")]


async def test_a_newer_version_continues_where_the_older_was(database_url: str, tmp_path: Path) -> None:
    assert await run(database_url, service_of(tmp_path, COUNTERS)) == {"counters": "0001"}
    with capture_logs() as logs:
        assert await run(database_url, service_of(tmp_path, COUNTERS, SECOND)) == {"counters": "0002"}
    assert [(entry["event"], entry["file"]) for entry in logs] == [("migrate", "0002_step.py")]
    assert await tables(database_url) == {"alembic_version", "counters", "inbox", "outbox", "notes"}


async def test_two_at_once_on_one_database(database_url: str, tmp_path: Path) -> None:
    first, second = service_of(tmp_path, COUNTERS, SECOND), service_of(tmp_path, COUNTERS, SECOND)
    other = counters_service(tmp_path, "others")
    found = await asyncio.gather(
        run(database_url, first, other), run(database_url, other, second), run(database_url, first)
    )
    assert found[0] == found[1] == {"counters": "0002", "others": "0001"}
    assert len(await query(database_url, "SELECT * FROM counters.notes")) == 1


async def test_databases_of_one_server_at_once(postgres_server: EmbeddedPostgres, tmp_path: Path) -> None:
    schema = f"s{uuid.uuid4().hex[:12]}"  # roles belong to the server, so these are new to it
    service = counters_service(tmp_path, schema)
    names = [f"test_{uuid.uuid4().hex}" for _ in range(4)]
    for name in names:
        postgres_server.create_database_if_missing(name)
    try:
        found = await asyncio.gather(*(run(postgres_server.url(name), service) for name in names))
    finally:
        for name in names:
            postgres_server.drop_database(name)
    assert found == [{schema: "0001"}] * 4


async def test_a_failed_migration_is_rolled_back_and_named(database_url: str, tmp_path: Path) -> None:
    with capture_logs() as logs, pytest.raises(Exception, match="division by zero"):
        await run(database_url, service_of(tmp_path, COUNTERS, SECOND, BROKEN))
    assert logs[-1]["file"] == "0003_step.py"
    assert "half" not in await tables(database_url)
    (row,) = await query(database_url, "SELECT version_num FROM counters.alembic_version")
    assert row[0] == "0002"  # the steps before it stay
    repaired = BROKEN.replace("1 / 0", "1 / 1")
    assert await run(database_url, service_of(tmp_path, COUNTERS, SECOND, repaired)) == {"counters": "0003"}
    locks = await query(
        database_url,
        "SELECT FROM pg_locks JOIN pg_database ON oid = database "
        "WHERE locktype = 'advisory' AND datname = current_database()",
    )
    assert locks == []


async def test_a_table_in_use_does_not_hold_a_migration_up_for_ever(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.kit.migrations.LOCK_TIMEOUT_SECONDS", 0.2)
    await run(database_url, service_of(tmp_path, COUNTERS))
    altering = SECOND.replace('"CREATE', '"ALTER TABLE {schema}.counters ADD COLUMN more int", "CREATE')
    busy = await asyncpg.connect(database_url)
    try:
        async with busy.transaction():
            await busy.execute("SELECT * FROM counters.counters")
            with pytest.raises(Exception, match="lock timeout"):
                await asyncio.wait_for(run(database_url, service_of(tmp_path, COUNTERS, altering)), 5)
    finally:
        await busy.close()
    assert await run(database_url, service_of(tmp_path, COUNTERS, altering)) == {"counters": "0002"}


async def test_services_without_tables_are_passed_over(database_url: str) -> None:
    assert await run(database_url, Service(name="plain", summary="", build=no_parts)) == {}


async def test_a_service_may_have_a_database_of_its_own(
    postgres_server: EmbeddedPostgres, database_url: str, tmp_path: Path
) -> None:
    own = f"test_{uuid.uuid4().hex}"
    postgres_server.create_database_if_missing(own)
    try:
        placement = Placement(database_url=database_url, database_urls={"others": postgres_server.url(own)})
        await migrate(placement, [counters_service(tmp_path), counters_service(tmp_path, "others")])
        assert await tables(database_url) and not await tables(database_url, "others")
        assert await tables(postgres_server.url(own), "others") and not await tables(postgres_server.url(own))
    finally:
        postgres_server.drop_database(own)


async def test_an_address_may_say_whatever_postgresql_understands(database_url: str, tmp_path: Path) -> None:
    url = with_parameters(database_url, {"sslmode": "disable", "application_name": "migration"})
    assert await run(url, counters_service(tmp_path)) == {"counters": "0001"}


async def test_roles_and_grants(database_url: str, tmp_path: Path) -> None:
    await run(database_url, service_of(tmp_path, COUNTERS, SECOND))
    roles = await query(
        database_url,
        "SELECT rolname, rolcanlogin OR rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole AS powers "
        "FROM pg_roles WHERE rolname LIKE 'loyalnest\\_counters\\_%' ORDER BY 1",
    )
    request, worker = "loyalnest_counters_request", "loyalnest_counters_worker"
    assert [tuple(row) for row in roles] == [(request, False), (worker, False)]
    granted = await query(
        database_url,
        """
        SELECT table_name, grantee, string_agg(privilege_type, ' ' ORDER BY privilege_type) AS rights
        FROM information_schema.role_table_grants
        WHERE table_schema = 'counters' AND grantee <> 'postgres' GROUP BY 1, 2
        """,
    )
    expected = {
        "counters": "DELETE INSERT SELECT UPDATE",
        "inbox": "DELETE INSERT SELECT",
        "outbox": "DELETE INSERT SELECT",
        "notes": "INSERT SELECT",
    }
    assert {(row["table_name"], row["grantee"]): row["rights"] for row in granted} == {
        (table, role): rights for table, rights in expected.items() for role in (request, worker)
    }
    secured = await query(
        database_url,
        "SELECT relname, relrowsecurity AND relforcerowsecurity AS forced FROM pg_class "
        "WHERE relnamespace = 'counters'::regnamespace AND relkind = 'r'",
    )
    assert {row["relname"]: row["forced"] for row in secured} == dict.fromkeys(expected, True) | {
        "alembic_version": False
    }
