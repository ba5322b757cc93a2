"""Whatever the order and the repetition of events, who holds what in the end is what a small model says."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.gamification.support import (
    NOON,
    Rig,
    again,
    clawed_back,
    draft,
    earned,
    granted,
    product,
    referred,
    settings_changed,
    unreferred,
)
from loyalnest.gamification import badge_repository
from loyalnest.gamification.definitions import checked
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.kit.context import as_merchant
from loyalnest.kit.events import Event

BERLIN = ZoneInfo("Europe/Berlin")
CUSTOMERS = (1, 2, 3)
COFFEE, TEA, MUG = 1, 2, 3
RULES: list[dict[str, Any]] = [
    {"kind": "orders", "target": "2"},
    {"kind": "referrals", "target": "1"},
    {"kind": "weekly_streak", "target": "2"},
    {"kind": "spend", "target": "8"},
    {"kind": "category_spend", "target": "3", "product_ids": (COFFEE, MUG)},
    {"kind": "category_spend", "target": "4", "product_type": "tea"},
    {"kind": "lifetime_points", "target": "12"},
]
runs = count(1)


@dataclass(frozen=True)
class Order:
    """An order and what became of it: after each of `refunds`, its rest in quarters and the points taken back."""

    customer: int
    spend: tuple[int, int, int]  # on coffee, tea and mugs
    points: int
    day: int
    known: bool
    refunds: tuple[tuple[int, int], ...]
    cancelled: bool

    @property
    def base(self) -> int:
        return sum(self.spend)

    @property
    def placed_at(self) -> datetime:
        return NOON + timedelta(days=self.day)

    @property
    def net(self) -> Fraction:
        return Fraction(self.base * min((rest for rest, _ in self.refunds), default=4), 4)

    def counts(self, *, after_refunds: bool) -> bool:
        return self.known and self.base > 0 and (not after_refunds or (self.net > 0 and not self.cancelled))


@dataclass(frozen=True)
class Referral:
    referrer: int
    friend: int
    points: int
    completed: bool
    reversed: bool


@dataclass(frozen=True)
class Story:
    orders: list[Order]
    referrals: list[Referral]
    grants: list[tuple[int, int]]
    types: list[tuple[int, str, int]]  # product, type, told on which day; None of two on one day


orders = st.builds(
    Order,
    customer=st.sampled_from(CUSTOMERS),
    spend=st.tuples(*[st.integers(0, 4)] * 3),
    points=st.integers(0, 10),
    day=st.integers(-20, 20),
    known=st.sampled_from([True, True, True, False]),
    refunds=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=2, unique_by=lambda each: each[0]).map(
        lambda each: tuple(sorted(each, reverse=True))
    ),
    cancelled=st.sampled_from([False, False, True]),
)
referrals = st.builds(
    Referral, st.just(1) | st.just(2), st.just(3) | st.just(4), st.integers(0, 8), st.booleans(), st.booleans()
)
stories = st.builds(
    Story,
    orders=st.lists(orders, max_size=6),
    referrals=st.lists(referrals, max_size=3),
    grants=st.lists(st.tuples(st.sampled_from(CUSTOMERS), st.integers(1, 8)), max_size=2),
    types=st.lists(
        st.tuples(st.sampled_from([COFFEE, TEA, MUG]), st.sampled_from(["tea", "Tea ", "mug"]), st.integers(0, 9)),
        max_size=5,
        unique_by=lambda each: (each[0], each[2]),
    ),
)


def events_of(merchant_id: str, story: Story) -> list[Event]:
    told: list[Event] = []
    for number, order in enumerate(story.orders, 1):
        if order.known:
            spend = [(each, str(base)) for each, base in enumerate(order.spend, 1) if base]
            told.append(
                earned(
                    merchant_id,
                    number,
                    order.customer,
                    order.base,  # type: ignore[arg-type] # a whole number will do
                    placed_at=order.placed_at,
                    points=order.points,
                    products=spend,
                )
            )
        for rest, points in order.refunds:
            net = Decimal(order.base * rest) / 4
            told.append(clawed_back(merchant_id, number, order.customer, net, points=points))
        if order.cancelled:
            told.append(clawed_back(merchant_id, number, order.customer, "0", cancelled=True, points=1))
    for number, each in enumerate(story.referrals):
        if each.completed:
            told.append(referred(merchant_id, f"r{number}", each.referrer, each.friend, each.points))
        if each.reversed:
            told.append(unreferred(merchant_id, f"r{number}", each.referrer, each.friend))
    told += [granted(merchant_id, customer, points) for customer, points in story.grants]
    told += [product(merchant_id, *each[:2], updated_at=NOON + timedelta(days=each[2])) for each in story.types]
    return told


def points_of(story: Story, customer: int, *, after: bool) -> Counter[str]:
    """Points by local month of when they were earned, and in all."""
    found: Counter[str] = Counter()

    def add(moment: datetime, points: int) -> None:
        found[f"{moment.astimezone(BERLIN):%Y-%m}"] += points
        found["all"] += points

    for order in story.orders:
        if order.customer == customer and order.known:
            lost = sum(points for _, points in order.refunds) + int(order.cancelled)
            add(order.placed_at, max(0, order.points - lost) if after else order.points)
    for each in story.referrals:
        if each.completed and not (after and each.reversed):
            add(NOON, (each.referrer == customer) * each.points + (each.friend == customer) * (each.points // 2))
    for who, points in story.grants:
        add(NOON, points if who == customer else 0)
    return found


def value(story: Story, rule: dict[str, Any], customer: int, *, after: bool) -> Fraction | int:
    mine = [each for each in story.orders if each.customer == customer and each.counts(after_refunds=after)]
    match rule["kind"]:
        case "orders":
            return len(mine)
        case "spend":
            return sum((each.net if after else Fraction(each.base)) for each in mine)
        case "lifetime_points":
            return points_of(story, customer, after=after)["all"]
        case "referrals":
            return sum(
                each.referrer == customer and each.completed and not (after and each.reversed)
                for each in story.referrals
            )
        case "weekly_streak":
            weeks = {each.placed_at.astimezone(BERLIN).toordinal() + 6 for each in mine}
            numbers = sorted({(day - 7) // 7 for day in weeks})  # day 1 was a Monday
            runs = [1 for _ in numbers]
            for place in range(1, len(numbers)):
                if numbers[place] - numbers[place - 1] == 1:
                    runs[place] = runs[place - 1] + 1
            return max(runs, default=0)
        case _:
            newest = {each[0]: each[1] for each in sorted(story.types, key=lambda each: each[2])}
            wanted = rule.get("product_ids") or [each for each in newest if newest[each].strip().lower() == "tea"]
            total = Fraction(0)
            for each in mine:
                part = sum(spent for place, spent in enumerate(each.spend, 1) if place in wanted)
                total += part * each.net / each.base if after else part
            return total


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories, data=st.data())
async def test_every_order_of_arrival_ends_the_same(rig: Rig, story: Story, data: st.DataObject) -> None:
    merchant_id = f"shop-{next(runs)}"
    await rig.give(settings_changed(merchant_id, 1, "Europe/Berlin"))
    badges = [
        (f"badge-{number}-{'net' if after else 'gross'}", rule, after)
        for number, rule in enumerate(RULES)
        for after in (True, False)
        if after or "product_type" not in rule  # a badge that is kept is kept when a product changes its type, too
    ]
    async with rig.database.request(merchant_id) as connection:
        wanted = [checked(draft(key, **rule, take_back_on_refund=after)) for key, rule, after in badges]
        await badge_repository.insert(connection, merchant_id, wanted, NOON)
    await join(rig, merchant_id, 1)
    told = events_of(merchant_id, story)
    repeated = data.draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    renamed = again(repeated)
    arriving = data.draw(st.permutations([*told, *repeated, *renamed]))
    while arriving:
        size = data.draw(st.integers(1, 8))
        batch, arriving = arriving[:size], arriving[size:]
        await rig.give(*sorted(batch, key=lambda each: each.topic))
        if data.draw(st.integers(0, 5)) == 0:
            await rig.jobs.sweep()
    await join(rig, merchant_id, 2)
    await rig.jobs.sweep()

    assert await rig.held(merchant_id) == {
        (customer, key)
        for customer in CUSTOMERS
        for key, rule, after in badges
        if value(story, rule, customer, after=after) >= Decimal(rule["target"])
    }
    last = {(each.customer_id, each.badge): not each.revoked for each in await rig.told(BadgeAwarded, merchant_id)}
    assert {key for key, held in last.items() if held} == await rig.held(merchant_id), "whoever listens knows it too"
    for period in ("all", "2026-10", "2026-11", "2026-12"):
        expected = {each: points_of(story, each, after=True)[period] for each in (1, 2)}
        board = await rig.leaderboard.board(merchant_id, period, 10)
        shown = {each.place.customer_id: each.place.points for each in board.top}
        assert shown == {each: points for each, points in expected.items() if points > 0}


async def join(rig: Rig, merchant_id: str, customer_id: int) -> None:
    with as_merchant(merchant_id, actor=f"shopper:{customer_id}", role="shopper"):
        await rig.leaderboard.join(merchant_id, customer_id, f"Shopper {customer_id}")
