"""Any order of arrival, any repetition, any split into batches, several consumers at once: the same referrals.

The model looks at what was told up to a moment as a set. The one thing that it takes from the order of arrival is the
rule that a reversal is final.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.referrals.support import START, Rig, new_number, order, refund
from loyalnest.kit.events import Event

MINIMUM = 2000
REFUNDS = (1, 3001, 5000)
"""Cents of the refunds of every order, by their number."""


@dataclass(frozen=True)
class Bought:
    """An order: of which friend, how many hours after the start, by a code or not, worth how many cents."""

    friend: int
    hours: int
    coded: bool
    cents: int


@dataclass(frozen=True)
class Told:
    """One delivery of an order."""

    order: int
    kind: str  # create, paid, cancelled, refund
    refunds: frozenset[int] = frozenset()


orders = st.lists(
    st.builds(
        Bought,
        friend=st.sampled_from([1, 1, 1, 2]),
        hours=st.integers(0, 2),
        coded=st.sampled_from([True, True, False]),
        cents=st.sampled_from([1999, 2000, 5000, 5000, 5000]),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Bought], list[Told]]:
    """What two friends buy, and what is told of it: most orders are paid, and some more happens."""
    bought = draw(orders)
    paid = [number for number in range(len(bought)) if draw(st.sampled_from([True, True, True, False]))]
    more = st.builds(
        Told,
        st.integers(0, len(bought) - 1),
        st.sampled_from(["create", "paid", "cancelled", "refund", "refund"]),
        st.frozensets(st.integers(0, 2), min_size=1, max_size=2),
    )
    told = [*(Told(number, "paid") for number in paid), *draw(st.lists(more, max_size=3))]
    return bought, told or [Told(0, "create")]


def stands(bought: list[Bought], friend: int, told: Iterable[Told]) -> bool:
    """Whether a friend is worth a reward by what was told."""
    told = list(told)
    paid = {each.order for each in told if each.kind == "paid" and bought[each.order].friend == friend}
    if not paid:
        return False
    first = min(paid, key=lambda number: (bought[number].hours, number))
    about = [each for each in told if each.order == first]
    known = {number for each in about for number in each.refunds}
    left = bought[first].cents - sum(REFUNDS[number] for number in known)
    return bought[first].coded and left >= MINIMUM and all(each.kind != "cancelled" for each in about)


async def events_of(rig: Rig, merchant_id: str, code: str, first: int, bought: list[Bought], told: Told) -> list[Event]:
    number, facts = first + told.order, bought[told.order]
    refunds = [refund(number, Decimal(REFUNDS[each]).scaleb(-2), each + 1) for each in sorted(told.refunds)]
    if told.kind == "refund":
        return [await rig.delivery(merchant_id, refund=each) for each in refunds]
    made = order(
        number,
        100 + facts.friend,
        Decimal(facts.cents).scaleb(-2),
        paid=told.kind == "paid",
        cancelled=told.kind == "cancelled",
        placed_at=START + timedelta(hours=facts.hours),
        referral_code=code if facts.coded else "",
        refunds=refunds,
    )
    return [await rig.delivery(merchant_id, topic=f"orders/{told.kind}", order=made)]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), story=stories(), at_once=st.booleans())
async def test_referrals_do_not_depend_on_arrival(
    rig: Rig, data: st.DataObject, story: tuple[list[Bought], list[Told]], at_once: bool
) -> None:
    bought, all_told = story
    merchant_id, first = f"shop-{new_number()}", new_number() * 10
    await rig.add_merchant(merchant_id)
    code = await rig.code(merchant_id=merchant_id)
    made = [(told, await events_of(rig, merchant_id, code, first, bought, told)) for told in all_told]
    repeats = data.draw(st.lists(st.sampled_from(made), max_size=4))
    arriving = data.draw(st.permutations(made + repeats))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(arriving)), max_size=4)) | {0, len(arriving)})
    batches = [arriving[start:end] for start, end in pairwise(cuts)]

    if at_once:
        consumers = [batches[start:] + batches[:start] for start in range(len(batches))]
        await asyncio.gather(*(consume(rig, each) for each in consumers))
    else:
        await consume(rig, batches)
    for friend in (1, 2):
        state = await outcome(rig, merchant_id, 100 + friend)
        standing = stands(bought, friend, all_told)
        if at_once:
            assert state in (("completed", "reversed") if standing else ("none", "reversed"))
        else:
            moments = [stands(bought, friend, [told for told, _ in arriving[:cut]]) for cut in cuts]
            fell = any(before and not after for before, after in pairwise(moments))
            assert state == ("reversed" if fell else "completed" if standing else "none")


async def consume(rig: Rig, batches: list[list[tuple[Told, list[Event]]]]) -> None:
    for batch in batches:
        await rig.apply(*(event for _, events in batch for event in events))


async def outcome(rig: Rig, merchant_id: str, friend_id: int) -> str:
    """What the others were told of a friend, which must be what the referral says."""
    found = await rig.of_friend(friend_id, merchant_id)
    told = [
        sum(each["friend_id"] == friend_id for each in await rig.told(topic, merchant_id))
        for topic in ("referral.completed", "referral.reversed")
    ]
    status = found.status if found is not None else ""
    assert told == {"completed": [1, 0], "reversed": [1, 1]}.get(status, [0, 0])
    return status if status in {"completed", "reversed"} else "none"
