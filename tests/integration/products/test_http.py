"""Products' routes over HTTP: statuses, documents, and the bounds of bodies."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from integration.products.support import Products, facts
from loyalnest.kit.context import as_merchant
from loyalnest.kit.http import problems
from loyalnest.products.http import routes

LINES = {"content-type": "application/x-ndjson; charset=utf-8"}
PATH = "/frontend/products"


@pytest.fixture
async def client(products: Products) -> AsyncIterator[httpx.AsyncClient]:
    """The routes behind what stands in for the bearer token: the header `role`."""
    app = FastAPI()
    problems.install(app)
    environment: Any = SimpleNamespace(channel=lambda _name: products.channel)
    app.include_router(routes(environment))

    @app.middleware("http")
    async def authenticate(request: Request, call_next: Any) -> Any:
        with as_merchant("a", actor="admin-1", role=request.headers.get("role", "owner")):
            return await call_next(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://products") as opened:
        yield opened


async def test_search_with_every_parameter(products: Products, client: httpx.AsyncClient) -> None:
    await products.tell(
        facts(2**53 + 1, "Wool hat", product_type="Hats", tags=["x", "y"]), facts(2, "Wool coat", inventory=None)
    )
    every = {
        "query": "woool hat",
        "vendor": ["Acme", "Bolt"],
        "product_type": "Hats",
        "tag": ["x", "y"],
        "min_price": "1",
        "max_price": "10.00",
        "available": "true",
        "visible": "true",
        "status": "active",
        "sort": "-price",
        "page_size": "1",
    }
    found = (await client.get(PATH, params=every)).json()
    (shown,) = found["products"]
    assert (shown["product_id"], shown["lowest_price"], shown["inventory"]) == (str(2**53 + 1), "10.00", 3)
    assert (found["all_words"], found["facets"]["total"], found["facets"]["exact"]) == (True, 1, True)
    assert found["facets"]["tags"] == [{"value": "x", "products": 1}, {"value": "y", "products": 1}]
    page = (await client.get(PATH, params={"page_size": 1})).json()
    rest = (await client.get(PATH, params={"page_token": page["next_page_token"]})).json()
    assert [each["product_id"] for each in (*page["products"], *rest["products"])] == [str(2**53 + 1), "2"]
    assert rest["products"][0]["inventory"] is None
    assert (await client.get(f"{PATH}/facets", params={"query": "coat"})).json()["total"] == 1
    assert len((await client.get(f"{PATH}/all")).json()["products"]) == 2


async def test_one_product_is_shown_and_hidden(products: Products, client: httpx.AsyncClient) -> None:
    await products.tell(facts(1, "Hat"))
    assert (await client.get(f"{PATH}/1")).json()["title"] == "Hat"
    hidden = (await client.patch(f"{PATH}/1", json={"excluded": True})).json()
    assert (hidden["excluded"], hidden["visible"]) == (True, False)
    refused = await client.patch(f"{PATH}/1", json={"excluded": False}, headers={"role": "support"})
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "?query=" + "x" * 501, None, 422),
        ("GET", "?query=" + "x" * 10_000, None, 422),
        ("GET", "?sort=odd", None, 422),
        ("GET", "?min_price=-1", None, 422),
        ("GET", "?min_price=1e9", None, 422),
        ("GET", "?available=perhaps", None, 422),
        ("GET", "?status=odd", None, 422),
        ("GET", "?page_size=0", None, 422),
        ("GET", "?page_token=x", None, 400),
        ("GET", "?page_token=1000", None, 400),
        ("GET", "?" + "tag=x&" * 21, None, 422),
        ("GET", "/9", None, 404),
        ("GET", "/x", None, 422),
        ("GET", "/0", None, 422),
        ("GET", f"/{2**63}", None, 422),
        ("GET", "/all?page_token=x", None, 400),
        ("GET", "/imports/x", None, 400),
        ("GET", "/imports?page_token=x", None, 400),
        ("PATCH", "/9", {"excluded": True}, 404),
        ("PATCH", "/9", {"excluded": "yes"}, 422),
        ("PATCH", "/9", {}, 422),
        ("PATCH", "/9", {"excluded": True, "title": "x"}, 422),
    ],
)
async def test_what_is_wrong_is_a_problem_document(
    client: httpx.AsyncClient, method: str, path: str, body: Any, status: int
) -> None:
    answer = await client.request(method, PATH + path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_hostile_queries_are_answered(products: Products, client: httpx.AsyncClient) -> None:
    await products.tell(facts(1, "Hat"))
    for query in ("%00", "%ff%fe", "%ED%A0%80", "a%26b%7C%21c", "%E2%80%AE", "'%3B--", "%F0%9F%8E%81"):
        answer = await client.get(f"{PATH}?query={query}&vendor={query}&tag={query}")
        assert answer.status_code == 200, (query, answer.text)


async def test_imports(client: httpx.AsyncClient) -> None:
    done = await client.post(f"{PATH}/import", content=b'{"id": 1, "title": "Hat"}\n{"id": 0}\n', headers=LINES)
    report = done.json()
    assert (report["status"], report["created"], report["rejected"]) == ("completed", 1, 1)
    assert [(each["line"], each["column"]) for each in report["problems"]] == [(2, "id")]
    assert (await client.get(f"{PATH}/imports/{report['import_id']}")).json() == report
    listed = (await client.get(f"{PATH}/imports")).json()["imports"]
    assert [each["import_id"] for each in listed] == [report["import_id"]]


async def test_a_file_of_another_type_or_size_is_refused(client: httpx.AsyncClient) -> None:
    path = f"{PATH}/import"
    assert (await client.post(path, content=b"{}")).status_code == 415
    assert (await client.post(path, content=b" " * (10 * 1024 * 1024 + 1), headers=LINES)).status_code == 413
    assert (await client.post(path, content=b"\xff", headers=LINES)).status_code == 400
    assert (await client.post(path, content=b"", headers=LINES)).status_code == 400
    assert (await client.post(path, content=b"{}", headers={**LINES, "role": "support"})).status_code == 403


async def test_openapi_documents_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert {PATH, f"{PATH}/all", f"{PATH}/import", f"{PATH}/{{product_id}}"} <= set(document["paths"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert "$ref" in schema, (path, method)
