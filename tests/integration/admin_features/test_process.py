"""One real process: the gateway's HTTP, points, core and admin_features over a real bus; only auth is from memory."""

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from fixtures.email_webhooks import MAILGUN_KEY, RESEND_SECRET, mailgun_body, resend_body, resend_headers
from integration.admin_features.support import token_in
from integration.api_gateway.stand_in import Auth
from loyalnest.admin_features.events import MESSAGE_PURPOSE, EmailEventCreated, Message
from loyalnest.event_tracking.events import TaskCompleted
from loyalnest.kit import discovery
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.events import new_id
from loyalnest.kit.migrations import migrate
from loyalnest.kit.program import load_programs
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import bodies

PROGRAMS = Path(__file__).parents[3] / "clusters" / "demo"
HERE = ("api_gateway", "core", "points", "admin_features")
OWNER = {"Authorization": "Bearer acme-owner"}


@dataclass
class Process:
    http: httpx.AsyncClient
    runtime: Runtime

    async def deliver(self, topic: str, body: dict[str, Any]) -> None:
        content = bodies.encode(body)
        headers = {
            "X-Shopify-Hmac-Sha256": webhook_signature("acme-secret", content),
            "X-Shopify-Shop-Domain": "acme.myshopify.com",
            "X-Shopify-Webhook-Id": str(uuid.uuid4()),
            "Content-Type": "application/json",
        }
        answer = await self.http.post(f"/webhooks/{topic}", content=content, headers=headers)
        assert answer.status_code == 200, answer.text

    async def messages(self, count: int) -> list[tuple[EmailEventCreated, Message]]:
        """What was published for event_tracking, once there are `count`."""
        keys = await self.runtime._running["admin_features"].environment.keys.for_merchant("acme")
        async with asyncio.timeout(60):
            while True:
                events = [event async for event in self.runtime.bus.read_all(EmailEventCreated.topic)]
                if len(events) >= count:
                    break
                await asyncio.sleep(0.05)
        read = [EmailEventCreated.read(event) for event in events]
        return [(each, msgspec.json.decode(keys.open(MESSAGE_PURPOSE, each.sealed), type=Message)) for each in read]

    async def shown(self, status: str) -> dict[str, Any]:
        """The newest message at the gateway, once it has that status."""
        async with asyncio.timeout(60):
            while True:
                answer = await self.http.get("/frontend/email/messages", headers=OWNER)
                assert answer.status_code == 200, answer.text
                newest: dict[str, Any] = answer.json()["messages"][0]
                if newest["status"] == status:
                    return newest
                await asyncio.sleep(0.05)


@pytest.fixture
async def process(database_url: str, redis_url: str) -> AsyncIterator[Process]:
    kek = f"test:{base64.b64encode(os.urandom(32)).decode()}"
    auth = Auth(KeyEncryptionKeys.parse(kek))
    for merchant in ("acme", "brew"):
        auth.add(merchant, f"{merchant}-secret")
    found = discovery.discover()
    services = {name: found[name] for name in HERE} | {"auth": auth.service()}
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        encryption_keys=SecretStr(kek),
        resend_webhook_secret=SecretStr(RESEND_SECRET),
        mailgun_signing_key=SecretStr(MAILGUN_KEY),
        public_url="https://loyalty.example",
        http_port=0,
        grpc_port=0,
        drain_seconds=5,
    )
    await migrate(settings.placement(), [services[name] for name in HERE])
    runtime = Runtime(settings, [*HERE, "auth"], load_programs([PROGRAMS]), listen_grpc=False, services=services)
    await runtime.start()
    try:
        url = f"http://127.0.0.1:{runtime.http_port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            yield Process(http, runtime)
    finally:
        await runtime.stop()


async def test_from_an_order_to_a_mail_and_to_a_bounce(process: Process) -> None:
    now = datetime.now(UTC)
    person = bodies.customer(7000000000001, email="anna@shop.example", created_at="2020-01-01T00:00:00Z")
    await process.deliver("customers/create", person)
    paid = bodies.order(customer=person, financial_status="paid", processed_at=now.isoformat())
    old = bodies.order(customer=person, financial_status="paid", processed_at="2021-01-01T00:00:00Z")
    await process.deliver("orders/paid", old)
    await process.deliver("orders/paid", paid)
    ((event, message),) = await process.messages(1)
    assert (event.reason, event.customer_id, message.to) == ("points_earned", 7000000000001, "anna@shop.example")
    assert message.subject.startswith("You earned ")
    assert message.headers["List-Unsubscribe"].startswith("<https://loyalty.example/email/unsubscribe/")
    done = TaskCompleted(
        task_id=new_id(),
        kind="email",
        unique_key=str(event.message_id),
        outcome="done",
        attempts=1,
        provider="resend",
        provider_id="re_1",
        completed_at=now,
    )
    await process.runtime.bus.publish([done.event("acme", "k")])
    assert (await process.shown("sent"))["provider"] == "resend"
    body = resend_body("email.bounced", "re_1")
    forged = await process.http.post("/email/providers/resend", content=body, headers={"svix-id": "e"})
    assert forged.status_code == 401
    told = await process.http.post("/email/providers/resend", content=body, headers=resend_headers(body, "e", now))
    assert told.status_code == 200
    shown = await process.shown("bounced")
    assert (shown["event"], shown["customer_id"]) == ("points_earned", "7000000000001")
    found = await process.http.post(
        "/frontend/email/addresses/find", headers=OWNER, json={"email": "anna@shop.example"}
    )
    assert found.json() == {"unsubscribed": False, "bounced": True, "complained": False}
    other = await process.http.get("/frontend/email/messages", headers={"Authorization": "Bearer brew-owner"})
    assert other.json()["messages"] == []
    events = [each async for each in process.runtime.bus.read_all(EmailEventCreated.topic)]
    assert len(events) == 1
    assert all(b"anna@shop.example" not in each.payload for each in events)


async def test_the_link_in_a_mail(process: Process) -> None:
    test = "/frontend/email/templates/points_earned/email/fr"
    person = bodies.customer(7, email="ben@shop.example")
    await process.deliver("customers/create", person)
    paid = bodies.order(customer=person, financial_status="paid", processed_at=datetime.now(UTC).isoformat())
    await process.deliver("orders/paid", paid)
    ((_, message),) = await process.messages(1)
    token, http = token_in(message), process.http
    page = await http.get(f"/email/unsubscribe/{token}")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert f'action="/email/unsubscribe/{token}"' in page.text
    assert "Do you want no more e-mail" in page.text
    again = await http.get(f"/email/unsubscribe/{token}")
    assert "Do you want no more e-mail" in again.text  # asking changed nothing
    for _ in range(2):
        done = await http.post(f"/email/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200
        assert "You are unsubscribed" in done.text
    assert f'action="/email/resubscribe/{token}"' in (await http.get(f"/email/unsubscribe/{token}")).text
    await process.deliver("orders/paid", {**paid, "id": 99, "processed_at": datetime.now(UTC).isoformat()})
    assert (await process.shown("suppressed"))["reason"] == "unsubscribed"
    back = await http.post(f"/email/resubscribe/{token}")
    assert "You are subscribed" in back.text
    for path in ("/email/unsubscribe/x", f"/email/unsubscribe/{token[:-4]}AAAA", f"/email/resubscribe/{token}x"):
        assert (await http.post(path)).status_code == 404
    assert (await http.get("/email/unsubscribe/%3Cscript%3E")).status_code == 422
    assert (await http.post(test + "/test", json={"to": "x@y.example"})).status_code == 401


async def test_the_dashboards_routes(process: Process) -> None:
    http, one = process.http, "/frontend/email/templates/points_earned/email/fr"

    async def ask(method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = await http.request(method, path, headers=more.pop("headers", OWNER), **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    events = await ask("GET", "/frontend/email/events")
    assert len(events["events"]) == 8
    assert events["languages"] == ["en", "de", "fr", "es", "ja"]
    own = {"subject": "Merci", "text": "{{ unsubscribe_url }}", "html": '{% extends "layout.html" %}'}
    made = await ask("POST", "/frontend/email/templates", json={"event": "points_earned", "language": "fr", **own})
    assert (made["version"], made["is_default"]) == (1, False)
    await ask("POST", "/frontend/email/templates", 409, json={"event": "points_earned", "language": "fr", **own})
    assert (await ask("PUT", one, json={"expected_version": 1, **own, "subject": "Salut"}))["version"] == 2
    assert (await ask("GET", one))["subject"] == "Salut"
    assert (await ask("POST", f"{one}/restore", json={"version": 1}))["subject"] == "Merci"
    assert len((await ask("GET", f"{one}/versions"))["versions"]) == 3
    assert (await ask("POST", f"{one}/preview", json={}))["subject"] == "Merci"
    wrong = await ask("POST", f"{one}/preview", 400, json={**own, "text": "\n{{ x }}"})
    assert "text line 2: there is no variable 'x'" in wrong["detail"]
    await ask("POST", f"{one}/test", json={"to": "me@x.example"})
    assert (await process.messages(1))[0][1].subject == "Merci"
    assert (await ask("DELETE", one))["is_default"] is True
    assert len((await ask("GET", "/frontend/email/templates"))["templates"]) == 45
    settings = await ask("GET", "/frontend/email/settings")
    assert settings["shop_name"] == "Acme"
    changed = {**settings, "daily_cap": 5, "disabled": ["joining"]}
    saved = await ask("PUT", "/frontend/email/settings", json=changed)
    assert (saved["version"], saved["daily_cap"], saved["disabled"]) == (2, 5, ["joining"])
    await ask("PUT", "/frontend/email/settings", 409, json=changed)
    assert len((await ask("GET", "/frontend/email/settings/versions"))["versions"]) == 2
    await ask("PUT", "/frontend/email/settings", 422, json={**changed, "daily_cap": 0})
    await ask("GET", "/frontend/email/messages?status=lost", 400)
    await ask("GET", "/frontend/email/messages/x", 400)
    await ask("GET", f"/frontend/email/messages/{new_id()}", 404)
    await ask("GET", "/frontend/email/templates/nothing/email/fr", 404)
    await ask("GET", "/frontend/email/templates/points_earned/email/..", 404)
    support = {"Authorization": "Bearer acme-support"}
    await ask("PUT", "/frontend/email/settings", 403, json=changed, headers=support)
    await ask("POST", "/frontend/email/addresses/clear-bounce", 404, json={"email": "a@b.example"})
    await ask("POST", "/email/providers/nobody", 404, content=b"{}")
    await ask("POST", "/email/providers/mailgun", 401, content=mailgun_body("x", "1", "t", datetime.now(UTC), "bad"))
    await ask("POST", "/email/providers/mailgun", content=mailgun_body("x", "1", "t", datetime.now(UTC)))
    await ask("POST", "/email/providers/resend", 413, content=b"x" * 300_000)
    document = (await http.get("/openapi.json")).json()
    assert "/email/unsubscribe/{token}" in document["paths"]
