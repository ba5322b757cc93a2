"""Core's routes over HTTP: statuses, documents, and the bounds of bodies."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from integration.core.support import ANNA, Core, program, rules_json
from loyalnest.core.http import routes
from loyalnest.kit.context import as_merchant
from loyalnest.kit.http import problems

QUOTED_NINE = '"9"'
CSV = {"content-type": "text/csv; charset=utf-8"}


@pytest.fixture
async def client(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    """The routes behind what stands in for the bearer token: the header `role`."""
    app = FastAPI()
    problems.install(app)
    environment: Any = SimpleNamespace(channel=lambda _name: core.channel)
    app.include_router(routes(environment))

    @app.middleware("http")
    async def authenticate(request: Request, call_next: Any) -> Any:
        with as_merchant("a", actor="admin-1", role=request.headers.get("role", "owner")):
            return await call_next(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://core") as opened:
        yield opened


async def test_customers(core: Core, client: httpx.AsyncClient) -> None:
    await core.deliveries.handle([await core.told(7000000000001, 0, ANNA)])
    made = await client.post("/frontend/customers", json={"customer_id": "8", "email": "ben@x.org"})
    assert made.json()["created"] is True
    found = (await client.get("/frontend/customers/7000000000001")).json()
    assert (found["customer_id"], found["email"], found["accepts_marketing"]) == ("7000000000001", ANNA.email, None)
    assert found["addresses"][0]["city"] == "Berlinplanted"
    assert found["rfm"] == {"recency": 0, "frequency": 0, "monetary": 0, "segment": "", "as_of": ""}
    listed = (await client.get("/frontend/customers", params={"search": "ben@x.org"})).json()
    assert [each["customer_id"] for each in listed["customers"]] == ["8"]
    changed = await client.patch("/frontend/customers/8", json={"first_name": "Ben", "accepts_marketing": False})
    assert (changed.json()["first_name"], changed.json()["email"]) == ("Ben", "ben@x.org")
    assert (await client.get("/frontend/customers/counts")).json()["customers"] == 2
    assert (await client.get("/frontend/customers/8/rfm")).json()["segment"] == ""


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/frontend/customers/9", None, 404),
        ("GET", "/frontend/customers/x", None, 422),
        ("GET", "/frontend/customers?search=anna", None, 400),
        ("GET", "/frontend/customers?page_token=x", None, 400),
        ("GET", "/frontend/customers/imports/x", None, 400),
        ("POST", "/frontend/customers", {"customer_id": 8}, 422),
        ("POST", "/frontend/customers", {"customer_id": "8", "email": "x"}, 400),
        ("PATCH", "/frontend/customers/9", {}, 400),
        ("PUT", "/frontend/settings", {"rules": {}}, 400),
        ("PUT", "/frontend/settings", {"version": 1, "rules": {}}, 400),
        ("PUT", "/frontend/settings", {"version": 1, "rules": {}, "more": 1}, 400),
    ],
)
async def test_what_is_wrong_is_a_problem_document(
    client: httpx.AsyncClient, method: str, path: str, body: Any, status: int
) -> None:
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_imports(client: httpx.AsyncClient) -> None:
    done = await client.post("/frontend/customers/import", content=b"customer_id,email\n1,a@x.org\n2,b\n", headers=CSV)
    report = done.json()
    assert (report["status"], report["created"], report["rejected"]) == ("completed", 1, 1)
    assert [(each["line"], each["column"]) for each in report["problems"]] == [(3, "email")]
    assert (await client.get(f"/frontend/customers/imports/{report['import_id']}")).json() == report
    listed = (await client.get("/frontend/customers/imports")).json()["imports"]
    assert [each["import_id"] for each in listed] == [report["import_id"]]


async def test_a_file_of_another_type_or_size_is_refused(client: httpx.AsyncClient) -> None:
    path = "/frontend/customers/import"
    assert (await client.post(path, content=b"customer_id\n1\n")).status_code == 415
    assert (await client.post(path, content=b"x" * (10 * 1024 * 1024 + 1), headers=CSV)).status_code == 413
    assert (await client.post(path, content=b"\xff", headers=CSV)).status_code == 400
    assert (await client.post(path, content=b"", headers=CSV)).status_code == 400
    refused = await client.post(path, content=b"customer_id\n1\n", headers={**CSV, "role": "support"})
    assert refused.status_code == 403


async def test_settings(core: Core, client: httpx.AsyncClient) -> None:
    assert (await client.get("/frontend/settings")).status_code == 404
    await core.settings.provision(program())
    found = (await client.get("/frontend/settings")).json()
    assert (found["version"], found["managed_by"]) == (1, "Dashboard")
    body = f'{{"version": 1, "rules": {rules_json("9").replace(QUOTED_NINE, "0.1")}, "note": "why"}}'
    changed = await client.put("/frontend/settings", content=body)
    assert changed.status_code == 200, changed.text
    assert changed.json()["rules"]["earning"]["rules"][0]["pointsPerUnit"] == "0.1", "never through a float"
    assert (await client.put("/frontend/settings", content=body)).status_code == 409
    again = {"version": 2, "rules": changed.json()["rules"]}
    assert (await client.put("/frontend/settings", json=again)).json()["version"] == 2
    assert (await client.put("/frontend/settings", json=again, headers={"role": "support"})).status_code == 403
    assert (await client.put("/frontend/settings", content=b" " * 300_000)).status_code == 413
    assert (await client.put("/frontend/settings", content=b'{"version":1,"rules":{"a":"\xff"}}')).status_code == 400
    versions = (await client.get("/frontend/settings/versions")).json()["versions"]
    assert [(each["version"], each["note"]) for each in versions] == [(2, "why"), (1, "seeded from the resource")]


async def test_openapi_documents_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert {"/frontend/customers/import", "/frontend/customers/{customer_id}", "/frontend/settings"} <= set(
        document["paths"]
    )
    put = document["paths"]["/frontend/settings"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert put["properties"]["rules"]["required"] == ["earning"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert "$ref" in schema, (path, method)
