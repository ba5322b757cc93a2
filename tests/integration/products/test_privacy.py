"""A redacted shop leaves nothing; nothing is kept about customers; no merchant sees another's rows."""

import asyncpg
import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked
from integration.products.support import Products, facts
from loyalnest.kit.events import new_id
from loyalnest.kit.roles import request_role
from loyalnest.products import privacy_repository
from loyalnest.products import products_pb2 as pb

TABLES = ("search", "products", "terms", "spellings", "product_import_logs", "catalogues")
LINE = b'{"id": 9, "title": "Imported", "variants": []}'


async def rows(products: Products, merchant: str) -> dict[str, int]:
    found = {}
    for table in TABLES:
        (row,) = await products.sql(f"SELECT count(*) FROM products.{table} t WHERE t.merchant_id = $1", merchant)
        found[table] = row["count"]
    return found


async def fill(products: Products, merchant: str) -> None:
    """A row in every table."""
    await products.tell(*(facts(n, f"Planted hat {n}", tags=[f"t{n}"]) for n in range(1, 9)), merchant=merchant)
    await products.call("ImportProducts", pb.ImportProductsRequest(json_lines=LINE), merchant)


async def test_a_redacted_shop_leaves_nothing_and_others_are_untouched(
    products: Products, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy_repository, "CHUNK", 5)
    for merchant in ("a", "b"):
        await fill(products, merchant)
    before = await rows(products, "b")
    assert all(before.values())
    await products.privacy.handle([asked("shop_redact", None, "a")])
    assert not any((await rows(products, "a")).values())
    assert await rows(products, "b") == before
    (confirmation,) = await products.confirmed()
    assert confirmation.counts["products"] == 9
    await products.tell(facts(1, "Back again"))
    assert await products.ids("back") == [1]


async def test_customers_are_confirmed_at_once(products: Products) -> None:
    await fill(products, "a")
    before = await products.state()
    await products.privacy.handle([asked("customer_redact", 1, "a"), asked("customer_data", 1, "a")])
    assert [(each.kind, dict(each.counts), each.sealed) for each in await products.confirmed()] == [
        ("customer_redact", {}, b""),
        ("customer_data", {}, b""),
    ]
    assert await products.state() == before


async def test_a_redaction_that_is_killed_goes_on(products: Products, products_url: str) -> None:
    deaths = 0
    async for database in killed_before_each_statement(products.database, products_url):
        await fill(products, "a")
        request = asked("shop_redact", None, "a", new_id())
        deaths += await until_death(lambda: products.privacy_on(database).handle([request]))  # noqa: B023
        await products.privacy.handle([request])
        assert not any((await rows(products, "a")).values())
        await products.sql("DELETE FROM products.inbox")
    assert deaths > 8
    assert len(await products.confirmed()) == deaths + 1


async def test_a_request_sees_the_merchants_own_rows_in_every_table_and_in_the_view(products: Products) -> None:
    for merchant in ("a", "b"):
        await fill(products, merchant)
    for table in (*TABLES, "searchable"):
        async with products.database.request("a") as connection:
            seen = await connection.fetch(f"SELECT DISTINCT t.merchant_id FROM products.{table} t")
        assert [row["merchant_id"] for row in seen] == ["a"], table
    for nobody in ("", "c"):
        async with products.database.request(nobody) as connection:
            assert await connection.fetchval("SELECT count(*) FROM products.searchable") == 0
    async with products.database.session() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {request_role('products')}")
        assert await connection.fetchval("SELECT count(*) FROM products.searchable") == 0, "no merchant was set"


async def test_nothing_is_written_through_the_view(products: Products) -> None:
    await fill(products, "b")
    for statement in ("DELETE FROM products.searchable", "UPDATE products.searchable SET title = 'x'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with products.database.request("a") as connection:
                await connection.execute(statement)
