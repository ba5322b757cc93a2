"""Row-level security: a request sees its merchant's rows only, and no partition is a way around that."""

import asyncpg
import pytest

from fixtures.privacy import asked
from integration.rfm.support import Rig, earned


async def tables(rig: Rig) -> list[str]:
    """The service's tables, without the partitions of any."""
    rows = await rig.fetch(
        """
        SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'rfm' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'alembic_version'
        ORDER BY c.relname
        """
    )
    return [row["relname"] for row in rows]


@pytest.fixture
async def two_merchants(rig: Rig) -> Rig:
    for merchant in ("acme", "brew"):
        await rig.set_schedule(merchant)
        await rig.give([earned(merchant, 1, 7, "10")])
        await rig.ask(asked("customer_data", 7, merchant))
    return rig


async def test_every_table_and_partition_forces_row_level_security(two_merchants: Rig) -> None:
    rows = await two_merchants.fetch(
        """
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS is_forced
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'rfm' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
        """
    )
    assert {row["relname"] for row in rows if not row["is_forced"]} == set()
    assert sum("_segment_" in row["relname"] for row in rows) == 2 + 2 * 4


async def test_a_request_sees_its_own_rows_only(two_merchants: Rig) -> None:
    found = await tables(two_merchants)
    assert len(found) == 9
    for table in found:
        async with two_merchants.database.request("brew") as connection:
            seen = await connection.fetch(f"SELECT DISTINCT merchant_id FROM rfm.{table}")
        assert [row[0] for row in seen] == ["brew"], table
        async with two_merchants.database.request("nobody") as connection:
            assert await connection.fetch(f"SELECT FROM rfm.{table}") == []


async def test_no_role_reads_a_partition_past_its_parent(two_merchants: Rig) -> None:
    partitions = await two_merchants.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind = 'r'"
    )
    assert partitions
    for row in partitions:
        for transaction in (two_merchants.database.request("acme"), two_merchants.database.worker()):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with transaction as connection:
                    await connection.fetch(f"SELECT FROM {row[0]}")


async def test_a_right_on_a_partition_that_was_granted_by_mistake_shows_nothing(two_merchants: Rig) -> None:
    (row,) = await two_merchants.fetch("SELECT DISTINCT tableoid::regclass::text FROM rfm.rfm_segment_deltas")
    await two_merchants.as_owner(f"GRANT SELECT ON {row[0]} TO loyalnest_rfm_request")
    async with two_merchants.database.request("acme") as connection:
        assert await connection.fetch(f"SELECT FROM {row[0]}") == []


async def test_a_request_cannot_write_for_another_merchant(two_merchants: Rig) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with two_merchants.database.request("acme") as connection:
            await connection.execute(
                """
                INSERT INTO rfm.rfm_segment_counts (merchant_id, counted_on, segment, customers, revenue)
                VALUES ('brew', current_date, 'new', 1, 1)
                """
            )


async def test_only_the_worker_makes_partitions(two_merchants: Rig) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with two_merchants.database.request("acme") as connection:
            await connection.execute("SELECT rfm.make_partitions(current_date, 1)")
