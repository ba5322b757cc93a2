"""GDPR requests through the whole platform in one process: from Shopify's delivery to the last confirmation."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from integration.admin_core.platform import GDPR_TOPICS, Platform, running
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.discovery import discover
from loyalnest.kit.errors import NotFound
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub
from shopify import bodies
from shopify.server import GLOBEX

ANNA = 7_770_001_110_777
BEN = 7_770_001_110_888
PLANTED = ("annaplanted", "anna.planted@", "30555010077", "plantedstr")
PARTICIPANTS = sorted(name for name, each in discover().items() if "gdpr_request.created" in each.consumes)


@pytest.fixture
def purposes(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every purpose that something is sealed for while the test runs."""
    found: set[str] = set()
    seal = MerchantKeys.seal

    def noted(keys: MerchantKeys, purpose: str, plaintext: bytes) -> bytes:
        found.add(purpose)
        return seal(keys, purpose, plaintext)

    monkeypatch.setattr(MerchantKeys, "seal", noted)
    return found


async def live(platform: Platform, customer_id: int = ANNA, shop: str = "acme.myshopify.com") -> None:
    """Let a customer with personal data come, buy, and be written about."""
    planted: dict[str, Any] = {
        "first_name": "Annaplanted",
        "email": "anna.planted@example.com",
        "phone": "+4930555010077",
        "addresses": [bodies.address() | {"address1": "Plantedstr. 7"}],
        "created_at": "2026-10-01T10:00:00Z",
    }
    person = bodies.customer(customer_id, **planted)
    await platform.deliver("customers/create", person, shop)
    await platform.deliver("orders/paid", bodies.order(customer=person), shop)
    await platform.settled()
    merchant = shop.partition(".")[0]
    await platform.call(
        "POST",
        "/frontend/points/adjust",
        merchant=merchant,
        json={"customer_id": str(customer_id), "points": 5, "reason": "Sorry, Annaplanted"},
        headers={"Idempotency-Key": f"for {customer_id}"},
    )
    await platform.settled()


async def found_in(
    platform: Platform, keys: MerchantKeys | None, purposes: set[str], merchant: str = "acme"
) -> set[str]:
    """The services' tables with a row of the merchant in which planted data is, in the clear or sealed."""
    tables = await platform.sql(
        """
        SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY($1::text[]) AND c.relkind = 'r' AND c.relname <> 'alembic_version'
        """,
        list(discover()),
    )
    return {
        table
        for (table,) in tables
        for row in await platform.sql(f"SELECT t.* FROM {table} t WHERE t.merchant_id = $1", merchant)
        if any(
            planted in text.lower()
            for value in row.values()
            for text in _texts(value, keys, purposes)
            for planted in PLANTED
        )
    }


def _texts(value: Any, keys: MerchantKeys | None, purposes: set[str]) -> Iterator[str]:
    """What a value says: as text, and as bytes opened for whatever it may have been sealed for."""
    yield str(value)
    if not isinstance(value, bytes):
        return
    yield value.decode("latin-1")
    with contextlib.suppress(ValueError):
        yield base64.b64decode(value, validate=True).decode("latin-1")
    for purpose in purposes if keys is not None else ():
        with contextlib.suppress(SealError):
            yield keys.open(purpose, value).decode("latin-1")  # type: ignore[union-attr]


async def verified(platform: Platform, merchant: str = "acme") -> None:
    """The audit log's chain and the ledger are whole."""
    with as_merchant(merchant):
        points = PointsServiceStub(platform.runtime.channel("points"))
        assert not (await points.VerifyLedger(points_pb2.VerifyLedgerRequest())).problems
    assert (await platform.call("GET", "/frontend/audit/verification", merchant=merchant))["problems"] == []


async def actions(platform: Platform, prefix: str = "gdpr.") -> list[str]:
    """What the audit log says of requests, oldest first."""
    rows = await platform.sql(
        """
        SELECT action FROM admin_core.audit_logs
        WHERE merchant_id = 'acme' AND action LIKE $1 || '%' ORDER BY sequence
        """,
        prefix,
    )
    return [row["action"] for row in rows]


async def test_nothing_of_a_redacted_customer_is_left(platform: Platform, purposes: set[str]) -> None:
    await live(platform)
    await live(platform, ANNA, GLOBEX)
    keys = await platform.keys()
    assert {"core.customers"} <= await found_in(platform, keys, purposes)
    (entry,) = (await platform.call("GET", f"/frontend/audit?subject=customer:{ANNA}"))["entries"]
    assert (entry["action"], entry["after"]["reason"]) == ("points.adjusted", "Sorry, Annaplanted")

    await platform.ask_for("customers/redact", ANNA)
    await platform.settled()
    assert [row["status"] for row in await platform.requests()] == ["completed"]
    assert await found_in(platform, keys, purposes) == set()
    assert "core.customers" in await found_in(platform, await platform.keys("globex"), purposes, "globex")
    assert (await platform.call("GET", f"/frontend/audit?subject=customer:{ANNA}"))["entries"] == []
    shown = (await platform.call("GET", "/frontend/audit?action=points.adjusted"))["entries"]
    assert [(each["redacted"], each["before"], each["after"]) for each in shown] == [(True, {}, {})]
    await verified(platform)
    await verified(platform, "globex")

    order = await actions(platform)
    assert (order[0], order[-1]) == ("gdpr.requested", "gdpr.completed")
    assert order[1:-1] == ["gdpr.confirmed"] * len(PARTICIPANTS)
    confirmed = await platform.sql(
        "SELECT service FROM admin_core.gdpr_confirmations WHERE confirmed_at IS NOT NULL ORDER BY service"
    )
    assert [row["service"] for row in confirmed] == PARTICIPANTS
    created, answers, completed = [await platform.events(topic) for topic in GDPR_TOPICS]
    assert (len(created), len(answers), len(completed)) == (1, len(PARTICIPANTS), 1)
    assert created[0].occurred_at <= min(each.occurred_at for each in answers) <= completed[0].occurred_at


async def test_an_export_has_what_every_service_holds_until_it_is_deleted(platform: Platform) -> None:
    await live(platform)
    await platform.ask_for("customers/data_request", ANNA)
    await platform.settled()
    (request,) = (await platform.call("GET", "/frontend/gdpr/requests?kind=customer_data"))["requests"]
    assert (request["status"], request["customer_id"], request["source"]) == ("completed", str(ANNA), "shopify")
    path = f"/frontend/gdpr/requests/{request['request_id']}"
    detail = await platform.call("GET", path, role="staff")
    assert [each["service"] for each in detail["confirmations"] if each["confirmed"]] == PARTICIPANTS

    document = await platform.call("GET", f"{path}/export?reason=She+asked")
    assert (document["customer_id"], document["request_id"]) == (str(ANNA), request["request_id"])
    assert document["services"]["core"]["customers"][0]["email"] == "anna.planted@example.com"
    assert document["services"]["points"]["balances"][0]["customer_id"] == ANNA
    assert document["services"]["rfm"]["customer_id"] == str(ANNA)
    assert document["services"]["admin_core"]["audit_entries"][0]["after"]["reason"] == "Sorry, Annaplanted"
    await platform.call("GET", f"{path}/export?reason=She+asked")
    await platform.settled()
    (read,) = (await platform.call("GET", "/frontend/audit?action=gdpr.export_read"))["entries"]
    assert (read["after"], read["role"]) == ({"reason": "She asked", "customer_id": str(ANNA)}, "owner")

    refusals = ((f"{path}/export", "owner", 422), (f"{path}/export?reason=x", "staff", 403), (f"{path}x", "owner", 400))
    for where, role, status in refusals:
        headers = {"Authorization": f"Bearer {await platform.token(role=role)}"}
        assert (await platform.http.get(where, headers=headers)).status_code == status, where
    theirs = {"Authorization": f"Bearer {await platform.token('globex')}"}
    assert (await platform.http.get(f"{path}/export?reason=x", headers=theirs)).status_code == 404
    platform.advance(days=7, minutes=1)
    await platform.job("forget_requests")
    assert await platform.sql("SELECT FROM admin_core.gdpr_export_parts") == []
    headers = {"Authorization": f"Bearer {await platform.token()}"}
    gone = await platform.http.get(f"{path}/export?reason=x", headers=headers)
    assert (gone.status_code, "another request" in gone.json()["detail"]) == (422, True)
    assert (await platform.call("GET", path))["customer_id"] is None


async def test_a_service_that_is_down_is_waited_for(stopped: Platform, purposes: set[str]) -> None:
    async with running(stopped) as platform:
        await live(platform)
        keys = await platform.keys()
    async with running(stopped, without=["points"]) as platform:
        await platform.ask_for("customers/data_request", ANNA)
        await platform.ask_for("customers/redact", ANNA)
        await platform.ask_for("customers/redact", BEN)
        await platform.settled()
        assert {row["status"] for row in await platform.requests()} == {"open", "cancelled"}
        shown = (await platform.call("GET", "/frontend/gdpr/requests?status=open"))["requests"]
        detail = await platform.call("GET", f"/frontend/gdpr/requests/{shown[0]['request_id']}")
        assert [each["service"] for each in detail["confirmations"] if not each["confirmed"]] == ["points"]
        assert await platform.job("advance_requests") == 0
        platform.advance(hours=7)
        assert await platform.job("advance_requests") > 0
        await platform.settled()
    async with running(stopped) as platform:
        await platform.settled()
        assert [row["status"] for row in await platform.requests()] == ["cancelled", "completed", "completed"]
        assert await found_in(platform, keys, purposes) == set()
        await verified(platform)


async def test_an_admin_asks_over_http(platform: Platform) -> None:
    await live(platform)
    body = {"kind": "customer_redact", "customer_id": str(ANNA), "reason": "She wrote to us"}
    again = [
        await platform.call("POST", "/frontend/gdpr/requests", json=body, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert again[0]["request_id"] == again[1]["request_id"]
    assert (again[0]["reason"], again[0]["source"], len(again[0]["confirmations"])) == (
        "She wrote to us",
        "admin",
        len(PARTICIPANTS),
    )
    await platform.settled()
    assert [row["status"] for row in await platform.requests()] == ["completed"]
    owner, staff = [{"Authorization": f"Bearer {await platform.token(role=role)}"} for role in ("owner", "staff")]
    key = {"Idempotency-Key": "k"}
    bad: list[tuple[dict[str, Any], dict[str, str], int]] = [
        (body | {"kind": "customer_data"}, owner | key, 409),
        (body, owner, 422),
        (body, staff | key, 403),
        (body | {"kind": "shop_redact"}, owner | key, 422),
        (body | {"reason": " "}, owner | key, 422),
        (body | {"customer_id": "0"}, owner | key, 422),
    ]
    for wrong, headers, status in bad:
        assert (await platform.http.post("/frontend/gdpr/requests", json=wrong, headers=headers)).status_code == status


async def test_a_shop_that_comes_back_within_two_days_is_not_redacted(platform: Platform) -> None:
    await live(platform)
    await platform.come_back()
    await platform.settled()
    platform.advance(hours=1)
    await platform.leave()
    await platform.settled()
    assert await platform.status() == "uninstalled"
    assert [row["status"] for row in await platform.requests()] == ["scheduled"]
    platform.advance(hours=47)
    assert await platform.job("advance_requests") == 0
    await platform.come_back()
    await platform.settled()
    assert [row["status"] for row in await platform.requests()] == ["cancelled"]
    assert await platform.status() == "active"
    platform.advance(hours=2)
    await platform.job("advance_requests")
    await platform.deliver("shop/redact", {"shop_id": 954889, "shop_domain": "acme.myshopify.com"})
    await platform.settled()
    assert [row["status"] for row in await platform.requests()] == ["cancelled", "refused"]
    assert "came" in (await platform.requests())[1]["reason"] or "again" in (await platform.requests())[1]["reason"]
    assert (await platform.call("GET", f"/frontend/customers/{ANNA}"))["email"] == "anna.planted@example.com"
    await verified(platform)


async def test_a_shop_that_stays_away_is_redacted_and_its_keys_are_destroyed(
    platform: Platform, purposes: set[str]
) -> None:
    await live(platform)
    await live(platform, ANNA, GLOBEX)
    token = await platform.come_back()
    await platform.ask_for("customers/data_request", ANNA)
    await platform.settled()
    keys = await platform.keys()
    platform.advance(hours=1)
    await platform.leave()
    await platform.settled()
    assert (await platform.http.get("/auth/session", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    platform.advance(hours=48, minutes=1)
    assert await platform.job("advance_requests") > 0
    await platform.deliver("shop/redact", {"shop_id": 954889, "shop_domain": "acme.myshopify.com"})
    await platform.settled()

    assert [(row["kind"], row["status"]) for row in await platform.requests()] == [
        ("customer_data", "completed"),
        ("shop_redact", "completed"),
    ]
    with pytest.raises(NotFound):
        await platform.keys()
    assert await found_in(platform, keys, purposes) == set()
    for table in ("admin_users", "admin_sessions", "shop_tokens"):
        assert await platform.sql(f"SELECT FROM auth.{table} WHERE merchant_id = 'acme'") == []
    assert await platform.status() == "uninstalled"
    assert "keys.destroyed" in await actions(platform, "keys.")
    order = [each.topic for topic in GDPR_TOPICS for each in await platform.events(topic) if each.merchant_id == "acme"]
    assert order.count("gdpr_request.completed") == 2
    assert (await platform.call("GET", f"/frontend/customers/{ANNA}", merchant="globex"))["first_name"] == "Annaplanted"

    # Shopify repeats itself, which changes nothing; and then the shop comes back as a new one.
    await platform.deliver("shop/redact", {"shop_id": 954889, "shop_domain": "acme.myshopify.com"})
    early = await platform.http.post("/auth/token", json={"session_token": platform.shopify.session_token()})
    assert (early.status_code, "few minutes" in early.json()["detail"]) == (422, True)
    platform.advance(minutes=5)
    await platform.come_back()
    await live(platform)
    assert len(await platform.requests()) == 2
    assert (await platform.keys()).current.version == keys.current.version + 1
    assert (await platform.call("GET", f"/frontend/customers/{ANNA}"))["first_name"] == "Annaplanted"
    await verified(platform)
