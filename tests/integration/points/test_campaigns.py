"""Bonus campaigns in the ledger: who gets what, what refunds take back, and budgets that hold."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fixtures.mortal import MortalDatabase
from integration.points.mortal import killed_before_each_statement
from integration.points.support import START, Points, campaign, delivery, line, new_number, order, refund, segment
from loyalnest.api_gateway.events import LineFacts
from loyalnest.campaign.events import TierChanged
from loyalnest.kit.database import Connection, Pools

FIRST, SECOND = UUID(int=1), UUID(int=2)


async def awarded(points: Points, **facts: Any) -> int:
    """The points that a new order of 100 gets."""
    order_id = new_number()
    await points.apply(delivery(order=order(order_id, **facts)))
    return int((await points.service.award("acme", order_id))["awarded"])


async def test_an_order_in_the_window_earns_more_and_tells_so(points: Points) -> None:
    campaign_id = await points.run_campaign(multiplier=Decimal("2.5"))
    lines = [line(7, "60"), line(8, "30"), line(7, "10")]
    await points.apply(delivery(order=order(1, lines=lines)))
    assert await points.balances("acme") == (250, 0, 0, 0)
    (told,) = await points.told("points.earned")
    assert (told["points"], told["bonus"]) == (250, [{"campaign_id": str(campaign_id), "points": 150}])
    assert told["products"] == [{"product_id": 7, "base": "70"}, {"product_id": 8, "base": "30"}]
    assert await points.spent(campaign_id) == 150
    assert await points.problems() == []


@pytest.mark.parametrize(
    ("placed_at", "points_of"),
    [
        (START - timedelta(microseconds=1), 100),
        (START, 200),
        (START + timedelta(days=28, microseconds=-1), 200),
        (START + timedelta(days=28), 100),
    ],
)
async def test_when_it_was_placed_decides_however_late_it_is_paid(
    points: Points, placed_at: Any, points_of: int
) -> None:
    await points.run_campaign()
    points.clock.advance(days=90)
    assert await awarded(points, placed_at=placed_at) == points_of


async def test_tiers_and_segments_are_the_customers_when_it_is_awarded(points: Points) -> None:
    await points.run_campaign(segments=("new", "loyal"), tiers=("Gold",))
    gold = TierChanged(customer_id=1, tier="Gold", multiplier=Decimal(1), changed_at=START)
    assert await awarded(points) == 100
    await points.projections.tier_changed([gold.event("acme", "1")])
    assert await awarded(points) == 100
    await points.projections.segment_changed([segment("new")])
    assert (await awarded(points), await awarded(points, customer_id=2)) == (200, 100)
    # Scores that changed within a segment, and what is older, are no news.
    await points.projections.segment_changed([segment("new", previous="new", hours=3), segment("at_risk", hours=-1)])
    assert await awarded(points) == 200
    await points.projections.segment_changed([segment("", hours=2, previous="new"), segment("loyal", hours=1)])
    assert await awarded(points) == 100


async def test_each_line_earns_by_the_best_campaign_and_they_do_not_add_up(points: Points) -> None:
    await points.run_campaign(campaign_id=FIRST, multiplier=Decimal(2))
    await points.run_campaign(campaign_id=SECOND, multiplier=Decimal(3), product_ids=(7,))
    assert await awarded(points, lines=[line(7, "40"), line(8, "60")]) == 100 + 60 + 2 * 40
    assert (await points.spent(FIRST), await points.spent(SECOND)) == (60, 80)
    assert await awarded(points, lines=[line(9, "100")]) == 200
    assert await awarded(points) == 200  # a base without lines is of no product
    gift = LineFacts(line_id=3, product_id=7, quantity=1, base=Decimal(500), gift_card=True)
    assert await awarded(points, lines=[line(8, "100"), gift]) == 200


async def test_a_fixed_number_of_points_is_multiplied_by_the_lines_share(points: Points) -> None:
    await points.add_merchant("fixed", fixed=50)
    await points.run_campaign("fixed", product_ids=(7,), multiplier=Decimal(3))
    await points.apply(delivery("fixed", order=order(1, lines=[line(7, "25"), line(8, "75")])))
    assert await points.balances("fixed") == (50 + 25, 0, 0, 0)
    await points.run_campaign("fixed")
    await points.apply(delivery("fixed", order=order(2, customer_id=2, base="0")))
    assert await points.balances("fixed", 2) == (100, 0, 0, 0)


async def test_a_refund_takes_the_bonus_back_in_proportion_by_the_rule_of_the_award(points: Points) -> None:
    campaign_id = await points.run_campaign(multiplier=Decimal("1.5"))
    await points.apply(delivery(order=order(1)))
    # Whatever the campaign becomes: the award stands.
    await points.run_campaign(campaign_id=campaign_id, version=2, multiplier=Decimal(9), ended=True)
    await points.apply(delivery(refund=refund(1, base="33.33")))
    award = await points.service.award("acme", 1)
    assert (award["awarded"], award["clawed_back"]) == (150, 150 - 66 - 33)
    assert await points.spent(campaign_id) == 33
    assert (await points.told("points.clawed_back"))[-1]["clawed_back"] == 51
    await points.apply(delivery(topic="orders/cancelled", order=order(1, cancelled=True)))
    assert (await points.balances("acme"), await points.spent(campaign_id)) == ((0, 0, 0, 0), 0)
    assert await points.problems() == []


async def test_what_was_refunded_before_its_order_came_costs_no_budget(points: Points) -> None:
    campaign_id = await points.run_campaign(budget_points=100)
    await points.apply(delivery(refund=refund(base="40")))
    await points.apply(delivery(order=order(1)))
    assert (await points.balances("acme"), await points.spent(campaign_id)) == ((120, 0, 0, 0), 60)
    assert await awarded(points, customer_id=2) == 140


async def test_a_bonus_is_cut_to_what_is_left_and_then_the_next_best_gives(points: Points) -> None:
    best = await points.run_campaign(campaign_id=FIRST, multiplier=Decimal(3), budget_points=250)
    next_best = await points.run_campaign(campaign_id=SECOND, multiplier=Decimal(2))
    assert [await awarded(points) for _ in range(3)] == [300, 150, 200]
    assert (await points.spent(best), await points.spent(next_best)) == (250, 100)
    await points.run_campaign(campaign_id=FIRST, version=2, multiplier=Decimal(3), budget_points=300)
    assert await awarded(points) == 150
    await points.run_campaign(campaign_id=FIRST, version=3, multiplier=Decimal(3), budget_points=10)
    assert await awarded(points) == 200
    assert await points.problems() == []


async def test_the_newest_version_counts_in_any_order_and_of_the_merchant_alone(points: Points) -> None:
    await points.add_merchant("globex")
    changes = [campaign(FIRST, version=each, multiplier=Decimal(each)) for each in (3, 4, 2)]
    await points.projections.campaign_changed([each.event("acme", "1") for each in changes])
    await points.run_campaign(campaign_id=FIRST, version=3, multiplier=Decimal(9))
    assert await awarded(points) == 400
    await points.apply(delivery("globex", order=order()))
    assert await points.balances("globex") == (100, 0, 0, 0)
    await points.run_campaign(campaign_id=FIRST, version=5, ended=True)
    assert await awarded(points) == 100
    assert await points.service.campaign_spending("globex", [FIRST]) == {}


async def test_a_budget_holds_whatever_is_applied_at_once(points: Points) -> None:
    """Overlapping batches of two campaigns, on several consumers, with refunds among them."""
    first = await points.run_campaign(campaign_id=FIRST, multiplier=Decimal(3), budget_points=1000)
    second = await points.run_campaign(campaign_id=SECOND, multiplier=Decimal(2), budget_points=501)
    orders = [delivery(order=order(each, each % 7 + 1, 10 + each % 5)) for each in range(1, 161)]
    refunds = [delivery(refund=refund(each, each, 5)) for each in range(1, 161, 4)]
    batches = [orders[start : start + 20] + refunds[start // 4 : start // 4 + 5] for start in range(0, 160, 10)]
    seen: list[int] = []

    async def consume(own: list[Any]) -> None:
        for batch in own:
            await points.apply(*batch)
            rows = await points.sql("SELECT spent FROM points.campaigns WHERE spent > budget_points")
            seen.extend(row["spent"] for row in rows)

    await asyncio.gather(*(consume(batches[start::4]) for start in range(4)))
    assert seen == []
    given = await points.sql(
        """
        SELECT b.campaign_id, sum(b.points - b.clawed_back)::bigint AS points
        FROM points.order_awards a, jsonb_to_recordset(a.bonuses) b(campaign_id uuid, points bigint, clawed_back bigint)
        GROUP BY 1 ORDER BY 1
        """
    )
    spent = [await points.spent(first), await points.spent(second)]
    assert [row["points"] for row in given] == spent
    assert spent[0] > 900  # what the last refunds gave back may be left
    assert spent[1] > 0
    assert await points.problems() == []


async def test_a_batch_that_is_killed_anywhere_spends_once(points: Points) -> None:
    campaign_id = await points.run_campaign()
    kills = 0
    async for victim in killed_before_each_statement(points):
        kills += 1
        await points.apply(delivery(order=order(kills * 10, kills)))
        batch = [
            delivery(order=order(kills * 10 + 1, kills, "30")),
            delivery(refund=refund(1, kills * 10, "50")),
        ]
        await victim.run(lambda: victim.deliveries.handle(batch))  # noqa: B023 - run at once
        await points.apply(*batch)
        assert await points.balances("acme", kills) == (100 + 60, 0, 0, 0)
        assert await points.spent(campaign_id) == 80 * kills
    assert kills > 10
    assert await points.problems() == []


class Counting(MortalDatabase):
    """Counts the statements of its transactions and kills nobody."""

    counted = 0

    async def count(self, connection: Connection) -> None:
        self.counted += 1


async def test_without_a_campaign_a_batch_costs_one_statement_more(points: Points) -> None:
    """And however many orders and campaigns there are, as many statements."""
    pools = Pools(1)
    database = Counting(points.database, await pools.open(points.url), 0)
    counting = Points(database, points.url, points.clock, points.issuer, keys=points.keys)

    async def statements(orders: int) -> int:
        database.counted = 0
        await counting.apply(*(delivery(order=order(new_number())) for _ in range(orders)))
        return database.counted

    without = await statements(2)
    assert await statements(50) == without
    for _ in range(5):
        await points.run_campaign(segments=("new",))
    await points.projections.segment_changed([segment("new")])
    # The segments are asked for, and what was spent is written.
    assert await statements(50) == without + 2
    await pools.close()
