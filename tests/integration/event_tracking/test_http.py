"""The routes through a real gateway, with the real service, its workers and the file sink in one process."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from integration.api_gateway.stand_in import Auth
from integration.event_tracking.receiver import Receiver
from integration.event_tracking.support import message
from loyalnest.admin_features.events import MESSAGE_PURPOSE, EmailEventCreated
from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceStub
from loyalnest.kit import discovery, runtime
from loyalnest.kit.clock import system_clock
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import unwrap_keys
from loyalnest.kit.events import new_id
from loyalnest.kit.http.scopes import scope_of
from loyalnest.kit.migrations import migrate
from loyalnest.kit.settings import Settings
from loyalnest.points.events import PointsExpired


@dataclass
class Process:
    http: httpx.AsyncClient
    runtime: runtime.Runtime
    auth: Auth
    folder: Path

    async def get(self, path: str, status: int = 200, token: str = "acme-owner") -> Any:
        answer = await self.http.get(f"/frontend/tasks{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 200, token: str = "acme-owner", **body: Any) -> Any:
        answer = await self.http.post(f"/frontend/tasks{path}", headers={"Authorization": f"Bearer {token}"}, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def webhooks(
        self, method: str, path: str = "", status: int = 200, token: str = "acme-owner", **body: Any
    ) -> Any:
        """A request of `/frontend/webhooks…`."""
        answer = await self.http.request(
            method, f"/frontend/webhooks{path}", headers={"Authorization": f"Bearer {token}"}, json=body or None
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def create(self, key: str, **fields: Any) -> str:
        stub: Any = EventTrackingServiceStub(self.runtime.channel("event_tracking"))
        with as_merchant("acme", actor="ann", role="owner"):
            made = await stub.CreateTask(
                pb.CreateTaskRequest(
                    kind="email",
                    unique_key=key,
                    reason="hello",
                    customer_id=2**60,
                    message=pb.Message(to="anna@example.com", text="Hello"),
                    **fields,
                )
            )
        return str(made.task.task_id)

    async def until(self, task_id: str, status: str) -> Any:
        async with asyncio.timeout(60):
            while (found := await self.get(f"/{task_id}"))["task"]["status"] != status:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
async def process(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Process]:
    kek = f"test:{base64.b64encode(os.urandom(32)).decode()}"
    auth = Auth(KeyEncryptionKeys.parse(kek))
    auth.add("acme", "secret")
    auth.add("brew", "secret")
    found = discovery.discover()
    services = {name: found[name] for name in ("api_gateway", "event_tracking")} | {"auth": auth.service()}
    monkeypatch.setattr(runtime, "discover", lambda: dict(services))
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        encryption_keys=SecretStr(kek),
        http_port=0,
        grpc_port=0,
        message_folder=tmp_path / "sent",
        email_per_second=1000,
        webhooks_to_private_addresses=True,
    )
    await migrate(settings.placement(), [services["api_gateway"], services["event_tracking"]])
    running = runtime.Runtime(settings, list(services), listen_grpc=False)
    await running.start()
    try:
        address = f"http://127.0.0.1:{running.http_port}"
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
            yield Process(http, running, auth, tmp_path / "sent")
    finally:
        await running.stop()


async def test_from_the_event_to_the_file(process: Process) -> None:
    keys = unwrap_keys("acme", process.auth.keys["acme"], process.auth.keks)
    content = b'{"to": "anna@example.com", "subject": "Your points", "text": "You have 120 points."}'
    event = EmailEventCreated(
        message_id=new_id(),
        channel="email",
        customer_id=7,
        reason="points_earned",
        sealed=keys.seal(MESSAGE_PURPOSE, content),
        created_at=system_clock(),
    )
    await process.runtime.bus.publish([event.event("acme", "7")])
    async with asyncio.timeout(60):
        while not (listed := (await process.get("?status=done"))["tasks"]):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.02)
    (task,) = listed
    assert (task["unique_key"], task["customer_id"], task["provider"]) == (str(event.message_id), "7", "file")
    written = (process.folder / f"{task['task_id']}.eml").read_text()
    assert message().text in written
    found = await process.get(f"/{task['task_id']}")
    assert [each["outcome"] for each in found["attempts"]] == ["delivered"]
    assert found["task"] == task
    assert await process.get("", token="brew-owner") == {"tasks": [], "next_page_token": ""}


async def test_waiting_tasks_are_listed_tried_and_cancelled(process: Process) -> None:
    first, second = [await process.create(f"key-{n}", not_before=_in_days(1), expires_at=_in_days(2)) for n in range(2)]
    page = await process.get("?page_size=1")
    assert [each["task_id"] for each in page["tasks"]] == [second]
    rest = await process.get(f"?status=waiting&page_size=1&page_token={page['next_page_token']}")
    assert [(each["task_id"], each["customer_id"]) for each in rest["tasks"]] == [(first, str(2**60))]
    stats = await process.get("/stats")
    assert stats == {
        "counts": [{"kind": "email", "status": "waiting", "tasks": 2}],
        "stuck": [],
        "oldest_due_at": "",
    }
    assert (await process.post(f"/{second}/cancel", reason="not wanted"))["status"] == "cancelled"
    assert (await process.post(f"/{first}/retry"))["status"] == "waiting"
    await process.until(first, "done")
    assert os.listdir(process.folder) == [f"{first}.eml"]


def _in_days(days: int) -> str:
    return (system_clock() + timedelta(days=days)).isoformat()


async def test_what_is_not_there_not_allowed_or_not_valid_is_a_problem(process: Process) -> None:
    task_id = await process.create("key", not_before=_in_days(1))
    unknown = str(new_id())
    for path, status in (
        ("?status=lost", 422),
        ("?page_size=0", 422),
        ("?page_size=201", 422),
        ("?page_token=x", 400),
        (f"/{unknown}", 404),
        ("/x", 400),
        ("/%00", 422),
    ):
        problem = await process.get(path, status)
        assert problem["detail"], path
    for path, status, token, body in (
        (f"/{unknown}/retry", 404, "acme-owner", {}),
        (f"/{task_id}/retry", 403, "acme-support", {}),
        (f"/{task_id}/retry", 404, "brew-owner", {}),
        (f"/{task_id}/cancel", 422, "acme-owner", {}),
        (f"/{task_id}/cancel", 422, "acme-owner", {"reason": "x" * 201}),
        (f"/{task_id}/cancel", 403, "acme-support", {"reason": "x"}),
        (f"/{task_id}/cancel", 404, "brew-owner", {"reason": "x"}),
        ("/x/cancel", 400, "acme-owner", {"reason": "x"}),
    ):
        problem = await process.post(path, status, token, **body)
        assert problem["detail"], path
    assert (await process.get(f"/{task_id}"))["task"]["status"] == "waiting"
    await process.post(f"/{task_id}/cancel", reason="x")
    assert (await process.post(f"/{task_id}/retry", 422))["detail"].startswith("This task is cancelled")


async def test_a_webhook_from_subscribing_to_replaying(process: Process, receiver: Receiver) -> None:
    made = await process.webhooks("POST", url=receiver.url, topics=["points.expired"])
    path = f"/{made['subscription_id']}"
    event = PointsExpired(customer_id=7, lot_id=new_id(), points=5).event("acme", "7")
    await process.runtime.bus.publish(
        [event, PointsExpired(customer_id=8, lot_id=new_id(), points=5).event("brew", "8")]
    )
    async with asyncio.timeout(60):
        while not (done := (await process.webhooks("GET", f"{path}/deliveries?status=done"))["deliveries"]):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.02)
    assert [(each["event_id"], each["topic"], each["answer"]) for each in done] == [
        (str(event.id), "points.expired", "200")
    ]
    assert [each["outcome"] for each in done[0]["attempts"]] == ["delivered"]
    assert [(each.id, each.signed_with(made["secret"])) for each in receiver.got] == [(str(event.id), True)]
    rotated = await process.webhooks("POST", f"{path}/secret", overlap_hours=0)
    assert await process.webhooks("POST", f"{path}/deliveries/{done[0]['delivery_id']}/replay") == {"deliveries": 1}
    async with asyncio.timeout(60):
        while len(receiver.got) < 2:  # noqa: ASYNC110 - another process would do it
            await asyncio.sleep(0.02)
    assert [receiver.got[1].signed_with(each["secret"]) for each in (made, rotated)] == [False, True]
    assert receiver.got[1].body == receiver.got[0].body
    assert await process.webhooks("POST", f"{path}/replay", failed_since=_in_days(-1)) == {"deliveries": 0}
    changed = await process.webhooks("PATCH", path, topics=["tier.changed", "badge.awarded"], enabled=False)
    assert (changed["topics"], changed["status"]) == (["tier.changed", "badge.awarded"], "disabled")
    assert await process.webhooks("GET") == {"subscriptions": [changed]}
    assert await process.webhooks("GET", path) == changed
    assert "secret" not in changed
    await process.webhooks("DELETE", path, 204)
    assert await process.webhooks("GET") == {"subscriptions": []}


async def test_webhooks_that_cannot_be_or_are_not_theirs_are_a_problem(process: Process) -> None:
    good: dict[str, Any] = {"url": "https://example.com/hooks", "topics": ["points.earned"]}
    made = await process.webhooks("POST", **good)
    path, unknown = f"/{made['subscription_id']}", f"/{new_id()}"
    for method, where, status, token, body in (
        ("POST", "", 403, "acme-support", good),
        ("POST", "", 422, "acme-owner", good | {"topics": []}),
        ("POST", "", 422, "acme-owner", good | {"topics": ["order.received"]}),
        ("POST", "", 422, "acme-owner", good | {"url": "https://exa mple.com"}),
        ("POST", "", 400, "acme-owner", good | {"url": "http://example.com"}),
        ("GET", path, 404, "brew-owner", {}),
        ("GET", "/x", 400, "acme-owner", {}),
        ("PATCH", unknown, 404, "acme-owner", {"enabled": False}),
        ("PATCH", path, 400, "acme-owner", {"url": "ftp://example.com"}),
        ("DELETE", path, 404, "brew-owner", {}),
        ("DELETE", path, 403, "acme-support", {}),
        ("POST", f"{path}/secret", 422, "acme-owner", {"overlap_hours": 169}),
        ("POST", f"{path}/replay", 422, "acme-owner", {"failed_since": "2026-05-01T00:00:00"}),
        ("POST", f"{path}/deliveries{unknown}/replay", 422, "acme-owner", {}),
        ("GET", f"{path}/deliveries?status=lost", 422, "acme-owner", {}),
        ("GET", f"{unknown}/deliveries", 404, "acme-owner", {}),
    ):
        problem = await process.webhooks(method, where, status, token, **body)
        assert problem["detail"], (method, where)
    document = (await process.http.get("/openapi.json")).json()
    tags = document["paths"]["/frontend/webhooks"]["post"]["tags"]
    assert scope_of(tags, "POST") == "subscriptions:write", "API keys may"
