"""Batches: any order of arrival and any repetition ends in the same state, and an order moves its own customer."""

import random
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.rfm.support import NOON, Rig, clawed_back, earned, in_batches, segments_told
from loyalnest.kit.events import Event
from loyalnest.rfm.events import RfmUpdated
from unit.rfm import reference
from unit.rfm.reference import Scored, Values


class Order(NamedTuple):
    """An order's life: its refunds one after another, in quarters of a dollar, then perhaps its cancellation."""

    merchant: int
    customer: int
    days_ago: int
    quarters: int
    refunds: tuple[int, ...]
    cancelled: bool

    def events(self, merchants: Sequence[str], order_id: int) -> list[Event]:
        merchant, left = merchants[self.merchant], Decimal(self.quarters) / 4
        told = [earned(merchant, order_id, self.customer, left, NOON - timedelta(days=self.days_ago))]
        for refund in self.refunds:
            left = max(Decimal(0), left - Decimal(refund) / 4)
            told.append(clawed_back(merchant, order_id, self.customer, left))
        if self.cancelled:
            told.append(clawed_back(merchant, order_id, self.customer, "0", cancelled=True))
        return told

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), Decimal(self.quarters - sum(self.refunds)) / 4)


orders = st.builds(
    Order,
    st.integers(0, 1),
    st.integers(1, 8),
    st.integers(0, 5),
    st.integers(0, 40),
    st.lists(st.integers(1, 15), max_size=3).map(tuple),
    st.sampled_from([False, False, True]),
)


def population(history: Sequence[Order], merchant: int) -> dict[int, Values]:
    """The model: what a merchant's customers are scored by once everything has arrived."""
    counted: dict[int, list[Order]] = {}
    for order in history:
        if order.merchant == merchant and not order.cancelled:
            counted.setdefault(order.customer, []).append(order)
    return {
        customer: Values(
            max((NOON - timedelta(days=order.days_ago)).date() for order in own),
            len(own),
            sum((order.left for order in own), Decimal(0)),
        )
        for customer, own in counted.items()
    }


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(orders, min_size=1, max_size=30), seed=st.integers(0, 2**32), size=st.integers(1, 40))
async def test_any_order_of_arrival_ends_alike(rig: Rig, history: Sequence[Order], seed: int, size: int) -> None:
    merchants = [f"a-{uuid4().hex}", f"b-{uuid4().hex}"]
    events = [event for number, order in enumerate(history, 1) for event in order.events(merchants, number)]
    dice = random.Random(seed)
    events += dice.choices(events, k=len(events) // 2)
    dice.shuffle(events)
    for batch in in_batches(events, size):
        await rig.give(batch)
        rig.clock.move(seconds=1)
    for which, merchant in enumerate(merchants):
        expected = population(history, which)
        assert await rig.values(merchant) == expected
        if not expected:
            continue
        cuts = await rig.cut_points(merchant)
        assert {customer: scored[:3] for customer, scored in (await rig.scored(merchant)).items()} == {
            customer: cuts.score(*values) for customer, values in expected.items()
        }
        await rig.refresher.refresh(merchant)
        assert await rig.scored(merchant) == reference.scores(expected)
        updates = await rig.take_updates(merchant)
        assert segments_told(updates) == await rig.scored(merchant)
        assert moves(updates) == await moves_recorded(rig, merchant)


def moves(updates: Sequence[RfmUpdated]) -> dict[tuple[int, str, str], int]:
    """The movements between segments that were told of."""
    found: dict[tuple[int, str, str], int] = {}
    for update in updates:
        if update.segment != update.previous_segment:
            key = update.customer_id, update.previous_segment, update.segment
            found[key] = found.get(key, 0) + 1
    return found


async def moves_recorded(rig: Rig, merchant: str) -> dict[tuple[int, str, str], int]:
    found: dict[tuple[int, str, str], int] = {}
    for row in await rig.deltas(merchant):
        key = row["customer_id"], row["from_segment"], row["to_segment"]
        found[key] = found.get(key, 0) + 1
    return found


async def test_a_refund_before_its_order_waits_for_it(rig: Rig) -> None:
    await rig.give([clawed_back("acme", 1, 7, "2.50")])
    assert await rig.values("acme") == {}
    assert await rig.take_updates("acme") == []
    await rig.give([earned("acme", 1, 7, "10")])
    assert await rig.values("acme") == {7: Values(NOON.date(), 1, Decimal("2.50"))}


async def test_a_cancellation_before_its_order_leaves_nothing(rig: Rig) -> None:
    await rig.give([clawed_back("acme", 1, 7, "0", cancelled=True), earned("acme", 1, 7, "10")])
    assert await rig.values("acme") == {}
    assert await rig.take_updates("acme") == []


async def test_a_customer_without_orders_left_leaves_the_population(rig: Rig) -> None:
    await rig.give([earned("acme", 1, 7, "10"), earned("acme", 2, 8, "20")])
    await rig.take_updates("acme")
    rig.clock.move(seconds=1)
    await rig.give([clawed_back("acme", 2, 8, "0", cancelled=True)])
    assert await rig.take_updates("acme") == [
        RfmUpdated(
            customer_id=8,
            recency=0,
            frequency=0,
            monetary=0,
            segment="",
            previous_segment="new",
            as_of=rig.clock(),
        )
    ]
    assert set(await rig.scored("acme")) == {7}
    assert (await rig.deltas("acme"))[-1]["to_segment"] == ""
    scores = await rig.service.scores("acme", 8)
    assert (scores.recency, scores.frequency, scores.monetary_score, scores.segment) == (0, 0, 0, "")


async def test_a_fully_refunded_order_still_counts(rig: Rig) -> None:
    await rig.give([earned("acme", 1, 7, "10"), clawed_back("acme", 1, 7, "0")])
    assert await rig.values("acme") == {7: Values(NOON.date(), 1, Decimal(0))}


async def test_between_refreshes_an_order_moves_its_own_customer_only(rig: Rig) -> None:
    await rig.give(earned("acme", number, number, "10", NOON - timedelta(days=20 + number)) for number in range(1, 11))
    await rig.refresher.refresh("acme")
    await rig.take_updates("acme")
    before = await rig.scored("acme")
    rig.clock.move(hours=1)
    await rig.give([earned("acme", 99, 10, "10", rig.clock())])
    (told,) = await rig.take_updates("acme")
    assert told == RfmUpdated(
        customer_id=10,
        recency=5,
        frequency=5,
        monetary=5,
        segment="champions",
        previous_segment=before[10].segment,
        as_of=rig.clock(),
    )
    after = await rig.scored("acme")
    assert after.pop(10) == Scored(5, 5, 5, "champions")
    before.pop(10)
    assert after == before


async def test_an_order_that_moves_no_score_is_not_told(rig: Rig) -> None:
    await rig.give([earned("acme", 1, 1, "10"), earned("acme", 2, 2, "10"), earned("acme", 3, 2, "10")])
    await rig.refresher.refresh("acme")
    before = await rig.scored("acme")
    await rig.take_updates("acme")
    await rig.give([clawed_back("acme", 1, 1, "9")])
    assert (await rig.values("acme"))[1].monetary == Decimal(9)
    assert await rig.take_updates("acme") == []
    assert await rig.scored("acme") == before


async def test_a_growing_population_is_refreshed_as_often_as_it_doubles(rig: Rig) -> None:
    refreshed = set()
    for number in range(1, 101):
        rig.clock.move(seconds=1)
        await rig.give([earned("acme", number, number, "10")])
        (row,) = await rig.fetch("SELECT population, customers_now, refreshed_at FROM rfm.cut_points")
        refreshed.add((row["population"], row["refreshed_at"]))
        assert row["customers_now"] == number
    assert sorted(population for population, _ in refreshed) == [1, 2, 4, 8, 16, 32, 64]


async def test_two_merchants_with_the_same_ids_in_one_batch(rig: Rig) -> None:
    await rig.give(
        [earned("acme", 1, 7, "10"), earned("brew", 1, 7, "99"), earned("brew", 2, 8, "5"), earned("acme", 2, 7, "1")]
    )
    assert await rig.values("acme") == {7: Values(NOON.date(), 2, Decimal(11))}
    assert await rig.values("brew") == {7: Values(NOON.date(), 1, Decimal(99)), 8: Values(NOON.date(), 1, Decimal(5))}
    assert (await rig.scored("acme"))[7] == Scored(5, 1, 1, "new")
    assert {update.customer_id for update in await rig.take_updates("acme")} == {7}
