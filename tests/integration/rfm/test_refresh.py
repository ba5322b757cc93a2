"""A refresh gives everyone the scores of the rule, tells of what changed, and nothing else."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.rfm.support import NOON, Rig, clawed_back, earned, in_batches, joined, segments_told
from loyalnest.rfm.scoring import SEGMENTS
from unit.rfm import reference
from unit.rfm.reference import Values

CDNOW = Path(__file__).parents[3] / "clusters" / "demo" / "cdnow_sample.txt"

customers = st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(0, 8))
"""Days ago, number of orders, quarters of a dollar an order: few values, so many ties."""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(population=st.lists(customers, min_size=1, max_size=40))
async def test_random_populations_score_as_the_reference_says(
    rig: Rig, population: Sequence[tuple[int, int, int]]
) -> None:
    merchant = f"m-{uuid4().hex}"
    await rig.give(
        earned(merchant, customer * 10 + number, customer, Decimal(quarters) / 4, NOON - timedelta(days=days))
        for customer, (days, orders, quarters) in enumerate(population, 1)
        for number in range(orders)
    )
    done = await rig.refresher.refresh(merchant)
    assert done.customers == len(population)
    assert await rig.scored(merchant) == reference.scores(
        {
            customer: Values((NOON - timedelta(days=days)).date(), orders, Decimal(quarters) * orders / 4)
            for customer, (days, orders, quarters) in enumerate(population, 1)
        }
    )


async def test_cdnow_in_full(rig: Rig) -> None:
    zone = ZoneInfo("America/New_York")
    await rig.set_schedule("cdnow", timezone=zone.key)
    purchases = [line.split() for line in CDNOW.read_text(encoding="ascii").splitlines()]
    expected: dict[int, Values] = {}
    events = []
    for number, (_, sample_id, day, _, dollars) in enumerate(purchases, 1):
        customer, placed = int(sample_id), datetime.strptime(day, "%Y%m%d").replace(hour=22, tzinfo=zone)
        events.append(earned("cdnow", number, customer, dollars, placed.astimezone(UTC)))
        before = expected.get(customer, Values(date.min, 0, Decimal(0)))
        expected[customer] = Values(
            max(before.last_order, placed.date()), before.orders + 1, before.monetary + Decimal(dollars)
        )
    random.Random(1).shuffle(events)
    for batch in in_batches(events, 1000):
        await rig.batches.earned(batch)
    await rig.refresher.refresh("cdnow")

    assert len(expected) == 2357
    assert await rig.values("cdnow", zone.key) == expected
    scores = reference.scores(expected)
    assert await rig.scored("cdnow") == scores
    assert segments_told(await rig.take_updates("cdnow")) == scores

    cells, state = await rig.service.segments("cdnow")
    assert {(cell.recency, cell.frequency): cell.customers for cell in cells} == Counter(
        (each.recency, each.frequency) for each in scores.values()
    )
    assert sum(cell.revenue for cell in cells) == Decimal("244091.94")
    assert state.refreshed_at == NOON
    _, counts = await rig.service.history("cdnow", "", "")
    assert {row.segment: row.customers for row in counts if row.customers} == Counter(
        each.segment for each in scores.values()
    )
    assert sum(row.revenue for row in counts) == Decimal("244091.94")
    assert {row.segment for row in counts} == set(SEGMENTS)


async def test_only_what_changes_is_told(rig: Rig) -> None:
    await rig.give(earned("acme", number, number, str(number)) for number in range(1, 11))
    await rig.refresher.refresh("acme")
    await rig.take_updates("acme")
    movements = await rig.deltas("acme")
    again = await rig.refresher.refresh("acme")
    assert (again.customers, again.changed) == (10, 0)
    assert await rig.take_updates("acme") == []
    assert await rig.deltas("acme") == movements

    rig.clock.move(days=1)
    before = await rig.scored("acme")
    await rig.give([earned("acme", 100, 1, "0.50", rig.clock())])
    await rig.refresher.refresh("acme")
    after = await rig.scored("acme")
    told = await rig.take_updates("acme")
    changed = {customer for customer, scored in after.items() if scored != before[customer]}
    assert {update.customer_id for update in told} == changed
    assert changed


async def test_movements_are_recorded_with_the_event_that_told_of_them(rig: Rig) -> None:
    await rig.give(earned("acme", number, number, "5", NOON - timedelta(days=number)) for number in range(1, 7))
    await rig.refresher.refresh("acme")
    told = await rig.fetch("SELECT event_id, key FROM rfm.outbox WHERE merchant_id = 'acme'")
    ids = {row["event_id"]: int(row["key"]) for row in told}
    movements = await rig.deltas("acme")
    assert movements
    for movement in movements:
        assert ids[movement["delta_id"]] == movement["customer_id"]
        assert movement["from_segment"] != movement["to_segment"]
    last = {row["customer_id"]: row["to_segment"] for row in movements}
    assert last == {customer: scored.segment for customer, scored in (await rig.scored("acme")).items()}


async def test_equal_local_dates_score_alike_whatever_the_utc_date(rig: Rig) -> None:
    await rig.set_schedule("acme", timezone="America/New_York")
    evening = datetime(2026, 11, 10, 23, 0, tzinfo=UTC)  # 18:00 in New York
    await rig.give(
        [
            earned("acme", 1, 1, "1", evening),
            earned("acme", 2, 2, "1", evening + timedelta(hours=3)),  # 21:00, the next day in UTC
            earned("acme", 3, 3, "1", evening + timedelta(hours=8)),  # 02:00 of the next day
        ]
    )
    await rig.refresher.refresh("acme")
    recency = {customer: scored.recency for customer, scored in (await rig.scored("acme")).items()}
    assert recency == {1: 4, 2: 4, 3: 5}


async def test_counts_of_a_day_are_those_of_its_last_refresh(rig: Rig) -> None:
    await rig.give([earned("acme", 1, 1, "10")])
    rig.clock.move(hours=1)
    await rig.give([earned("acme", 2, 1, "5"), clawed_back("acme", 1, 1, "0", cancelled=True)])
    await rig.refresher.refresh("acme")
    rig.clock.move(days=1)
    await rig.give([clawed_back("acme", 2, 1, "0", cancelled=True)])
    await rig.refresher.refresh("acme")
    days, rows = await rig.service.history("acme", "2026-11-15", "")
    assert (days.first, days.last) == (date(2026, 11, 15), date(2026, 11, 16))
    assert len(rows) == 20
    assert [(row.day, row.segment, row.revenue) for row in rows if row.customers] == [
        (date(2026, 11, 15), "new", Decimal(5))
    ]


async def test_a_merchant_without_customers_can_be_refreshed(rig: Rig) -> None:
    done = await rig.refresher.refresh("empty")
    assert (done.customers, done.changed) == (0, 0)
    cells, _ = await rig.service.segments("empty")
    assert cells == []


async def test_a_refresh_that_fails_leaves_nothing_and_is_done_by_the_job(rig: Rig) -> None:
    await rig.as_owner("REVOKE INSERT ON rfm.rfm_segment_counts FROM loyalnest_rfm_request")
    order = earned("acme", 1, 1, "10")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rig.batches.earned([order])
    assert (await rig.scored("acme"))[1] == (0, 0, 0, "")
    assert await rig.take_updates("acme") == []
    await rig.batches.earned([order])  # comes again, and was applied
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rig.jobs.refresh_due()
    await rig.as_owner("GRANT INSERT ON rfm.rfm_segment_counts TO loyalnest_rfm_request")
    assert await rig.jobs.refresh_due() == 1
    assert (await rig.scored("acme"))[1] == (5, 1, 1, "new")
    assert len(await rig.take_updates("acme")) == 1
    assert await rig.jobs.refresh_due() == 0


async def test_a_refresh_waits_for_batches_and_batches_for_a_refresh(rig: Rig) -> None:
    """Everyone ends with scores by the stored cut points, whatever ran at the same time."""
    events = [
        earned("acme", number, number % 60 + 1, str(number % 7), NOON - timedelta(days=number % 9))
        for number in range(1, 601)
    ]
    refunds = [clawed_back("acme", number, number % 60 + 1, "0", cancelled=number % 2 == 0) for number in range(1, 300)]
    await asyncio.gather(
        *(rig.batches.earned(batch) for batch in in_batches(events, 100)),
        *(rig.batches.clawed_back(batch) for batch in in_batches(refunds, 100)),
        *(rig.refresher.refresh("acme") for _ in range(4)),
    )
    cuts, values = await rig.cut_points("acme"), await rig.values("acme")
    assert {customer: scored[:3] for customer, scored in (await rig.scored("acme")).items()} == {
        customer: cuts.score(*each) for customer, each in values.items()
    }
    await rig.refresher.refresh("acme")
    assert await rig.scored("acme") == reference.scores(values)
    assert sum(each.orders for each in values.values()) == 600 - 149
    assert segments_told(await rig.take_updates("acme")) == await rig.scored("acme")


async def test_points_that_no_order_earned_change_nothing(rig: Rig) -> None:
    await rig.batches.earned([joined("acme", 1)])
    assert await rig.fetch("SELECT FROM rfm.customers") == []
