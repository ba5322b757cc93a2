"""The leaderboard: only who asked for it, by the written rule, gone at once, names sealed."""

from datetime import timedelta

import pytest

from integration.gamification.support import NOON, Rig, clawed_back, earned, granted
from loyalnest.admin_core.events import AuditLog
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Forbidden, InvalidInput


async def join(rig: Rig, customer_id: int, name: str = "", merchant_id: str = "acme") -> None:
    with as_merchant(merchant_id, actor=f"shopper:{customer_id}", role="shopper"):
        await rig.leaderboard.join(merchant_id, customer_id, name or f"Shopper {customer_id}")


async def shown(rig: Rig, period: str = "", merchant_id: str = "acme") -> list[tuple[int, str, int]]:
    board = await rig.leaderboard.board(merchant_id, period, 10)
    return [(each.place.rank, each.name, each.place.points) for each in board.top]


async def test_only_who_asked_stands_in_it_and_not_after_leaving(rig: Rig) -> None:
    await rig.give(*(earned("acme", each, each, "1", points=each * 10) for each in range(1, 5)))
    assert await shown(rig) == []
    await join(rig, 2)
    await join(rig, 4, "  Zoë   B. ")
    await join(rig, 9)
    await join(rig, 4, "Zed", merchant_id="brew")
    assert await shown(rig) == [(1, "Zoë B.", 40), (2, "Shopper 2", 20)]
    await rig.give(earned("acme", 20, 2, "1", points=50))
    assert await shown(rig) == [(1, "Shopper 2", 70), (2, "Zoë B.", 40)]
    await join(rig, 2, "Two")
    assert (await shown(rig))[0] == (1, "Two", 70)
    with as_merchant("acme", actor="shopper:2", role="shopper"):
        await rig.leaderboard.leave("acme", 2)
        await rig.leaderboard.leave("acme", 2)
    assert await shown(rig) == [(1, "Zoë B.", 40)]
    assert await rig.fetch("SELECT FROM gamification.leaderboard_points WHERE customer_id = 2") == []
    await rig.give(earned("acme", 21, 2, "1", points=50))
    assert await shown(rig) == [(1, "Zoë B.", 40)]
    told = [(each.actor, each.action) for each in await rig.told(AuditLog)]
    assert told.count(("shopper:2", "leaderboard.left")) == 1


async def test_ties_and_ones_own_place(rig: Rig) -> None:
    for order, (customer, points, hour) in enumerate(
        ((1, 5, 1), (2, 5, 0), (3, 4, 0), (4, 6, 0), (5, 5, 1), (6, 0, 0)), 1
    ):
        at = NOON + timedelta(hours=hour)
        await rig.give(earned("acme", order, customer, "1", points=points, placed_at=at))
        await join(rig, customer)
    assert await shown(rig) == [
        (1, "Shopper 4", 6),
        (2, "Shopper 2", 5),  # was there first
        (2, "Shopper 1", 5),
        (2, "Shopper 5", 5),
        (5, "Shopper 3", 4),
    ]
    own = await rig.leaderboard.board("acme", "", 1, 3)
    assert own.own is not None
    assert (own.own.place.rank, own.own.name, len(own.top)) == (5, "Shopper 3", 1)
    without = await rig.leaderboard.board("acme", "", 1, 6)
    assert (without.own, without.name) == (None, "Shopper 6")
    assert (await rig.leaderboard.board("acme", "", 1, 77)).name == ""


async def test_months_are_the_merchants_own(rig: Rig) -> None:
    last_hour = NOON.replace(day=30, hour=23, minute=30)  # December has begun in Berlin
    for merchant_id in ("acme", "brew"):
        await rig.give(
            earned(merchant_id, 1, 1, "1", points=3),
            earned(merchant_id, 2, 1, "1", points=5, placed_at=last_hour),
            granted(merchant_id, 1, 2),
        )
        await join(rig, 1, "One", merchant_id)
    assert await shown(rig, "2026-11") == [(1, "One", 5)]
    assert await shown(rig, "2026-12") == [(1, "One", 5)]
    assert await shown(rig, "2026-11", "brew") == [(1, "One", 10)]
    assert await shown(rig, "2026-12", "brew") == []
    rig.clock.now = last_hour
    assert (await rig.leaderboard.board("acme", "", 5)).period == "2026-12"
    assert (await rig.leaderboard.board("brew", "", 5)).period == "2026-11"
    await rig.give(clawed_back("acme", 2, 1, "0", points=5))
    assert await shown(rig, "2026-12") == []
    assert await shown(rig, "all") == [(1, "One", 5)]


async def test_only_customers_themselves_may_join(rig: Rig) -> None:
    for actor, role in (("shopper:8", "shopper"), ("admin:1", "owner"), ("shopper:guest", "shopper")):
        with as_merchant("acme", actor=actor, role=role), pytest.raises(Forbidden):
            await rig.leaderboard.join("acme", 7, "Seven")
    with pytest.raises(InvalidInput):
        await join(rig, 7, "me@shop.example")
    with pytest.raises(InvalidInput):
        await rig.leaderboard.board("acme", "2026-13", 5)
    with pytest.raises(InvalidInput):
        await rig.leaderboard.board("acme", "", -1)


async def test_names_rest_sealed_and_follow_a_rotation(rig: Rig) -> None:
    for customer in (1, 2):
        await rig.give(earned("acme", customer, customer, "1"))
        await join(rig, customer, f"Secret {customer}")
    rows = await rig.fetch(
        "SELECT to_jsonb(e)::text || encode(e.name_sealed, 'escape') FROM gamification.leaderboard_entries e"
    )
    assert not any("Secret" in row[0] for row in rows)
    assert await rig.leaderboard.reseal() == 0
    rig.store.rotate("acme")
    assert [name for _, name, _ in await shown(rig)] == ["Secret 1", "Secret 2"]
    assert await rig.leaderboard.reseal() == 2
    rig.store.rows["acme"] = [each for each in rig.store.rows["acme"] if each.purpose != "data" or each.version > 1]
    assert [name for _, name, _ in await shown(rig)] == ["Secret 1", "Secret 2"]
    assert await rig.leaderboard.reseal() == 0
