"""Whatever order facts come in, however often, in whatever batches and on however many consumers: one tier.

The model looks at the set of facts as a whole, and lives through the days.
"""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.campaign.support import START, Campaign, clawed_back, earned, joined, neighbours, new_rules
from loyalnest.kit.events import Event, new_id
from unit.campaign.reference import lived

CUSTOMERS = (1, 2, 3)
NAMES = ("Bronze", "Silver", "Gold")


@dataclass(frozen=True)
class Order:
    """refunds: points that each takes back, in their order. day: before today."""

    customer: int
    points: int
    day: int
    refunds: tuple[int, ...]

    @property
    def totals(self) -> list[int]:
        totals: list[int] = []
        for points in self.refunds:
            totals.append(min(self.points, (totals[-1] if totals else 0) + points))
        return totals


orders = st.builds(
    Order,
    st.sampled_from(CUSTOMERS),
    st.integers(0, 60),
    st.integers(0, 150),
    st.lists(st.integers(0, 40), max_size=3).map(tuple),
)
ladders = st.tuples(st.integers(1, 50), st.integers(1, 80)).map(lambda steps: (0, steps[0], sum(steps)))
windows = st.none() | st.integers(1, 4)


def facts(merchant_id: str, story: list[Order]) -> list[Event]:
    made = [joined(each, merchant_id) for each in CUSTOMERS]
    for number, order in enumerate(story, 1):
        at = START - timedelta(days=order.day)
        made.append(earned(order.points, number, order.customer, merchant_id, at=at))
        before = 0
        for total in order.totals:
            made.append(clawed_back(total - before, number, order.customer, merchant_id, total))
            before = total
    return made


def model(story: list[Order], thresholds: tuple[int, ...], months: int | None) -> dict[int, str]:
    tiers = {}
    for customer in CUSTOMERS:
        days: dict[date, int] = {}
        for order in story:
            if order.customer == customer:
                day = (START - timedelta(days=order.day)).date()
                days[day] = days.get(day, 0) + order.points - max(order.totals, default=0)
        tiers[customer] = NAMES[lived(days, list(thresholds), months, START.date()).level]
    return tiers


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    story=st.lists(orders, min_size=1, max_size=6),
    before=ladders,
    thresholds=ladders,
    months=windows,
    at_once=st.booleans(),
)
async def test_tiers_do_not_depend_on_arrival(
    campaign: Campaign,
    data: st.DataObject,
    story: list[Order],
    before: tuple[int, ...],
    thresholds: tuple[int, ...],
    months: int | None,
    at_once: bool,
) -> None:
    merchants = [f"{name}-{new_id().hex}" for name in ("one", "two")]
    for merchant_id in merchants:
        await campaign.add_merchant(merchant_id, ladder=dict(zip(NAMES, before, strict=True)))
    arriving = [event for merchant_id in merchants for event in facts(merchant_id, story)]
    # New rules are told of anywhere among the facts, but to one merchant only.
    arriving.append(new_rules(2, merchants[0], ladder=dict(zip(NAMES, thresholds, strict=True)), months=months))
    again = data.draw(st.lists(st.sampled_from(arriving), max_size=6))
    again = [msgspec.structs.replace(each, id=new_id()) if data.draw(st.booleans()) else each for each in again]
    arriving = data.draw(st.permutations(arriving + again))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(arriving)), max_size=4)) | {0, len(arriving)})
    batches = [batch for start, end in pairwise(cuts) for batch in neighbours(arriving[start:end])]
    consumers = [batches[start:] + batches[:start] for start in range(min(3, len(batches)))] if at_once else [batches]

    await asyncio.gather(*(consume(campaign, each) for each in consumers))
    await campaign.jobs.reevaluate()
    for merchant_id, ladder, window in ((merchants[0], thresholds, months), (merchants[1], before, None)):
        wanted = model(story, ladder, window)
        assert {each: await campaign.tier(each, merchant_id) for each in CUSTOMERS} == wanted
        told = await campaign.sql(
            "SELECT payload FROM campaign.outbox WHERE merchant_id = $1 AND topic = 'tier.changed' ORDER BY id",
            merchant_id,
        )
        # Who reads the latest of each customer believes the same.
        believed = {each["customer_id"]: each["tier"] for row in told for each in [msgspec.json.decode(row["payload"])]}
        assert believed == wanted


async def consume(campaign: Campaign, batches: list[list[Event]]) -> None:
    for batch in batches:
        await campaign.give(*batch)
