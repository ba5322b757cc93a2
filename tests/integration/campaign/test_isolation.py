"""Under its request role, a merchant sees and changes no row of another, in any table."""

from contextlib import suppress

import asyncpg
import pytest

from fixtures.privacy import asked
from integration.campaign.support import Campaign, earned, joined, new_rules, plan

TABLES = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'campaign'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version'
    ORDER BY c.relname
"""


@pytest.fixture
async def two(campaign: Campaign) -> Campaign:
    """The service with a row of two merchants in every table."""
    await campaign.add_merchant("brew")
    for merchant_id in ("acme", "brew"):
        await campaign.give(joined(1, merchant_id), earned(100, 1, 1, merchant_id))
        await campaign.give(new_rules(2, merchant_id, factor="2"))
        await campaign.ask(asked("customer_data", 1, merchant_id))
        await campaign.campaigns.create(merchant_id, plan(), "key")
    return campaign


async def tables(campaign: Campaign) -> list[str]:
    return [row["relname"] for row in await campaign.sql(TABLES)]


async def test_a_merchant_sees_its_own_rows_only(two: Campaign) -> None:
    assert len(await tables(two)) == 10
    for table in await tables(two):
        counted = f"SELECT merchant_id, count(*) AS rows FROM campaign.{table} GROUP BY merchant_id"
        everything = {row["merchant_id"]: row["rows"] for row in await two.sql(counted)}
        assert everything.keys() == {"acme", "brew"}, table
        async with two.database.request("acme") as connection:
            seen = await connection.fetch(counted)
        assert {row["merchant_id"]: row["rows"] for row in seen} == {"acme": everything["acme"]}, table
        async with two.database.request("") as connection:
            assert await connection.fetch(counted) == [], table


async def test_a_merchant_changes_its_own_rows_only(two: Campaign) -> None:
    for table in await tables(two):
        content = f"SELECT t::text FROM campaign.{table} t WHERE merchant_id = 'brew' ORDER BY 1"
        before = await two.sql(content)
        for statement in (
            f"UPDATE campaign.{table} SET merchant_id = merchant_id WHERE merchant_id = 'brew'",
            f"DELETE FROM campaign.{table} WHERE merchant_id = 'brew'",
        ):
            with suppress(asyncpg.InsufficientPrivilegeError):  # some tables cannot be changed at all
                async with two.database.request("acme") as connection:
                    assert (await connection.execute(statement)).endswith(" 0"), table
        assert await two.sql(content) == before, table


async def test_one_customer_id_at_two_merchants_is_two_members(two: Campaign) -> None:
    await two.give(earned(400, 2, 1, "acme"))
    assert (await two.tier(1, "acme"), await two.tier(1, "brew")) == ("Gold", "Silver")
    assert (await two.tiers.tier_of("brew", 1)).points == 100
    assert len((await two.tiers.history("brew", 1, 0, ""))[0]) == 2


async def test_one_batch_of_two_merchants(campaign: Campaign) -> None:
    await campaign.add_merchant("brew", ladder={"Cup": 0, "Pot": 50})
    await campaign.give(earned(60, 1, 1, "acme"), earned(60, 1, 1, "brew"))
    assert (await campaign.tier(1, "acme"), await campaign.tier(1, "brew")) == ("Bronze", "Pot")
