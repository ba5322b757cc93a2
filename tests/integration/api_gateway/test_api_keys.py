"""A merchant's own program at the gateway: an API key opens what its scopes name, and nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.context import as_merchant
from loyalnest.kit.discovery import discover
from loyalnest.kit.migrations import migrate
from loyalnest.kit.program import load_programs
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.settings import Settings

DEMO = Path(__file__).resolve().parents[3] / "clusters" / "demo"
KEK = "k1:" + "A" * 43 + "="
Make = Callable[..., Awaitable[pb.ApiKey]]


@pytest.fixture
async def process(database_url: str, redis_url: str) -> AsyncIterator[Runtime]:
    """The gateway, auth and points in one process, with the demo's two merchants."""
    services = {name: each for name, each in discover().items() if name in ("api_gateway", "auth", "points")}
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        encryption_keys=SecretStr(KEK),
        http_port=0,
        drain_seconds=2,
    )
    await migrate(settings.placement(), services.values())
    running = Runtime(settings, list(services), load_programs([DEMO]), listen_grpc=False, services=services)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@pytest.fixture
async def http(process: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{process.http_port}", trust_env=False, timeout=30
    ) as client:
        yield client


@pytest.fixture
async def owner(process: Runtime) -> dict[str, str]:
    """The headers of an owner of acme."""
    with as_merchant("acme"):
        session = await AuthServiceStub(process.channel("auth")).CreateSession(pb.CreateSessionRequest(admin="test"))
    return {"Authorization": f"Bearer {session.token}"}


async def key(http: httpx.AsyncClient, owner: dict[str, str], *scopes: str, **given: object) -> dict[str, str]:
    """The headers of a new API key."""
    body = {"name": "+".join(scopes), "scopes": list(scopes)} | given
    answer = await http.post("/auth/api-keys", headers=owner, json=body)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['secret']}"}


async def test_a_key_opens_what_its_scopes_name(http: httpx.AsyncClient, owner: dict[str, str]) -> None:
    reading, writing = await key(http, owner, "points:read"), await key(http, owner, "points:write")
    adjust = {"customer_id": "7", "points": 5, "reason": "goodwill"}
    assert (await http.get("/frontend/points?customer_id=7", headers=reading)).json()["available"] == 0
    refused = await http.post("/frontend/points/adjust", headers=reading | {"Idempotency-Key": "a"}, json=adjust)
    assert (refused.status_code, "points:write" in refused.json()["detail"]) == (403, True)
    done = await http.post("/frontend/points/adjust", headers=writing | {"Idempotency-Key": "a"}, json=adjust)
    assert done.json()["balance"]["available"] == 5
    assert done.json()["transaction"]["actor"].startswith("api_key:")
    assert (await http.get("/frontend/points?customer_id=7", headers=writing)).status_code == 403


async def test_no_key_makes_keys_or_sees_sessions(http: httpx.AsyncClient, owner: dict[str, str]) -> None:
    headers = await key(http, owner, "points:read", "points:write")
    for method, path in (("GET", "/auth/api-keys"), ("POST", "/auth/api-keys"), ("GET", "/auth/sessions")):
        answer = await http.request(method, path, headers=headers, json={"name": "x", "scopes": ["points:read"]})
        assert (answer.status_code, "log in" in answer.json()["detail"]) == (403, True), path


async def test_scopes_are_those_of_the_routes(http: httpx.AsyncClient, owner: dict[str, str]) -> None:
    scopes = (await http.get("/auth/scopes", headers=owner)).json()["scopes"]
    assert scopes == ["orders:read", "points:read", "points:write"]
    answer = await http.post("/auth/api-keys", headers=owner, json={"name": "x", "scopes": ["money:write"]})
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "No route asks for the scope money:write; there is orders:read, points:read, points:write.",
    )


async def test_a_key_has_a_limit_of_its_own(http: httpx.AsyncClient, owner: dict[str, str]) -> None:
    little = await key(http, owner, "points:read", requests_per_minute=6)  # of which one may come at once
    other = await key(http, owner, "points:read", name="other")
    assert (await http.get("/frontend/points?customer_id=7", headers=little)).status_code == 200
    late = await http.get("/frontend/points?customer_id=7", headers=little)
    assert (late.status_code, int(late.headers["retry-after"]) >= 1) == (429, True)
    assert (await http.get("/frontend/points?customer_id=7", headers=other)).status_code == 200


async def test_a_key_is_changed_rotated_and_revoked(http: httpx.AsyncClient, owner: dict[str, str]) -> None:
    made = (await http.post("/auth/api-keys", headers=owner, json={"name": "erp", "scopes": ["points:read"]})).json()
    path = f"/auth/api-keys/{made['api_key_id']}"
    changed = await http.patch(path, headers=owner, json={"scopes": ["points:write"], "name": "ERP"})
    assert (changed.json()["name"], changed.json()["scopes"]) == ("ERP", ["points:write"])
    rotated = (await http.post(f"{path}/rotate", headers=owner, json={"overlap_hours": 0})).json()
    assert rotated["secret"] not in ("", made["secret"])
    (listed,) = (await http.get("/auth/api-keys", headers=owner)).json()["api_keys"]
    assert "secret" not in listed
    assert (await http.delete(path, headers=owner)).json() == {"revoked": True}
    for secret in (made["secret"], rotated["secret"]):
        answer = await http.get("/frontend/points?customer_id=7", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 401
    assert (await http.patch("/auth/api-keys/none", headers=owner, json={})).status_code == 400
