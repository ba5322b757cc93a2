"""Under its request role, a merchant sees and changes no row of another, in any table."""

import asyncpg

from fixtures.privacy import asked
from integration.referrals.support import Rig, person, refund

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'referrals' AND tablename <> 'alembic_version' ORDER BY 1"


async def fill(rig: Rig, merchant_id: str) -> None:
    """A row in every table."""
    code = await rig.code(merchant_id=merchant_id)
    await rig.links.click(merchant_id, code, "")
    await rig.sharing.share(merchant_id, 1, "email", "bob@example.com")
    number = await rig.buy(code, merchant_id=merchant_id, person=person("eve@example.com"))
    await rig.apply(await rig.delivery(merchant_id, refund=refund(number, "1")))
    await rig.ask(asked("customer_data", 1, merchant_id))


async def test_a_merchant_sees_and_changes_its_own_rows_only(rig: Rig) -> None:
    await rig.add_merchant("globex")
    for merchant_id in ("acme", "globex"):
        await fill(rig, merchant_id)
    tables = [row["tablename"] for row in await rig.sql(TABLES)]
    assert len(tables) >= 11
    for table in tables:
        counted = f"SELECT merchant_id, count(*) AS rows FROM referrals.{table} GROUP BY merchant_id"
        everything = {row["merchant_id"]: row["rows"] for row in await rig.sql(counted)}
        assert everything.keys() == {"acme", "globex"}, table
        async with rig.database.request("acme") as connection:
            seen = await connection.fetch(counted)
        assert {row["merchant_id"]: row["rows"] for row in seen} == {"acme": everything["acme"]}, table
        async with rig.database.request("") as connection:
            assert await connection.fetch(counted) == [], table
        for statement in (
            f"UPDATE referrals.{table} SET merchant_id = merchant_id WHERE merchant_id = 'globex'",
            f"DELETE FROM referrals.{table} WHERE merchant_id = 'globex'",
        ):
            try:
                async with rig.database.request("acme") as connection:
                    assert (await connection.execute(statement)).endswith(" 0"), table
            except asyncpg.InsufficientPrivilegeError:
                continue  # what is only ever added to cannot be changed at all
        assert {row["merchant_id"]: row["rows"] for row in await rig.sql(counted)} == everything


async def test_use_cases_of_one_merchant_do_not_see_another(rig: Rig) -> None:
    await rig.add_merchant("globex")
    await fill(rig, "globex")
    assert await rig.of_friend() is None
    assert await rig.service.listed("acme", "", 0, 10, "") == ([], "")
    assert (await rig.service.stats("acme", 0)).channels == []
    assert await rig.sharing.listed("acme", 1, 10, "") == ([], "")
