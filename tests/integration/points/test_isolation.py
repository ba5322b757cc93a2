"""Under its request role, a merchant sees and changes no row of another, in any table."""

from decimal import Decimal

import asyncpg
import pytest

from fixtures.privacy import asked
from integration.points.support import Points, completed, delivery, refund, segment
from loyalnest.campaign.events import TierChanged
from loyalnest.kit.roles import request_role, worker_role
from loyalnest.points.verification import NightlyVerification

TABLES = """
    SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
           (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = c.oid AND i.indisprimary) AS key_begins
    FROM pg_class c WHERE c.relnamespace = 'points'::regnamespace AND c.relkind IN ('r', 'p')
    ORDER BY c.relname
"""
ALEMBIC = "alembic_version"
"""The revision of the schema: of no merchant, and closed to both roles."""


async def tables(points: Points) -> list[str]:
    return [row["name"] for row in await points.sql(TABLES) if row["name"] != ALEMBIC]


async def fill(points: Points, merchant_id: str) -> None:
    """A row in every table."""
    await points.run_campaign(merchant_id)
    await points.projections.segment_changed([segment("new", merchant_id=merchant_id)])
    order_id = await points.earn(200, merchant_id=merchant_id)
    await points.apply(delivery(merchant_id, refund=refund(order_id=order_id, base="1")))
    await points.redemptions.redeem(merchant_id, 1, "five-off", "key")
    change = TierChanged(customer_id=1, tier="Gold", multiplier=Decimal(2), changed_at=points.clock())
    await points.projections.tier_changed([change.event(merchant_id, "1")])
    await points.referrals.completed([completed(merchant_id=merchant_id)])
    await NightlyVerification(points.database, points.service, points.clock).run()
    await points.ask(asked("customer_data", 1, merchant_id))


async def test_every_table_is_under_forced_row_level_security_and_keyed_by_merchant(points: Points) -> None:
    rows = [row for row in await points.sql(TABLES) if row["name"] != ALEMBIC]
    assert len(rows) >= 12
    assert [row["name"] for row in rows if not row["forced"] or row["key_begins"] != "merchant_id"] == []


async def test_every_unique_index_begins_with_the_merchant(points: Points) -> None:
    rows = await points.sql(
        """
        SELECT i.indexrelid::regclass::text AS name FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'points'::regnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE i.indisunique AND a.attname <> 'merchant_id' AND c.relname <> $1
        """,
        ALEMBIC,
    )
    assert rows == []


async def test_the_roles_are_bound(points: Points) -> None:
    names = [request_role("points"), worker_role("points")]
    rows = await points.sql(
        """
        SELECT rolname FROM pg_roles
        WHERE rolname = ANY($1) AND NOT rolsuper AND NOT rolbypassrls AND NOT rolcanlogin
        """,
        names,
    )
    assert len(rows) == 2
    grants = await points.sql(
        "SELECT has_table_privilege(r, 'points.alembic_version', 'SELECT') AS may FROM unnest($1::text[]) r", names
    )
    assert not any(row["may"] for row in grants)


async def test_a_merchant_sees_its_own_rows_only(points: Points) -> None:
    await points.add_merchant("globex")
    for merchant_id in ("acme", "globex"):
        await fill(points, merchant_id)
    for table in await tables(points):
        counted = f"SELECT merchant_id, count(*) AS rows FROM points.{table} GROUP BY merchant_id"
        everything = {row["merchant_id"]: row["rows"] for row in await points.sql(counted)}
        assert everything.keys() == {"acme", "globex"}, table
        async with points.database.request("acme") as connection:
            seen = await connection.fetch(counted)
        assert {row["merchant_id"]: row["rows"] for row in seen} == {"acme": everything["acme"]}, table
        async with points.database.request("") as connection:
            assert await connection.fetch(counted) == [], table


async def test_a_merchant_changes_its_own_rows_only(points: Points) -> None:
    await points.add_merchant("globex")
    for merchant_id in ("acme", "globex"):
        await fill(points, merchant_id)
    for table in await tables(points):
        content = f"SELECT t::text FROM points.{table} t WHERE merchant_id = 'globex' ORDER BY 1"
        before = await points.sql(content)
        for statement in (
            f"UPDATE points.{table} SET merchant_id = merchant_id WHERE merchant_id = 'globex'",
            f"DELETE FROM points.{table} WHERE merchant_id = 'globex'",
        ):
            try:
                async with points.database.request("acme") as connection:
                    assert (await connection.execute(statement)).endswith(" 0"), table
            except asyncpg.InsufficientPrivilegeError:
                pass  # the ledger's own tables cannot be changed at all
        assert await points.sql(content) == before, table


async def test_a_merchant_writes_no_row_of_another(points: Points) -> None:
    await points.add_merchant("globex")
    for merchant_id in ("acme", "globex"):
        await fill(points, merchant_id)
    for table in await tables(points):
        columns = await points.sql(
            """
            SELECT string_agg(quote_ident(attname), ', ') AS names FROM pg_attribute
            WHERE attrelid = ('points.' || $1)::regclass AND attnum > 1 AND attidentity = '' AND NOT attisdropped
            """,
            table,
        )
        names = columns[0]["names"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with points.database.request("acme") as connection:
                await connection.execute(
                    f"INSERT INTO points.{table} (merchant_id, {names}) SELECT 'globex', {names} FROM points.{table}"
                )


async def test_what_was_posted_cannot_be_changed_or_deleted(points: Points) -> None:
    await points.earn(5)
    for table in ("points_transactions", "ledger_entries", "order_refunds", "redemption_lots"):
        for statement in (f"DELETE FROM points.{table}", f"UPDATE points.{table} SET merchant_id = merchant_id"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with points.database.request("acme") as connection:
                    await connection.execute(statement)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with points.database.worker() as connection:
                    await connection.execute(statement)


async def test_use_cases_of_one_merchant_do_not_see_another(points: Points) -> None:
    await points.add_merchant("globex")
    await fill(points, "globex")
    assert await points.balances("acme") == (0, 0, 0, 0)
    assert await points.service.history("acme", 1, 10, "") == ([], "")
    assert (await points.service.totals("acme")).members == 0
    assert await points.redemptions.list_for("acme", 0, 10, "") == ([], "")
