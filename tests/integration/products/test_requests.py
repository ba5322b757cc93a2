"""What admins ask for and change: one product, all of them, hiding, imports."""

import json
from typing import Any

import pytest

from integration.products.support import Products, at, deleted, facts, told
from loyalnest.admin_core.events import AuditLog
from loyalnest.kit import imports
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, TooLarge
from loyalnest.products import products_pb2 as pb
from loyalnest.products import repository


def line(product_id: int, title: str, minutes: float = 0, **changes: Any) -> str:
    body = {
        "id": product_id,
        "title": title,
        "status": "active",
        "published_at": at(0).isoformat(),
        "updated_at": at(minutes).isoformat(),
        "variants": [{"price": "5.00"}],
    }
    return json.dumps(body | changes)


async def run(products: Products, *lines: str, merchant: str = "a", role: str = "owner") -> pb.Import:
    request = pb.ImportProductsRequest(json_lines="\n".join(lines).encode())
    done: pb.Import = await products.call("ImportProducts", request, merchant, role)
    return done


def counted(done: pb.Import) -> tuple[int, int, int, int, int]:
    return done.rows, done.created, done.updated, done.unchanged, done.rejected


async def exclude(products: Products, product_id: int, excluded: bool, role: str = "staff") -> pb.Product:
    request = pb.UpdateProductRequest(product_id=product_id, excluded=excluded)
    found: pb.Product = await products.call("UpdateProduct", request, role=role)
    return found


async def test_a_hidden_product_is_found_by_admins_only_whatever_shopify_tells(products: Products) -> None:
    await products.tell(facts(1, "Hat"), facts(2, "Hat"))
    assert (await exclude(products, 1, True)).visible is False
    assert await products.ids("hat") == [2]
    await products.tell(facts(1, "Hat, new", 1))
    assert await products.ids("hat") == [2]
    assert await products.ids("hat", role="support") == [2, 1]
    assert (await products.search()).facets.total == 1
    with pytest.raises(NotFound):
        await products.call("GetProduct", pb.GetProductRequest(product_id=1), role="shopper")
    assert (await products.call("GetProduct", pb.GetProductRequest(product_id=2), role="shopper")).title == "Hat"
    await exclude(products, 1, True)
    await exclude(products, 1, False)
    assert await products.ids("hat") == [2, 1]
    audits = [AuditLog.read(each) for each in await products.published(AuditLog.topic)]
    assert [(a.actor, a.action, a.subject, a.before, a.after) for a in audits] == [
        ("admin-1", "product.hidden", "product:1", {"excluded": "false"}, {"excluded": "true"}),
        ("admin-1", "product.shown", "product:1", {"excluded": "true"}, {"excluded": "false"}),
    ]


async def test_a_product_that_comes_back_stays_hidden(products: Products) -> None:
    await products.tell(facts(1, "Hat"))
    await exclude(products, 1, True)
    await products.deliveries.handle([deleted(1, 1)])
    await products.tell(facts(1, "Hat", 2))
    assert await products.ids("hat") == []


async def test_products_by_id_in_pages(products: Products) -> None:
    await products.deliveries.handle([*(told(facts(n)) for n in range(1, 8)), deleted(3, 1)])
    page = await products.call("ListProducts", pb.ListProductsRequest(page_size=4))
    rest = await products.call("ListProducts", pb.ListProductsRequest(page_token=page.next_page_token))
    assert [[each.product_id for each in part.products] for part in (page, rest)] == [[1, 2, 4, 5], [6, 7]]
    assert rest.next_page_token == ""


async def test_facets_alone_are_those_of_the_search(products: Products) -> None:
    await products.tell(facts(1, "Hat", tags=["x"]), facts(2, "Coat"))
    request = pb.SearchProductsRequest(query="hat")
    assert await products.call("GetFacets", request) == (await products.search("hat", role="owner")).facets


async def test_who_may_what(products: Products) -> None:
    await products.tell(facts(1, "Hat"))
    refused: list[tuple[str, Any, str]] = [
        ("ListProducts", pb.ListProductsRequest(), "shopper"),
        ("UpdateProduct", pb.UpdateProductRequest(product_id=1), "shopper"),
        ("UpdateProduct", pb.UpdateProductRequest(product_id=1), "support"),
        ("ImportProducts", pb.ImportProductsRequest(json_lines=b"{}"), "support"),
        ("GetImport", pb.GetImportRequest(import_id="x"), "shopper"),
        ("ListImports", pb.ListImportsRequest(), "shopper"),
        ("SearchProducts", pb.SearchProductsRequest(), "stranger"),
    ]
    for method, request, role in refused:
        with pytest.raises(Forbidden):
            await products.call(method, request, role=role)


async def test_what_is_not_there(products: Products) -> None:
    await products.deliveries.handle([deleted(1, 1), told(facts(2), "b")])
    for product_id in (1, 2, 3):
        for method, request in (
            ("GetProduct", pb.GetProductRequest(product_id=product_id)),
            ("UpdateProduct", pb.UpdateProductRequest(product_id=product_id, excluded=True)),
        ):
            with pytest.raises(NotFound):
                await products.call(method, request)
    senseless: list[tuple[str, Any]] = [
        ("GetProduct", pb.GetProductRequest(product_id=-1)),
        ("UpdateProduct", pb.UpdateProductRequest()),
        ("ListProducts", pb.ListProductsRequest(page_token="x")),
        ("GetImport", pb.GetImportRequest(import_id="x")),
    ]
    for method, request in senseless:
        with pytest.raises(InvalidInput):
            await products.call(method, request)
    assert await products.published() == []


async def test_good_lines_are_taken_and_wrong_ones_reported(products: Products) -> None:
    await products.tell(facts(2, "Newer", 10))
    done = await run(
        products,
        line(1, "Hat"),
        line(2, "Older", 5),
        "no",
        line(1, "Hat again"),
        line(3, "x", variants=[{"price": "-1"}]),
        line(0, "x"),
    )
    assert (done.status, counted(done)) == ("completed", (6, 1, 0, 1, 4))
    assert [(each.line, each.column) for each in done.problems] == [
        (3, ""),
        (4, "id"),
        (5, "variants[0].price"),
        (6, "id"),
    ]
    assert await products.ids("hat") == [1]
    assert await products.ids("newer") == [2]
    assert await products.call("GetImport", pb.GetImportRequest(import_id=done.import_id)) == done
    (audit,) = [AuditLog.read(each) for each in await products.published(AuditLog.topic)]
    assert (audit.action, audit.after["created"]) == ("products.imported", "1")


async def test_the_same_file_again_changes_nothing_and_takes_nothing_back(products: Products) -> None:
    lines = [line(n, f"Plate {n}") for n in range(1, 40)]
    assert counted(await run(products, *lines)) == (39, 39, 0, 0, 0)
    await products.tell(facts(5, "Changed since", 1))
    assert counted(await run(products, *lines)) == (39, 0, 0, 39, 0)
    assert await products.ids("changed") == [5]


async def test_a_file_knows_no_future(products: Products) -> None:
    products.now = at(10)
    await run(products, line(1, "Tomorrow", 100_000))
    await products.tell(facts(1, "Today", 20))
    assert await products.ids("today") == [1]


async def test_what_a_killed_import_left_is_finished_by_the_same_file(
    products: Products, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "BATCH", 10)
    apply, calls = repository.apply, 0

    async def killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("killed")
        return await apply(*arguments)

    monkeypatch.setattr(repository, "apply", killed)
    lines = [line(n, f"Plate {n}") for n in range(1, 31)]
    with pytest.raises(Exception, match="log says why"):
        await run(products, *lines)
    (failed,) = (await products.call("ListImports", pb.ListImportsRequest())).imports
    assert (failed.status, failed.created) == ("failed", 20)
    assert counted(await run(products, *lines)) == (30, 10, 0, 20, 0)


async def test_a_file_that_cannot_be_read_leaves_no_trace(products: Products) -> None:
    for content in (b"", b"\xff"):
        with pytest.raises(InvalidInput):
            await products.call("ImportProducts", pb.ImportProductsRequest(json_lines=content))
    with pytest.raises(TooLarge):
        await products.call("ImportProducts", pb.ImportProductsRequest(json_lines=b" " * (10 * 1024 * 1024 + 1)))
    assert list((await products.call("ListImports", pb.ListImportsRequest())).imports) == []


async def test_imports_are_the_merchants_own(products: Products) -> None:
    done = await run(products, line(1, "Hat"), merchant="b")
    assert list((await products.call("ListImports", pb.ListImportsRequest())).imports) == []
    with pytest.raises(NotFound):
        await products.call("GetImport", pb.GetImportRequest(import_id=done.import_id))
    assert await products.ids("hat") == []
