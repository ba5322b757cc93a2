"""Privacy requests: a badge's holders stay as many, nothing says who they were, and the leaderboard forgets at once."""

import asyncio
from uuid import UUID

import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked, exported
from integration.gamification.support import Rig, clawed_back, earned, granted, referred, unreferred
from loyalnest.gamification import facts_repository
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.gamification.facts import OrderEarned, read_earned
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.lookup import pseudonym
from loyalnest.kit.events import new_id

ANNA = 7
COLUMNS = (
    *((table, "customer_id") for table in ("customers", "orders", "grants", "customer_badges")),
    *((table, "customer_id") for table in ("leaderboard_entries", "leaderboard_points")),
    ("referrals", "referrer_id"),
    ("referrals", "friend_id"),
)


async def populate(rig: Rig, merchant_id: str, customers: int = 8) -> None:
    """Let everybody order, refer the next one, earn points and stand in the leaderboard."""
    await rig.add_badge(merchant_id, "one", "orders", "1")
    await rig.add_badge(merchant_id, "friend", "referrals", "1")
    await act(rig, merchant_id, customers)


async def act(rig: Rig, merchant_id: str, customers: int, first: int = 0) -> None:
    everybody = range(1, customers + 1)
    await rig.give(*(earned(merchant_id, first + 100 + n, n, "10", products=[(1, "10")]) for n in everybody))
    await rig.give(*(granted(merchant_id, n, 5) for n in everybody))
    await rig.give(*(clawed_back(merchant_id, first + 100 + n, n, "9") for n in everybody))
    await rig.give(*(referred(merchant_id, f"r{first + n}", n, n % customers + 1) for n in everybody))
    for number in everybody:
        with as_merchant(merchant_id, actor=f"shopper:{number}", role="shopper"):
            await rig.leaderboard.join(merchant_id, number, f"Shopper {number}")


async def everywhere(rig: Rig, merchant_id: str) -> set[int]:
    """The customers that any table names."""
    found: set[int] = set()
    for table, column in COLUMNS:
        rows = await rig.fetch(f"SELECT {column} FROM gamification.{table} WHERE merchant_id = $1", merchant_id)
        found |= {row[0] for row in rows}
    return found


async def stand_in_of(rig: Rig, request_id: UUID) -> int:
    return pseudonym((await rig.keys.for_merchant("acme")).index_key, request_id, ANNA)


async def holders(rig: Rig) -> dict[str, int]:
    return {each.badge.key: each.holders for each in await rig.service.badges("acme")}


async def test_a_redacted_customer_is_only_counted(rig: Rig) -> None:
    for merchant_id in ("acme", "brew"):
        await populate(rig, merchant_id)
    with as_merchant("acme", actor="admin:1", role="owner"):
        await rig.service.decide("acme", ANNA, "one", held=False, reason="x")
        await rig.service.decide("acme", ANNA, "one", held=True, reason="Anna asked by telephone")
    before = await holders(rig)
    assert await rig.progress("acme", ANNA)
    assert await rig.redis.exists(f"test:badge:acme:{ANNA}")
    request_id = new_id()
    confirmed = await rig.ask(asked("customer_redact", ANNA, "acme", request_id))

    stand_in = await stand_in_of(rig, request_id)
    assert await everywhere(rig, "acme") == {1, 2, 3, 4, 5, 6, 8, stand_in}
    assert await holders(rig) == before == {"one": 8, "friend": 8}
    assert confirmed.service == "gamification"
    assert (confirmed.counts["orders"], confirmed.counts["badges"], confirmed.counts["leaderboard_entries"]) == (
        1,
        2,
        1,
    )
    assert not await rig.redis.exists(f"test:badge:acme:{ANNA}")
    board = await rig.leaderboard.board("acme", "all", 50)
    assert ANNA not in {each.place.customer_id for each in board.top}
    assert stand_in not in {each.place.customer_id for each in board.top}
    shown, _ = await rig.service.holders("acme", "one", 50, "")
    assert [each.customer_id for each in shown] == [1, 2, 3, 4, 5, 6, 8]
    rows = await rig.fetch("SELECT reason FROM gamification.customer_badges WHERE customer_id = $1", stand_in)
    assert {row["reason"] for row in rows} == {""}
    assert ANNA in await everywhere(rig, "brew")


async def test_what_comes_later_finds_the_pseudonym_and_changes_nobodys_badges(rig: Rig) -> None:
    await populate(rig, "acme")
    await rig.ask(asked("customer_redact", ANNA, "acme"))
    told = len(await rig.told(BadgeAwarded))
    await rig.give(
        clawed_back("acme", 107, ANNA, "0"), unreferred("acme", "r6", 6, ANNA), earned("acme", 107, ANNA, "10")
    )
    await rig.jobs.sweep()
    assert ANNA not in await everywhere(rig, "acme")
    lost = (await rig.told(BadgeAwarded))[told:]
    assert [(each.customer_id, each.badge, each.revoked) for each in lost] == [(6, "friend", True)]
    await rig.give(earned("acme", 999, ANNA, "5"))
    assert (ANNA, "one") in await rig.held("acme"), "a later order begins somebody new"


async def test_an_export_says_everything_and_nothing_of_others(rig: Rig) -> None:
    await populate(rig, "acme")
    confirmed = await rig.ask(asked("customer_data", ANNA, "acme"))
    document = exported(await rig.keys.for_merchant("acme"), [confirmed])
    assert [each["order_id"] for each in document["orders"]] == [107]
    assert [each["product_id"] for each in document["orders"][0]["products"]] == [1]
    assert {each["badge_key"] for each in document["badges"]} == {"one", "friend"}
    assert [each["points"] for each in document["grants"]] == [5]
    assert document["leaderboard_entries"] == [{"name": "Shopper 7"}]
    assert {each["period"] for each in document["leaderboard_points"]} == {"all", "2026-11"}
    for side in ("referrals", "referrals_as_friend"):
        (referral,) = document[side]
        assert "referrer_id" not in referral
        assert "friend_id" not in referral
    nobody = await rig.ask(asked("customer_data", 12345, "acme"))
    assert (nobody.sealed, set(nobody.counts.values())) == (b"", {0})


async def test_a_shop_that_is_killed_anywhere_is_redacted_whole(
    rig: Rig, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.kit.pseudonymising.CHUNK", 2)
    await populate(rig, "brew", 3)
    await populate(rig, "acme", 3)
    shops = 1
    async for database in killed_before_each_statement(rig.database, database_url):
        request = asked("shop_redact", None, "acme")
        await until_death(lambda: rig.privacy_on(database).handle([request]))  # noqa: B023 - run at once
        await rig.ask(request)
        assert {each for each in await everywhere(rig, "acme") if each > 0} == set()
        assert await holders(rig) == {"one": 3 * shops, "friend": 3 * shops}
        await act(rig, "acme", 3, first=shops * 1000)
        shops += 1
    assert shops > 20
    assert {each for each in await everywhere(rig, "brew") if each > 0} == {1, 2, 3}


async def test_a_redaction_that_waited_for_a_batch_takes_what_it_wrote(rig: Rig) -> None:
    """The redaction sees everything as of one moment, so what was committed since must make it begin again."""
    await populate(rig, "acme")
    request = asked("customer_redact", ANNA, "acme")

    async def redact() -> None:
        while await until_death(lambda: rig.ask(request)):
            pass

    await rig.add_badge("acme", "two", "orders", "2")
    await rig.leaderboard.leave("acme", ANNA)  # so that nothing of hers is changed, only added to
    async with rig.database.worker() as connection:
        order = read_earned(earned("acme", 999, ANNA, "10"))
        assert isinstance(order, OrderEarned)
        await rig.evaluator.evaluate(connection, await facts_repository.add_earned(connection, [order]))
        redaction = asyncio.create_task(redact())
        while not await rig.fetch("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - tells nobody
            await asyncio.sleep(0.01)
    await redaction
    assert ANNA not in await everywhere(rig, "acme")
    assert (await holders(rig))["two"] == 1
