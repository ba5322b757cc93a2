"""Any order of arrival, any repetition, any split into batches, several consumers at once: the same points in the end.

The model looks at the set of deliveries as a whole, with fractions, and knows no order.
"""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.points.support import Points, delivery, new_number, order, refund
from loyalnest.api_gateway.events import RefundFacts
from loyalnest.kit.events import Event

EARLIER = 20
"""Base of an order that each customer made before, so that there are balances to lose an update of."""
RATES = {"ones": "1", "parts": "0.75"}
EXTRA = {"ones": Fraction(0), "parts": Fraction(3, 2)}
"""What a campaign of one of the merchants adds to each point, without a budget that could run out."""


@dataclass(frozen=True)
class Told:
    """One delivery of an order: what it says of it."""

    order: int
    kind: str  # create, updated, paid, refund, cancelled
    refunds: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Story:
    """What happens at one merchant. Orders: the customer (0: a guest) and the base in cents; refunds: cents by id."""

    orders: tuple[tuple[int, int], ...]
    refunds: tuple[tuple[int, ...], ...]
    told: tuple[Told, ...]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    orders = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5000)), min_size=1, max_size=4))
    refunds = [draw(st.lists(st.integers(0, 3000), max_size=3)) for _ in orders]
    told = draw(
        st.lists(
            st.integers(0, len(orders) - 1).flatmap(
                lambda index: st.builds(
                    Told,
                    st.just(index),
                    st.sampled_from(["create", "updated", "paid", "paid", "refund", "cancelled"]),
                    st.frozensets(st.integers(0, 2), max_size=3),
                )
            ),
            min_size=1,
            max_size=10,
        )
    )
    return Story(tuple(orders), tuple(map(tuple, refunds)), tuple(told))


def model(story: Story, rate: Fraction, extra: Fraction) -> dict[int, int]:
    """What each customer owns, below zero for a debt."""
    owned = dict.fromkeys((1, 2), floor(EARLIER * rate) + floor(EARLIER * rate * extra))
    for index, (customer, cents) in enumerate(story.orders):
        about = [told for told in story.told if told.order == index]
        paid = any(told.kind in {"updated", "paid"} for told in about)
        if not customer or not paid or any(told.kind == "cancelled" for told in about):
            continue
        known = {number for told in about for number in told.refunds if number < len(story.refunds[index])}
        back = sum(story.refunds[index][number] for number in known)
        net = Fraction(max(0, cents - back), 100)
        bonus = floor(Fraction(cents, 100) * rate * extra)
        owned[customer] += floor(net * rate) + (floor(bonus * net / Fraction(cents, 100)) if cents else 0)
    return owned


def events(merchant_id: str, story: Story, first: int) -> list[Event]:
    made: list[Event] = []
    for told in story.told:
        customer, cents = story.orders[told.order]
        number = first + told.order
        refunds: list[RefundFacts] = [
            refund(number * 10 + each, number, f"{story.refunds[told.order][each] / 100:.2f}")
            for each in sorted(told.refunds)
            if each < len(story.refunds[told.order])
        ]
        if told.kind == "refund":
            made += [delivery(merchant_id, refund=each) for each in refunds]
        else:
            facts = order(
                number,
                customer or None,
                f"{cents / 100:.2f}",
                paid=told.kind in {"updated", "paid"},
                cancelled=told.kind == "cancelled",
                refunds=refunds,
            )
            made.append(delivery(merchant_id, topic=f"orders/{told.kind}", order=facts))
    return made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), two=st.tuples(stories(), stories()), at_once=st.booleans())
async def test_balances_do_not_depend_on_arrival(
    points: Points, data: st.DataObject, two: tuple[Story, Story], at_once: bool
) -> None:
    # Both merchants have the same ids of orders and refunds; an example's merchants are its own.
    first, run = new_number() * 10, new_number()
    merchants = [f"{name}-{run}" for name in RATES]
    arriving = events(merchants[0], two[0], first) + events(merchants[1], two[1], first)
    repeats = data.draw(st.lists(st.sampled_from(arriving), max_size=5)) if arriving else []
    arriving = data.draw(st.permutations(arriving + repeats))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(arriving)), max_size=4)) | {0, len(arriving)})
    batches = [arriving[start:end] for start, end in pairwise(cuts)]

    for merchant, rate in zip(merchants, RATES.values(), strict=True):
        await points.add_merchant(merchant, rate=rate)
        if extra := EXTRA[merchant.split("-")[0]]:
            await points.run_campaign(merchant, multiplier=1 + Decimal(float(extra)))
        await points.apply(*(delivery(merchant, order=order(each, each, EARLIER)) for each in (1, 2)))
    # Every batch goes to every consumer: overlapping orders, customers and deliveries.
    consumers = [batches[start:] + batches[:start] for start in range(len(batches))] if at_once else [batches]
    await asyncio.gather(*(apply_all(points, each) for each in consumers))
    for merchant, story, (name, rate) in zip(merchants, two, RATES.items(), strict=True):
        for customer, owned in model(story, Fraction(rate), EXTRA[name]).items():
            assert await points.balances(merchant, customer) == (max(0, owned), 0, 0, max(0, -owned))
        assert await points.problems(merchant) == []


async def apply_all(points: Points, batches: list[list[Event]]) -> None:
    for batch in batches:
        await points.apply(*batch)
