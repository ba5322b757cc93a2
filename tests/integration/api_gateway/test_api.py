"""API calls: tokens, limits, headers, the OpenAPI document, the start page."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jsonschema_rs import validator_for
from prometheus_client import REGISTRY

from integration.api_gateway.conftest import Gateway, Start
from loyalnest import __version__
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.http import problems

OWNER = {"Authorization": "Bearer acme-owner"}
PROBLEM = validator_for(problems.SCHEMA)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer nobodys")],
        [("Authorization", "Bearer acme-owner x")],
        [("Authorization", "Bearer é")],
        [("Authorization", "Bearer " + "x" * 8000)],
        [("Authorization", "Bearer acme-owner"), ("Authorization", "Bearer brew-owner")],
    ],
)
async def test_a_token_that_is_not_valid(gateway: Gateway, headers: list[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    answer = await gateway.http.get("/frontend/points/totals", headers=raw)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    PROBLEM.validate(answer.json())


async def test_a_token_acts_for_its_merchant_and_role(platform: Gateway) -> None:
    http = platform.http
    answer = await http.post(
        "/frontend/points/adjust",
        headers=OWNER | {"Idempotency-Key": "k1"},
        json={"customer_id": "77", "points": 500, "reason": "welcome"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["transaction"]["actor"] == "admin:acme"

    async def available(token: str, **more: str) -> int:
        found = await http.get(
            "/frontend/points",
            params={"customer_id": "77", "merchant_id": "acme"},
            headers={"Authorization": f"Bearer {token}", "X-LoyalNest-Merchant": "acme", **more},
        )
        assert found.status_code == 200, found.text
        points: int = found.json()["available"]
        return points

    assert await available("acme-owner") == 500
    assert await available("brew-owner") == 0
    forbidden = await http.post(
        "/frontend/points/adjust",
        headers={"Authorization": "Bearer acme-support", "Idempotency-Key": "k2"},
        json={"customer_id": "77", "points": 1, "reason": "x"},
    )
    assert forbidden.status_code == 403


async def test_many_tokens_at_once_never_mix(platform: Gateway) -> None:
    for merchant, points in (("acme", 100), ("brew", 200)):
        done = await platform.http.post(
            "/frontend/points/adjust",
            headers={"Authorization": f"Bearer {merchant}-owner", "Idempotency-Key": "k"},
            json={"customer_id": "5", "points": points, "reason": "r"},
        )
        assert done.status_code == 200

    async def ask(merchant: str) -> int:
        headers = {"Authorization": f"Bearer {merchant}-owner"}
        found = await platform.http.get("/frontend/points", params={"customer_id": "5"}, headers=headers)
        available: int = found.json()["available"]
        return available

    merchants = ["acme", "brew"] * 20
    found = await asyncio.gather(*map(ask, merchants))
    assert found == [{"acme": 100, "brew": 200}[merchant] for merchant in merchants]


async def test_pipelined_requests_do_not_inherit_a_merchant(platform: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
    one = "GET /frontend/points/totals HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer acme-owner\r\n\r\n"
    two = "GET /frontend/points/totals HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write((one + two).encode())
    answers = re.findall(rb"HTTP/1.1 (\d+)", await asyncio.wait_for(reader.read(), 10))
    assert answers == [b"200", b"401"]


async def test_a_token_is_remembered_for_a_moment_only(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> int:
        return (await gateway.http.get("/frontend/points/rewards", headers=OWNER)).status_code

    monkeypatch.setattr("loyalnest.api_gateway.authentication.REMEMBER_SECONDS", 2)
    assert await ask() != 401
    assert await ask() != 401
    assert gateway.auth.asked.count("token") == 1
    del gateway.auth.tokens["acme-owner"]
    await asyncio.sleep(2.1)
    assert await ask() == 401


async def test_too_many_api_requests(start: Start) -> None:
    async with start(request_limit_per_minute=12) as gateway:  # a burst of 2

        async def ask(merchant: str, path: str) -> Any:
            return await gateway.http.get(path, headers={"Authorization": f"Bearer {merchant}-owner"})

        path = "/frontend/points/redemptions/not-a-uuid"
        statuses = [(await ask("acme", f"{path}{number}")).status_code for number in range(3)]
        assert statuses[2] == 429
        assert 429 not in statuses[:2]
        answer = await ask("acme", path)
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        PROBLEM.validate(answer.json())
        assert (await ask("brew", path)).status_code != 429
        keys = await gateway.environment.redis.keys("rate_limit:acme:*")
        assert keys == [b"rate_limit:acme:get/frontend/points/redemptions/:redemption_id"]


@pytest.mark.parametrize("path", ["/nothing", "/frontend/points", "/status", "/webhooks/orders/create"])
async def test_every_answer_has_the_security_headers(gateway: Gateway, path: str) -> None:
    answer = await gateway.http.get(path, headers={"X-Request-Id": "request-0001"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-request-id"] == "request-0001"
    assert answer.headers.get_list("cache-control") == ["no-store"]
    (policy,) = answer.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'")
    assert "server" not in answer.headers


async def test_a_hostile_request_id_is_replaced(gateway: Gateway) -> None:
    answer = await gateway.http.get("/status", headers={"X-Request-Id": "<script>alert(1)</script>"})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_routes_are_measured_by_their_template(gateway: Gateway) -> None:
    def seen(route: str, method: str, status: str) -> float:
        labels = {"route": route, "method": method, "status": status}
        return REGISTRY.get_sample_value("loyalnest_http_seconds_count", labels) or 0.0

    cases = [
        ("GET", "/frontend/points/redemptions/abc", "/frontend/points/redemptions/{redemption_id}", "401"),
        ("GET", "/made/up", "unmatched", "404"),
        ("DELETE", "/status", "/status", "405"),
        ("POST", "/webhooks/orders/create", "/webhooks/{topic}", "401"),
        ("GET", "/status", "/status", "200"),
    ]
    for method, path, route, status in cases:
        before = seen(route, method, status)
        assert (await gateway.http.request(method, path)).status_code == int(status)
        assert seen(route, method, status) == before + 1, (method, path)


async def test_other_methods_are_told_which_there_are(gateway: Gateway) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"):
        answer = await gateway.http.request(method, "/frontend/points/redeem")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b'{"customer_id": "1", "reward": "x"', 422),
        (b'{"customer_id": "\\ud800", "reward": "x"}', 422),
        (b'{"customer_id": "1", "reward": "\\ud800"}', 422),
        (b'{"customer_id": 9007199254740993, "reward": "x"}', 422),
        (b"[" * 100_000, 400),
        (b"\xff\xfe\x00", 400),
        (b'{"a":' + b"9" * 5000 + b"}", 400),
        (b'{"reward": "' + b"x" * 1_100_000 + b'"}', 413),
    ],
)
async def test_bad_bodies_of_api_calls(gateway: Gateway, content: bytes, status: int) -> None:
    headers = OWNER | {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = await gateway.http.post("/frontend/points/redeem", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    PROBLEM.validate(answer.json())


PIECE = 64 * 1024


async def test_files_may_be_longer_than_json_but_not_endless(gateway: Gateway) -> None:
    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // PIECE):
            yield b"x" * PIECE

    async def send(size: int, media_type: str) -> int:
        headers = OWNER | {"Idempotency-Key": "k", "Content-Type": media_type, "Content-Length": str(size)}
        answer = await gateway.http.post("/frontend/points/redeem", content=pieces(size), headers=headers)
        PROBLEM.validate(answer.json())
        return answer.status_code

    assert await send(2 * 1024 * 1024, "application/merge-patch+json") == 413
    assert await send(2 * 1024 * 1024, "text/csv") == 422
    assert await send(17 * 1024 * 1024, "text/csv") == 413


async def test_heads_that_are_too_large(gateway: Gateway) -> None:
    long = await gateway.http.get("/status?" + "x" * 9000)
    assert (long.status_code, long.headers["content-type"]) == (414, "application/problem+json")
    large = await gateway.http.get("/status", headers={"X-Large": "x" * 40_000})
    assert (large.status_code, large.headers["content-type"]) == (431, "application/problem+json")
    many = await gateway.http.get("/status", headers={f"X-{number}": "x" for number in range(120)})
    assert many.status_code == 431
    assert (await gateway.http.get("/status")).status_code == 200


async def test_the_openapi_document(gateway: Gateway) -> None:
    answer = await gateway.http.get("/openapi.json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(ids) == len(set(ids))
    assert {"points_balance", "points_redeem", "webhooks_receive", "widget_shopper_points", "widget_click"} <= set(ids)
    for path, method, operation in operations:
        assert operation.get("summary"), (path, method)
        for status, response in operation["responses"].items():
            kinds = set(response.get("content", {}))
            assert kinds == ({"application/json"} if status == "200" else {"application/problem+json"}), (path, status)
        if path.startswith("/frontend"):
            assert operation["security"] == [{"bearer": []}], path
            assert {"400", "401", "403", "404", "409", "413", "422", "429", "503"} <= set(operation["responses"])
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert references <= set(document["components"]["schemas"])


async def test_a_service_without_an_address_fails_the_start(start: Start) -> None:
    with pytest.raises(InvalidInput, match=r"cannot serve .* The points service does not run in this process"):
        async with start(peers={}):
            pass


async def test_the_status_tells_nothing_of_tenants(gateway: Gateway) -> None:
    await gateway.http.get("/frontend/points/totals", headers=OWNER)
    answer = await gateway.http.get("/status")
    status = answer.json()
    assert status["version"] == __version__
    assert {each["name"]: each["here"] for each in status["services"]} == {
        "api_gateway": True,
        "auth": True,
        "points": False,
        "referrals": False,
    }
    assert "acme" not in answer.text
