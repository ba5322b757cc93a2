"""Transactions of a service: who sees which rows, what runs after a commit, and what counts as an outage."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from integration.kit.support import Counters, counters, counters_service, migrated, terminate
from loyalnest.kit.database import OUTAGES, Connection, Pools, after_commit
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.errors import InvalidInput, Unavailable

INSERT = "INSERT INTO counters.counters (merchant_id, key, value) VALUES ($1, $2, $3)"
DENIED = (asyncpg.InsufficientPrivilegeError,)


@pytest.fixture
async def service(database_url: str, tmp_path: Path) -> AsyncIterator[Counters]:
    await migrated(database_url, counters_service(tmp_path), counters_service(tmp_path, "others"))
    async with counters(database_url, connections=4) as opened:
        async with opened.database.worker() as connection:
            await connection.executemany(INSERT, [("acme", "k", 1), ("acme", "l", 2), ("zenith", "k", 3)])
        yield opened


async def test_a_request_sees_and_changes_its_own_merchants_rows_only(service: Counters) -> None:
    async with service.database.request("acme") as connection:
        rows = await connection.fetch("SELECT merchant_id FROM counters.counters")
        assert [row["merchant_id"] for row in rows] == ["acme", "acme"]
        assert await connection.execute("UPDATE counters.counters SET value = value + 10") == "UPDATE 2"
        assert (
            await connection.execute("UPDATE counters.counters SET value = 0 WHERE merchant_id = 'zenith'")
            == "UPDATE 0"
        )
        assert await connection.execute("DELETE FROM counters.counters WHERE merchant_id = 'zenith'") == "DELETE 0"
        assert await connection.execute("DELETE FROM counters.counters WHERE key = 'l'") == "DELETE 1"
    assert await service.values() == {("acme", "k"): 11, ("zenith", "k"): 3}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO counters.counters (merchant_id, key, value) VALUES ('zenith', 'mine', 1)",
        "UPDATE counters.counters SET merchant_id = 'zenith' WHERE key = 'l'",
        "INSERT INTO counters.counters (merchant_id, key, value) VALUES ('zenith', 'k', 9) "
        "ON CONFLICT (merchant_id, key) DO UPDATE SET value = 9",
        "INSERT INTO counters.inbox (merchant_id, event_id) VALUES ('zenith', gen_random_uuid())",
        "TRUNCATE counters.counters",
        "SELECT * FROM others.counters",
        "SELECT * FROM counters.alembic_version",
        "UPDATE counters.inbox SET received_at = now()",
        "ALTER TABLE counters.counters DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE counters.more (id int)",
    ],
)
async def test_a_request_is_refused_what_is_not_its_own(service: Counters, statement: str) -> None:
    with pytest.raises(DENIED):
        async with service.database.request("acme") as connection:
            await connection.execute(statement)
    assert await service.values() == {("acme", "k"): 1, ("acme", "l"): 2, ("zenith", "k"): 3}


async def test_without_a_merchant_nothing_is_seen(service: Counters) -> None:
    async with service.database.request("") as connection:
        assert await connection.fetchval("SELECT count(*) FROM counters.counters") == 0
    fresh = await asyncpg.connect(service.url)  # where the setting was never made, it is null
    try:
        async with fresh.transaction():
            await fresh.execute("SET LOCAL ROLE loyalnest_counters_request")
            assert await fresh.fetchval("SELECT count(*) FROM counters.counters") == 0
            with pytest.raises(DENIED):
                await fresh.execute(INSERT, "acme", "new", 1)
    finally:
        await fresh.close()


async def test_the_merchant_and_the_role_end_with_the_transaction(service: Counters) -> None:
    pools = Pools(2)
    try:
        database = type(service.database)(await pools.open(service.url), "counters")
        for merchant, seen in (("acme", 2), ("zenith", 1), ("nobody", 0)) * 3:
            async with database.request(merchant) as connection:
                assert await connection.fetchval("SELECT count(*) FROM counters.counters") == seen
            async with database.session() as session:
                assert await session.fetchval("SELECT current_user") == "postgres"
                assert not await session.fetchval("SELECT current_setting('loyalnest.merchant_id', true)")
    finally:
        await pools.close()


async def test_a_worker_sees_every_merchant_and_its_own_schema_only(service: Counters) -> None:
    async with service.database.worker() as connection:
        assert await connection.execute("UPDATE counters.counters SET value = 7") == "UPDATE 3"
        await connection.execute(INSERT, "new", "k", 1)
    for statement in ("SELECT * FROM others.counters", "SELECT * FROM counters.alembic_version"):
        with pytest.raises(DENIED):
            async with service.database.worker() as connection:
                await connection.execute(statement)


async def test_a_snapshot_sees_one_moment(service: Counters) -> None:
    async with service.database.request("acme", snapshot=True) as connection:
        before = await connection.fetchval("SELECT sum(value) FROM counters.counters")
        async with service.database.request("acme") as other:
            await other.execute("UPDATE counters.counters SET value = value + 100")
        assert await connection.fetchval("SELECT sum(value) FROM counters.counters") == before
    async with service.database.request("acme") as connection:
        assert await connection.fetchval("SELECT sum(value) FROM counters.counters") == before + 200


async def test_after_commit_runs_once_it_is_committed_and_not_before(service: Counters) -> None:
    seen: list[str] = []
    async with service.database.worker() as connection:
        after_commit(lambda: seen.append("outer"))
        async with service.database.request("acme"):  # a transaction of its own inside the block
            after_commit(lambda: seen.append("inner"))
        assert seen == ["inner"]
        await connection.execute("SELECT 1")
    assert seen == ["inner", "outer"]
    with pytest.raises(RuntimeError):
        after_commit(lambda: None)


async def test_after_commit_never_runs_for_what_was_rolled_back(service: Counters) -> None:
    seen: list[str] = []

    async def fail(connection: Connection) -> None:
        after_commit(lambda: seen.append("never"))
        await connection.execute(INSERT, "acme", "k", 1)

    with pytest.raises(asyncpg.UniqueViolationError):
        async with service.database.worker() as connection:
            await fail(connection)

    async def lose_the_connection() -> None:
        async with service.database.worker() as connection:
            after_commit(lambda: seen.append("never"))
            await terminate(service.url, f"pid = {connection.get_server_pid()}")

    with pytest.raises(OUTAGES):  # from the commit itself
        await lose_the_connection()
    assert seen == []


async def test_tasks_of_a_transaction_share_it_and_tasks_beside_it_do_not(service: Counters) -> None:
    seen: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()

    async def beside() -> None:
        async with service.database.request("zenith"):
            after_commit(lambda: seen.append("beside"))
            entered.set()
            await leave.wait()

    task = asyncio.create_task(beside())
    await entered.wait()
    async with service.database.request("acme"):

        async def part() -> None:
            after_commit(lambda: seen.append("part"))

        await asyncio.gather(part(), part())
        leave.set()
        await task
        assert seen == ["beside"]
    assert seen == ["beside", "part", "part"]


@pytest.mark.parametrize(
    ("statements", "outage"),
    [
        (["SET LOCAL statement_timeout = 20", "SELECT pg_sleep(5)"], True),
        (["SET LOCAL lock_timeout = 20", "LOCK TABLE counters.inbox"], True),
        (["SELECT pg_terminate_backend(pg_backend_pid())"], True),
        (["DO $$ BEGIN RAISE deadlock_detected; END $$"], True),
        (["DO $$ BEGIN RAISE serialization_failure; END $$"], True),
        (["DO $$ BEGIN RAISE disk_full; END $$"], True),
        (["INSERT INTO counters.counters VALUES ('acme', 'k', 1)"], False),
        (["INSERT INTO counters.counters VALUES ('acme', 'new', -1)"], False),
        (["INSERT INTO counters.counters VALUES ('acme', null, 1)"], False),
        (["SELECT 1 / 0"], False),
        (["SELECT 'x'::int"], False),
        (["SELECT * FROM counters.nothing"], False),
        (["nonsense"], False),
    ],
)
async def test_which_failures_are_outages(service: Counters, statements: list[str], outage: bool) -> None:
    blocker = await asyncpg.connect(service.url)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE counters.inbox")
            with pytest.raises(Exception) as raised:  # noqa: PT011 - which class it is, is the question
                await in_one_transaction(service, statements)
    finally:
        await blocker.close()
    assert isinstance(raised.value, OUTAGES) is outage, repr(raised.value)


async def in_one_transaction(service: Counters, statements: list[str]) -> None:
    async with service.database.session() as connection, connection.transaction():
        for statement in statements:
            await connection.execute(statement)


async def test_arguments_that_do_not_fit_are_no_outage(service: Counters) -> None:
    for wrong in ("not a number", 2**70, "\ud800"):
        with pytest.raises(asyncpg.DataError) as raised:
            async with service.database.worker() as connection:
                await connection.execute(INSERT, "acme", "big", wrong)
        assert not isinstance(raised.value, OUTAGES)


async def test_no_connection_left_at_the_server_is_an_outage(
    postgres_server: EmbeddedPostgres, service: Counters
) -> None:
    name = service.url.rpartition("/")[2].partition("?")[0]
    async with service.database.session() as session:
        await session.execute("DROP ROLE IF EXISTS loyalnest_few")
        await session.execute("CREATE ROLE loyalnest_few LOGIN CONNECTION LIMIT 1")
    address = postgres_server.url(name).replace("postgres@", "loyalnest_few@")
    only = await asyncpg.connect(address)
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError) as raised:
            await asyncpg.connect(address)
        assert isinstance(raised.value, OUTAGES)
        with pytest.raises(Unavailable):
            await Pools(2).open(address)
    finally:
        await only.close()


async def test_addresses_that_lead_nowhere_are_named_without_their_password() -> None:
    for url, error in (
        ("postgresql://me:sesame@127.0.0.1:1/db", Unavailable),
        ("mysql://me:sesame@127.0.0.1/db", InvalidInput),
        ("postgresql://me:sesame@127.0.0.1:port/db", InvalidInput),
    ):
        with pytest.raises(error) as raised:
            await Pools(2).open(url)
        assert "127.0.0.1" in str(raised.value)
        assert "sesame" not in str(raised.value)


async def test_closing_the_pools_does_not_wait_for_ever(service: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.kit.database.CLOSE_SECONDS", 0.2)
    pools = Pools(2)
    database = type(service.database)(await pools.open(service.url), "counters")

    async def be_under_way() -> None:
        async with database.worker() as connection:
            await pools.close()
            await connection.execute("SELECT 1")

    with pytest.raises(OUTAGES):
        await asyncio.wait_for(be_under_way(), 5)
