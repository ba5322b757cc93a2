"""Privacy requests: a redacted customer's code stops working, their hashes go, and the counts stay."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fixtures import mortal
from fixtures.privacy import asked, exported
from integration.referrals.support import Rig, new_number, order, person, refund, until_applied
from loyalnest.api_gateway.events import CustomerFacts
from loyalnest.kit.crypto.lookup import pseudonym
from loyalnest.kit.errors import PreconditionFailed
from loyalnest.kit.events import new_id
from loyalnest.referrals.service import Fares

ANNA = 7_770_001_110_777
"""An id that nothing else in a row happens to contain."""
HERSELF = person("anna@example.com", "+12175550123", "Main St 1")


async def live(rig: Rig, merchant_id: str = "acme") -> tuple[str, int]:
    """Give Anna rows in every table. Returns her code and the order of a friend of hers that completed."""
    await rig.buy(await rig.code(3, merchant_id), ANNA, merchant_id, person=HERSELF)
    code = await rig.code(ANNA, merchant_id)
    await rig.links.click(merchant_id, code, "sms")
    await rig.sharing.share(merchant_id, ANNA, "email", "friend@example.com")
    await rig.sharing.share(merchant_id, 3, "email", "anna@example.com")
    number = await rig.buy(code, ANNA + 1, merchant_id)
    await rig.buy(code, ANNA + 2, merchant_id, paid=False)
    await rig.buy(code, ANNA + 3, merchant_id, person=person("", "", "Main St 1"))
    assert (await rig.state(ANNA + 3, merchant_id)) == ("held", "same_address")
    return code, number


async def rows_with(rig: Rig, text: object, merchant_id: str = "acme") -> set[str]:
    """Tables with a row that contains `text`. Events wait in the outbox for the bus, which forgets them by itself."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'referrals'"
    names = await rig.sql(f"{tables} AND tablename NOT IN ('outbox', 'alembic_version')")
    query = "SELECT count(*) FROM referrals.{} t WHERE t.merchant_id = $1 AND t::text LIKE '%' || $2 || '%'"
    return {name for (name,) in names if (await rig.sql(query.format(name), merchant_id, str(text)))[0][0]}


def counts(fares: Fares) -> Any:
    return [(each.channel, each.clicks, each.shares, each.conversions) for each in fares.channels]


async def identities(rig: Rig, customer_id: int = ANNA) -> int:
    query = "SELECT 1 FROM referrals.identities WHERE merchant_id = 'acme' AND customer_id = $1"
    return len(await rig.sql(query, customer_id))


async def test_nothing_says_who_it_was_and_the_counts_stay(rig: Rig) -> None:
    await rig.add_merchant("globex")
    for merchant_id in ("acme", "globex"):
        code, _ = await live(rig, merchant_id)
    code = await rig.code(ANNA)
    known = {"referral_codes", "referral_clicks", "referral_shares", "identities", "buyers", "orders", "referrals"}
    assert await rows_with(rig, ANNA) == known
    before = counts(await rig.service.stats("acme", 0))
    request_id = new_id()
    (confirmed,) = await rig.ask(asked("customer_redact", ANNA, "acme", request_id))

    assert await rows_with(rig, ANNA) == {"buyers"}, "but that the customer was redacted"
    assert await rows_with(rig, code) == set()
    assert await identities(rig) == 0
    assert counts(await rig.service.stats("acme", 0)) == before
    found = await rig.service.stats("acme", 0)
    assert found.statuses == {"completed": 2, "refused": 2}
    named = pseudonym((await rig.ring.for_merchant("acme")).index_key, request_id, ANNA)
    assert (await rig.of_friend(ANNA + 1)).referrer_id == (await rig.of_friend(named)).friend_id == named  # type: ignore[union-attr]
    assert [await rig.state(ANNA + each) for each in (2, 3)] == [("refused", "redacted")] * 2
    hashes = await rig.sql("SELECT count(friend_hash) FROM referrals.referral_shares WHERE merchant_id = 'acme'")
    assert hashes[0][0] == 0, "neither hers of friends, nor others' of her"
    assert confirmed.service == "referrals"
    assert confirmed.counts.items() >= {"codes": 1, "identities": 3, "came_by": 1, "referred": 3}.items()
    assert await rows_with(rig, ANNA, "globex") == known


async def test_the_code_stops_working(rig: Rig) -> None:
    code, _ = await live(rig)
    await rig.ask(asked("customer_redact", ANNA, "acme"))
    assert await rig.links.click("acme", code, "") is False
    await rig.buy(code, 55)
    assert await rig.of_friend(55) is None
    assert await rig.code(ANNA) != code


async def test_what_waited_is_not_completed_any_more(rig: Rig) -> None:
    code = await rig.code(ANNA)
    number = await rig.buy(code, 55, paid=False)
    await rig.ask(asked("customer_redact", ANNA, "acme"))
    await rig.buy(code, 55, order_id=number)
    assert await rig.state(55) == ("refused", "redacted")
    assert await rig.told("referral.completed") == []


async def test_a_review_comes_too_late(rig: Rig) -> None:
    await live(rig)
    held = await rig.of_friend(ANNA + 3)
    assert held is not None
    await rig.ask(asked("customer_redact", ANNA, "acme"))
    with pytest.raises(PreconditionFailed):
        await rig.service.review("acme", held.referral_id, approve=True, note="x")


async def test_a_refund_reverses_under_the_pseudonym(rig: Rig) -> None:
    _, number = await live(rig)
    request_id = new_id()
    await rig.ask(asked("customer_redact", ANNA, "acme", request_id))
    await rig.apply(await rig.delivery(refund=refund(number)))
    (told,) = await rig.told("referral.reversed")
    named = pseudonym((await rig.ring.for_merchant("acme")).index_key, request_id, ANNA)
    assert (told["referrer_id"], told["friend_id"]) == (named, ANNA + 1)


async def test_a_late_delivery_brings_no_hash_back_and_a_creation_does(rig: Rig) -> None:
    await live(rig)
    await rig.ask(asked("customer_redact", ANNA, "acme"))

    async def created(at: timedelta) -> None:
        facts = CustomerFacts(customer_id=ANNA, created_at=rig.clock() + at)
        await rig.apply(await rig.delivery(topic="customers/create", customer=facts, person=HERSELF))

    await rig.buy("", ANNA, person=HERSELF)
    await rig.meet(ANNA, HERSELF)
    await created(timedelta(hours=-1))
    assert await identities(rig) == 0
    await created(timedelta(hours=1))
    assert await identities(rig) == 3
    await rig.ask(asked("customer_redact", ANNA, "acme"))
    assert await identities(rig) == 0
    assert await rows_with(rig, ANNA) == {"buyers"}


async def test_a_redaction_and_a_batch_at_once_leave_nothing(rig: Rig) -> None:
    for _ in range(10):
        code = await rig.code(ANNA)
        event = await rig.delivery(order=order(new_number(), new_number(), referral_code=code))
        own = await rig.delivery(order=order(new_number(), ANNA, referral_code=await rig.code(3)), person=HERSELF)
        await asyncio.gather(
            rig.apply(event, own),
            rig.ask(asked("customer_redact", ANNA, "acme")),
            until_applied(lambda _: rig.links.click("acme", code, ""), []),  # type: ignore[arg-type,return-value]  # noqa: B023
        )
        rows = await rig.sql("SELECT 1 FROM referrals.orders WHERE referrer_id = $1", ANNA)
        assert rows == []
        assert await identities(rig) in (0, 3)
        assert "referral_clicks" not in await rows_with(rig, ANNA)
        await rig.ask(asked("customer_redact", ANNA, "acme"))
        assert await rows_with(rig, ANNA) == {"buyers"}


async def test_a_request_is_done_once_and_an_unknown_customer_is_confirmed(rig: Rig) -> None:
    request_id = new_id()
    event = asked("customer_redact", ANNA, "acme", request_id)
    (confirmed,) = await rig.ask(event, event)
    assert set(confirmed.counts.values()) == {0}
    code = await rig.code(ANNA)
    assert len(await rig.ask(event, asked("customer_redact", ANNA, "acme", request_id))) == 1
    assert await rig.code(ANNA) == code


async def test_an_export_holds_everything_of_the_customer_and_nothing_of_others(rig: Rig) -> None:
    code, number = await live(rig)
    confirmed = await rig.ask(asked("customer_data", ANNA, "acme"))
    document = exported(await rig.ring.for_merchant("acme"), confirmed)
    assert {name: len(rows) for name, rows in document.items() if isinstance(rows, list)} == {
        "codes": 1, "clicks": 1, "shares": 1, "identities": 3, "buyers": 1, "orders": 1, "came_by": 1, "referred": 3,
    }  # fmt: skip
    assert document["codes"][0]["code"] == code
    assert {each["status"] for each in document["referred"]} == {"completed", "pending", "held"}
    assert not any(str(other) in str(document) for other in (ANNA + 1, ANNA + 2, ANNA + 3, number))
    assert await rows_with(rig, ANNA) >= {"referral_codes"}, "an export changes nothing"


async def victims(rig: Rig) -> AsyncIterator[Rig]:
    async for database in mortal.killed_before_each_statement(rig.database, rig.address):
        yield Rig(database, rig.address, rig.redis, rig.clock, keys=rig.keys)


async def test_a_shop_that_is_killed_anywhere_is_redacted_whole(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.kit.pseudonymising.CHUNK", 2)
    await rig.add_merchant("globex")
    await live(rig, "globex")
    others = await rig.sql("SELECT * FROM referrals.referrals WHERE merchant_id = 'globex' ORDER BY 2")
    shops = 0
    async for victim in victims(rig):
        shops += 1
        code = await rig.code(ANNA)
        await rig.links.click("acme", code, "sms")
        await rig.sharing.share("acme", ANNA, "email", "friend@example.com")
        for friend in (ANNA + 1, ANNA + 2):
            await rig.buy(code, friend, person=person(f"{friend}.{shops}@example.com"))
        before, request = counts(await rig.service.stats("acme", 0)), asked("shop_redact", None, "acme")
        await mortal.until_death(lambda: victim.privacy.handle([request]))  # noqa: B023 - run at once
        await rig.ask(request)
        assert counts(await rig.service.stats("acme", 0)) == before
        for table, column in (("buyers", "customer_id"), ("referral_codes", "customer_id"), ("referrals", "friend_id"),
                              ("referrals", "referrer_id"), ("orders", "referrer_id"), ("identities", "customer_id"),
                              ("referral_clicks", "customer_id"), ("referral_shares", "customer_id")):  # fmt: skip
            query = f"SELECT 1 FROM referrals.{table} WHERE merchant_id = 'acme' AND {column} > 0"
            assert await rig.sql(query) == [], (table, column)
    assert shops > 30
    assert len(await rig.told("gdpr_request.confirmed")) == shops
    assert await rig.sql("SELECT * FROM referrals.referrals WHERE merchant_id = 'globex' ORDER BY 2") == others


async def test_a_shop_whose_keys_are_gone_is_still_counted_and_nobody_recognised(rig: Rig) -> None:
    code = await rig.code()
    event = await rig.delivery(order=order(7, referral_code=code), person=HERSELF)
    rig.store.destroy("acme")
    rig.ring.forget("acme")
    await rig.apply(event)
    assert await rig.state() == ("completed", "")
    assert await rig.sql("SELECT 1 FROM referrals.identities") == []
