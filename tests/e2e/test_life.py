"""A merchant's life with LoyalNest, from the first import to the day the app is uninstalled, as one story.

What must come out is computed here from the orders alone: floor(10 × what was paid and not given back) points each.
"""

import asyncio
import email
import email.policy
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from e2e.platform import EmbeddedPlatform, eventually
from loyalnest.kit.embedded.stores import DATABASE, EmbeddedStores
from shopify.bodies import Body, address, customer, line, line_total, new_id, order, refund

IMPORTED, BUYERS, ORDERS = 3000, 80, 400
PLANTED = "planted.nora@example.com"
THRESHOLDS = (("Gold", 5000), ("Silver", 1000), ("Bronze", 0))
MARKS = ["bus.events", "core.customers", "event_tracking.recipients", "referrals.buyers"]
PATIENCE = 180.0


@dataclass
class Year:
    """What was bought and what of it stayed bought, by customer."""

    net: dict[int, list[Decimal]] = field(default_factory=dict)

    def points(self, customer_id: int) -> int:
        return sum(int(base * 10) for base in self.net[customer_id])

    def tiers(self) -> "Counter[str]":
        return Counter(tier_of(self.points(each)) for each in self.net)


def tier_of(points: int) -> str:
    return next(name for name, threshold in THRESHOLDS if points >= threshold)


@pytest.fixture(scope="module")
def shop(server_folder: Path) -> Iterator[EmbeddedPlatform]:
    folder = server_folder / "life"
    folder.mkdir()
    platform = EmbeddedPlatform(folder, Path(__file__).parent / "life")
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


def post(shop: EmbeddedPlatform, path: str, body: dict[str, Any]) -> Any:
    """The answer to an owner's POST, which must succeed."""
    answer = shop.call("acme", "POST", path, json=body, headers={"Idempotency-Key": f"life-{new_id()}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def person(name: str, email: str) -> Body:
    """A customer of today who shares neither address nor phone number with others."""
    home = address(address1=f"1 {name} Street", phone=None, name=name)
    now = datetime.now(UTC).isoformat()
    own = {"addresses": [home], "default_address": home, "created_at": now, "updated_at": now}
    return customer(phone=None) | own | {"email": email, "first_name": name}


def bought(by: Body, *lines: Body, at: datetime | None = None, **changes: Any) -> Body:
    """An order of somebody, sent to their own address."""
    home = by["default_address"]
    own = {"billing_address": home, "shipping_address": home, "customer": by, "created_at": at or datetime.now(UTC)}
    return order(lines=lines, **{**own, **changes})


def imported(shop: EmbeddedPlatform) -> list[Body]:
    """Customers by CSV, with three rows that are wrong. Returns those who will buy."""
    people = [customer(email=f"imported{number}@example.com", phone=None) for number in range(IMPORTED)]
    rows = [f"{each['id']},{each['email']},Ima,Ported,{'yes' if n % 2 else 'no'}" for n, each in enumerate(people)]
    rows += ["not-a-number,x@example.com,A,B,yes", f"{new_id()},not-an-address,A,B,yes", ",y@example.com,A,B,no"]
    content = "\n".join(["customer_id,email,first_name,last_name,accepts_marketing", *rows, ""]).encode()
    for created, unchanged in ((IMPORTED, 0), (0, IMPORTED)):
        answer = shop.call(
            "acme", "POST", "/frontend/customers/import", content=content, headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code == 200, answer.text
        report = answer.json()
        assert report["status"] == "completed"
        assert [report[name] for name in ("created", "unchanged", "rejected")] == [created, unchanged, 3]
    counts = shop.get("acme", "/frontend/customers/counts")
    assert (counts["customers"], counts["accepting_marketing"]) == (IMPORTED, IMPORTED // 2)
    return people[:BUYERS]


def year_of_orders(shop: EmbeddedPlatform, buyers: list[Body]) -> Year:
    """Orders of a year, a fifth of which are given back in part or whole; sent in no order of time."""
    chance, year = random.Random(20261), Year({each["id"]: [] for each in buyers})
    for number in range(ORDERS):
        who = chance.choice(buyers)
        prices = [Decimal(chance.randrange(199, 9999)) / 100 for _ in range(chance.randint(1, 3))]
        lines = [line(price=price, quantity=chance.randint(1, 3)) for price in prices]
        made = bought(
            who | {"default_address": address()}, *lines, at=datetime.now(UTC) - timedelta(days=chance.randint(5, 364))
        )
        net = sum((line_total(each) for each in lines), Decimal(0))
        shop.accept("acme", "orders/create", made)
        if number % 10 == 0:
            shop.accept("acme", "refunds/create", refund(made))
            net = Decimal(0)
        elif number % 10 == 5:
            shop.accept("acme", "refunds/create", refund(made, {lines[0]["id"]: 1}))
            net -= Decimal(lines[0]["price"])
        year.net[who["id"]].append(net)
    return year


def expect_year(shop: EmbeddedPlatform, year: Year) -> None:
    """Every balance, every tier and the revenue are what the orders say."""
    wanted = sum(map(year.points, year.net))

    def summed() -> None:
        totals = shop.get("acme", "/frontend/points/totals")
        assert (totals["orders"], totals["lifetime_earned"], totals["available"]) == (ORDERS, wanted, wanted)

    eventually(summed, seconds=PATIENCE)
    for customer_id in year.net:
        assert shop.points("acme", customer_id)["available"] == year.points(customer_id)

    def in_tiers() -> None:
        tiers = shop.get("acme", "/frontend/tiers")["tiers"]
        reached = year.tiers() + Counter(Bronze=IMPORTED - BUYERS)
        assert {each["name"]: each["members"] for each in tiers} == dict(reached)

    eventually(in_tiers, seconds=PATIENCE)
    assert shop.command("acme", "rfm", "refresh", "acme").returncode == 0
    segments = shop.get("acme", "/frontend/segments")["segments"]
    revenue = sum((Decimal(each["revenue"]) for each in segments), Decimal(0))
    assert revenue == sum((sum(bases, Decimal(0)) for bases in year.net.values()), Decimal(0))


def expect_points(shop: EmbeddedPlatform, wanted: dict[int, int]) -> None:
    def reached() -> None:
        assert {each: shop.points("acme", each)["available"] for each in wanted} == wanted

    eventually(reached, seconds=PATIENCE)


def refer(shop: EmbeddedPlatform, referrer: Body, before: int) -> None:
    """A friend comes by the link, which pays both, and gives everything back, which takes it from both."""
    friend = person("Friend", "friend@example.com")
    link = post(shop, "/frontend/referrals/link", {"customer_id": str(referrer["id"])})
    came = bought(friend, line(price="40.00"), landing_site=f"/?{link['link'].partition('?')[2]}")
    shop.accept("acme", "customers/create", friend)
    shop.accept("acme", "orders/create", came)
    expect_points(shop, {referrer["id"]: before + 500, friend["id"]: 400 + 250})
    shop.accept("acme", "refunds/create", refund(came))
    expect_points(shop, {referrer["id"]: before, friend["id"]: 0})
    [referral] = shop.get("acme", "/frontend/referrals/list")["referrals"]
    assert (referral["status"], referral["friend_id"]) == ("reversed", str(friend["id"]))


def mails_to(shop: EmbeddedPlatform, address: str) -> list[str]:
    """What the file sink holds for an address: subject and text."""
    found = []
    for file in (shop.data / "messages").glob("*.eml"):
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        if mail["To"] == address:
            body = mail.get_body(("plain",))
            found.append(f"{mail['Subject']}\n{body.get_content() if body else ''}")
    return found


def privacy_request(shop: EmbeddedPlatform, kind: str, customer_id: int) -> str:
    """Ask, and wait until every service has confirmed. Returns the request's id."""
    body = {"kind": kind, "customer_id": str(customer_id), "reason": "The customer asked."}
    request_id: str = post(shop, "/frontend/gdpr/requests", body)["request_id"]

    def completed() -> None:
        found = shop.get("acme", f"/frontend/gdpr/requests/{request_id}")
        assert found["status"] == "completed", found
        assert all(each["confirmed"] for each in found["confirmations"])

    eventually(completed, seconds=PATIENCE)
    return request_id


def sql(shop: EmbeddedPlatform, statement: str) -> list[Any]:
    """The rows of a statement on the platform's own database, past all row-level security."""

    async def work() -> list[Any]:
        stores = EmbeddedStores(shop.data)
        stores.attach()
        connection = await asyncpg.connect(stores.postgres.url(DATABASE))
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(work())


def tables_with(shop: EmbeddedPlatform, text: str) -> list[str]:
    """The tables, of whatever schema, that hold a text, be it as bytes."""
    tables = sql(
        shop,
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    assert len(tables) > 100
    wanted = f"(t::text ILIKE '%{text}%' OR t::text LIKE '%{text.encode().hex()}%')"
    each = [
        f"SELECT '{row['name']}' AS name WHERE EXISTS (SELECT FROM {row['name']} t WHERE {wanted})" for row in tables
    ]
    return sorted(row["name"] for row in sql(shop, " UNION ALL ".join(each)))


def test_a_merchants_life(shop: EmbeddedPlatform) -> None:
    now = datetime.now(UTC)
    campaign = post(
        shop,
        "/frontend/campaigns",
        {
            "name": "Three times the points",
            "multiplier": "3",
            "starts_at": (now - timedelta(hours=1)).isoformat(),
            "ends_at": (now + timedelta(days=1)).isoformat(),
            "product_ids": ["424242"],
        },
    )["campaign_id"]
    year = year_of_orders(shop, imported(shop))
    expect_year(shop, year)

    nora = person("Nora", PLANTED)
    nora_id: int = nora["id"]
    shop.accept("acme", "customers/create", nora)
    shop.accept("acme", "orders/create", bought(nora, line(price="60.00", product_id=424242)))
    expect_points(shop, {nora_id: 600 * 3})
    assert shop.get("acme", f"/frontend/campaigns/{campaign}")["spent_points"] == 600 * 2
    refer(shop, nora, before=1800)

    def in_silver_and_told() -> None:
        assert shop.get("acme", f"/frontend/tiers/customers/{nora_id}")["tier"] == "Silver"
        assert any("1,800" in mail for mail in mails_to(shop, PLANTED))

    eventually(in_silver_and_told, seconds=PATIENCE)
    assert not any("imported" in file.read_text() for file in (shop.data / "messages").glob("*.eml"))

    request_id = privacy_request(shop, "customer_data", nora_id)
    path = f"/frontend/gdpr/requests/{request_id}/export"
    exported = shop.call("acme", "GET", path, params={"reason": "To send it to her."})
    assert exported.status_code == 200, exported.text
    assert PLANTED in exported.text
    assert {"core", "points", "admin_features", "campaign"} <= exported.json()["services"].keys()

    before = shop.get("acme", "/frontend/points/totals")
    assert {"points.balances", "campaign.memberships", "rfm.orders"} < set(tables_with(shop, str(nora_id)))
    assert len(shop.get("acme", "/frontend/customers", search=PLANTED)["customers"]) == 1
    privacy_request(shop, "customer_redact", nora_id)
    assert shop.get("acme", "/frontend/customers", search=PLANTED)["customers"] == []
    assert shop.points("acme", nora_id)["available"] == 0
    assert shop.get("acme", "/frontend/points/totals") == before, "under a pseudonym her points still count"
    assert tables_with(shop, PLANTED) == []
    # No search finds what is sealed, so her id, which is in the clear, must be nowhere but in the topics and in the
    # marks by which late deliveries are kept from bringing her back.
    assert tables_with(shop, str(nora_id)) == MARKS
    proof = shop.command("acme", "verify", "acme")
    assert "all proven" in proof.stdout, proof.stdout + proof.stderr
    assert "one chain" in proof.stdout, proof.stdout + proof.stderr
    leave(shop)


def leave(shop: EmbeddedPlatform) -> None:
    """The shop uninstalls: nobody gets in any more, and its redaction is due 48 hours later."""
    left_at = datetime.now(UTC)
    shop.accept("acme", "app/uninstalled", {"id": 954889, "domain": "acme.myshopify.com"})

    def shut() -> None:
        assert shop.call("acme", "GET", "/frontend/points/totals").status_code == 401

    eventually(shut, seconds=PATIENCE)

    def scheduled() -> None:
        [row] = sql(shop, "SELECT status, starts_at FROM admin_core.gdpr_requests WHERE kind = 'shop_redact'")
        assert row["status"] == "scheduled"
        assert abs(row["starts_at"] - left_at - timedelta(hours=48)) < timedelta(minutes=10)

    eventually(scheduled, seconds=PATIENCE)
