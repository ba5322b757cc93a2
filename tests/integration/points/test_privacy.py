"""Privacy requests: a redacted customer's numbers stay where they were, and nothing says whose they are."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from fixtures.privacy import asked, exported
from integration.points.mortal import killed_before_each_statement
from integration.points.support import Points, delivery, new_number, order, refund, segment, until_applied
from loyalnest.campaign.events import TierChanged
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import PreconditionFailed, Unavailable
from loyalnest.kit.events import new_id
from loyalnest.kit.pseudonymising import CUSTOMERS
from loyalnest.points.discounts import Issued, Refused
from loyalnest.points.privacy_repository import LEDGER
from loyalnest.referrals.events import ReferralCompleted

ANNA = 7_770_001_110_777
"""An id that nothing else in a row happens to contain."""


async def live(points: Points, merchant_id: str = "acme", customer_id: int = ANNA) -> int:
    """Give a customer rows in every table that knows customers. Returns the number of an order of 1000."""
    number = new_number()
    key = f"{customer_id} {number}"
    change = TierChanged(customer_id=customer_id, tier="Gold", multiplier=Decimal(2), changed_at=points.clock())
    await points.apply(
        delivery(merchant_id, customer_id=customer_id, topic="customers/create"),
        delivery(merchant_id, order=order(number, customer_id, "1000")),
        delivery(merchant_id, order=order(new_number(), customer_id, "0.50")),
    )
    await points.projections.tier_changed([change.event(merchant_id, "1")])
    await points.projections.segment_changed([segment("new", customer_id, merchant_id=merchant_id)])
    referral = ReferralCompleted(
        referral_id=str(number),
        referrer_id=customer_id,
        friend_id=customer_id + 1,
        referrer_points=50,
        friend_points=25,
        completed_at=points.clock(),
    )
    await points.referrals.completed([referral.event(merchant_id, "1")])
    await points.service.adjust(merchant_id, customer_id, 40, "Sorry, Anna", f"goodwill {key}")
    answers: list[Issued | Refused | Exception] = [
        Issued(by="shopify", discount_id=f"gid {customer_id}"),
        Refused(f"no {customer_id}"),
        Unavailable("away"),
    ]
    for name, answer in zip(("issued", "refused", "held"), answers, strict=True):
        points.issuer.answers = [answer]
        await points.redemptions.redeem(merchant_id, customer_id, "five-off", f"{name} {key}")
    return number


async def rows_with(points: Points, text: object, merchant_id: str = "acme") -> set[str]:
    """Tables with a row that contains `text`. Events wait in the outbox for the bus, which forgets them by itself."""
    names = await points.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'points' AND tablename <> 'outbox'")
    found = set()
    for (name,) in names:
        if name == "alembic_version":
            continue
        query = f"SELECT count(*) FROM points.{name} t WHERE t.merchant_id = $1 AND t::text LIKE '%' || $2 || '%'"
        if (await points.sql(query, merchant_id, str(text)))[0][0]:
            found.add(name)
    return found


async def totals(points: Points, merchant_id: str = "acme") -> Any:
    return await points.service.totals(merchant_id)


async def pseudonyms(points: Points, merchant_id: str = "acme") -> list[int]:
    rows = await points.sql(
        "SELECT customer_id FROM points.balances WHERE merchant_id = $1 AND customer_id < 0 ORDER BY 1", merchant_id
    )
    return [row["customer_id"] for row in rows]


async def test_nothing_says_whose_the_numbers_are(points: Points) -> None:
    await points.add_merchant("globex")
    for merchant_id in ("acme", "globex"):
        await live(points, merchant_id)
    known = {
        "points_transactions", "ledger_entries", "lots", "balances", "order_awards", "reward_redemptions",
        "customer_tiers", "customer_segments",
    }  # fmt: skip
    assert await rows_with(points, ANNA) == known
    before, friend = await totals(points), await points.balances("acme", ANNA + 1)
    held = await points.sql("SELECT code FROM points.reward_redemptions WHERE merchant_id = 'acme' AND status = 'held'")
    (confirmed,) = await points.ask(asked("customer_redact", ANNA, "acme"))

    assert await rows_with(points, ANNA) == set()
    assert await rows_with(points, "Anna") == set()
    assert await rows_with(points, "LOYAL-") == {"reward_redemptions"}
    assert held == await points.sql(
        "SELECT code FROM points.reward_redemptions WHERE merchant_id = 'acme' AND code LIKE 'LOYAL-%'"
    )
    assert await totals(points) == before
    assert await points.problems() == []
    assert await points.balances("acme", ANNA + 1) == friend
    assert len(await pseudonyms(points)) == 1
    assert (confirmed.service, confirmed.sealed) == ("points", b"")
    assert confirmed.counts.items() >= {"balances": 1, "orders": 2, "redemptions": 3, "codes": 2, "tiers": 1}.items()
    assert await rows_with(points, ANNA, "globex") == known
    assert await points.problems("globex") == []


async def test_refunds_find_the_award_and_later_orders_begin_a_new_member(points: Points) -> None:
    number = await live(points)
    before = await totals(points)
    await points.ask(asked("customer_redact", ANNA, "acme"))
    (pseudonym,) = await pseudonyms(points)
    await points.apply(
        delivery(refund=refund(1, number, "100")),
        delivery(order=order(number, ANNA, "1000", refunds=[refund(1, number, "100"), refund(2, number, "50")])),
    )
    assert await rows_with(points, ANNA) == set()
    assert (await totals(points)).lifetime_earned == before.lifetime_earned - 150
    assert [each["customer_id"] for each in await points.told("points.clawed_back")] == [pseudonym]

    await points.apply(delivery(order=order(new_number(), ANNA, "30")))
    assert await points.balances("acme", ANNA) == (30, 0, 0, 0), "neither the old points nor the old tier"
    await points.ask(asked("customer_redact", ANNA, "acme"))
    assert len(await pseudonyms(points)) == 2
    assert await rows_with(points, ANNA) == set()
    assert await points.problems() == []


async def test_what_is_under_way_ends_under_the_pseudonym(points: Points) -> None:
    await live(points)
    await points.ask(asked("customer_redact", ANNA, "acme"))
    points.issuer.answers = [Issued(by="shopify", discount_id="gid")]
    asked_before = len(points.issuer.asked)
    points.clock.advance(minutes=5)
    assert await points.redemptions.finish_left_held() == 1
    assert points.issuer.asked[asked_before].code.startswith("LOYAL-"), "asking under another code would make two"
    assert await rows_with(points, "LOYAL-") == set()
    assert await rows_with(points, "gid") == set()
    rows, _ = await points.redemptions.list_for("acme", 0, 10, "")
    assert sorted(each.status for each in rows) == ["issued", "issued", "refused"]
    before = await totals(points)
    for each in rows:
        if each.status == "issued":
            await points.redemptions.cancel("acme", each.redemption_id, "asked by the shop")
    assert (await totals(points)).available == before.available + 200
    points.clock.advance(days=5000)
    await points.jobs.expire()
    assert await points.problems() == []


async def test_a_request_is_done_once_and_an_unknown_customer_is_confirmed(points: Points) -> None:
    request_id = new_id()
    event = asked("customer_redact", ANNA, "acme", request_id)
    (confirmed,) = await points.ask(event, event)
    assert set(confirmed.counts.values()) == {0}
    await points.earn(10, ANNA)
    assert len(await points.ask(event, asked("customer_redact", ANNA, "acme", request_id))) == 1
    assert await points.balances("acme", ANNA) == (10, 0, 0, 0)


async def test_a_shop_that_is_killed_anywhere_is_redacted_whole(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.kit.pseudonymising.CHUNK", 2)
    await points.add_merchant("globex")
    await live(points, "globex")
    others = await points.sql("SELECT * FROM points.points_transactions WHERE merchant_id = 'globex' ORDER BY 2")
    shops = partly = 0
    async for victim in killed_before_each_statement(points):
        shops += 1
        for customer_id in range(1, 4):
            await points.apply(delivery(order=order(new_number(), customer_id, "10")))
        await points.apply(delivery(order=order(new_number(), 4, "0.10")))  # no points, so no balance
        before, request = await totals(points), asked("shop_redact", None, "acme")
        await victim.run(lambda: victim.privacy.handle([request]))  # noqa: B023 - run at once
        partly += 0 < len([n for n in range(1, 4) if (await points.balances("acme", n))[0]]) < 3
        assert await points.problems() == []
        confirmed = (await points.ask(request))[-1]
        assert (confirmed.counts["balances"], confirmed.counts["orders"]) == (3, 4)
        assert await totals(points) == before
        assert len(await pseudonyms(points)) == 3 * shops
    assert len(await points.told("gdpr_request.confirmed")) == shops
    assert partly > 4, "no kill fell between two chunks"
    left = await points.sql("SELECT FROM points.order_awards WHERE merchant_id = 'acme' AND customer_id > 0")
    assert left == []
    assert (
        await points.sql("SELECT * FROM points.points_transactions WHERE merchant_id = 'globex' ORDER BY 2") == others
    )


async def test_redactions_among_all_that_happens_break_nothing(points: Points) -> None:
    await points.add_merchant("globex")
    orders = {customer_id: [await points.earn(300, customer_id) for _ in range(4)] for customer_id in (1, 2, 3)}

    async def deliver(customer_id: int) -> None:
        for number in orders[customer_id]:
            await points.apply(
                delivery(order=order(new_number(), customer_id, "7")), delivery(refund=refund(number, number, "10"))
            )

    async def redeem(customer_id: int) -> None:
        for attempt in range(4):
            # Too few points, or the redaction was quicker.
            with suppress(PreconditionFailed, *OUTAGES):
                await points.redemptions.redeem("acme", customer_id, "five-off", f"{customer_id} {attempt}")

    async def redact(customer_id: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0.01)
            await until_applied(points.privacy.handle, [asked("customer_redact", customer_id, "acme")])

    await asyncio.gather(*(work(customer_id) for customer_id in (1, 2, 3) for work in (deliver, redeem, redact)))
    assert await points.problems() == []
    found = await totals(points)
    assert found.lifetime_earned == 3 * 4 * (300 + 7 - 10)
    assert found.orders == 24


async def test_what_another_commits_meanwhile_is_not_redacted_by_half(points: Points) -> None:
    # An order without points makes no balance, so there is no row at which the two could wait for each other.
    await points.apply(delivery(order=order(1, ANNA, "0.10")))
    pause = f"SELECT pg_advisory_xact_lock(1) FROM {CUSTOMERS} WHERE $1 <> ''"
    slow = replace(LEDGER, changes={"orders": LEDGER.changes["orders"], "pause": pause, **LEDGER.changes})
    points.privacy._keeper = slow
    async with points.database.session() as session:
        await session.execute("SELECT pg_advisory_lock(1)")
        redacting = asyncio.create_task(points.ask(asked("customer_redact", ANNA, "acme")))
        while not await session.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):  # noqa: ASYNC110 - tells nobody
            await asyncio.sleep(0.01)
        await points.apply(delivery(order=order(2, ANNA, "100", refunds=[refund(1, 2, "10")])))
        await session.execute("SELECT pg_advisory_unlock(1)")
    await redacting
    assert await points.problems() == []
    assert await points.balances("acme", ANNA) == (90, 0, 0, 0)
    orders = await points.sql("SELECT order_id FROM points.order_awards WHERE customer_id < 0")
    assert [row["order_id"] for row in orders] == [1]


async def test_an_export_says_everything_and_leaves_sealed(points: Points) -> None:
    number = await live(points)
    await points.earn(5, ANNA + 2)
    confirmed = await points.ask(asked("customer_data", ANNA, "acme"), asked("customer_data", 12345, "acme"))
    assert (confirmed[1].sealed, set(confirmed[1].counts.values())) == (b"", {0})
    assert str(ANNA).encode() not in confirmed[0].sealed
    assert points.keys is not None
    document = exported(await points.keys.for_merchant("acme"), confirmed[:1])
    assert (document["service"], document["customer_id"]) == ("points", str(ANNA))
    assert [each["available"] for each in document["balances"]] == [(await points.balances("acme", ANNA))[0]]
    assert number in [each["order_id"] for each in document["orders"]]
    assert sorted(each["status"] for each in document["redemptions"]) == ["held", "issued", "refused"]
    assert "Sorry, Anna" in [each["note"] for each in document["transactions"]]
    assert [each["tier"] for each in document["tiers"]] == ["Gold"]
    assert sum(each["amount"] for each in document["entries"]) == 0
    assert confirmed[0].counts == {name: len(rows) for name, rows in document.items() if isinstance(rows, list)}
    everyone = {each["customer_id"] for rows in document.values() if isinstance(rows, list) for each in rows}
    assert everyone == {ANNA}


async def test_the_ledger_stays_append_only_but_for_whose_it_is(points: Points) -> None:
    await points.earn(5)
    for statement in (
        "UPDATE points.ledger_entries SET amount = 1",
        "UPDATE points.points_transactions SET points = 1",
        "UPDATE points.points_transactions SET order_id = 1",
        "DELETE FROM points.ledger_entries",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with points.database.worker() as connection:
                await connection.execute(statement)
    for statement in (
        "UPDATE points.ledger_entries SET customer_id = -1",
        "UPDATE points.points_transactions SET customer_id = -1",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with points.database.request("acme") as connection:
                await connection.execute(statement)
