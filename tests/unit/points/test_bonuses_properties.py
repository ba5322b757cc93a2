"""Bonuses and budgets against a model in fractions that looks at one line and one campaign at a time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from loyalnest.api_gateway.events import LineFacts, OrderFacts
from loyalnest.kit.program import EarningRule, Trigger
from loyalnest.points import awards, bonuses
from loyalnest.points.bonuses import Campaign
from loyalnest.points.models import OrderAward

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Offer:
    """A campaign: its multiplier in hundredths, whom and what it is for, and its budget."""

    hundredths: int
    products: frozenset[int]
    gold_only: bool
    late: bool
    budget: int | None

    def campaign(self, number: int) -> Campaign:
        starts_at = NOW + timedelta(seconds=self.late)
        return Campaign(
            merchant_id="acme",
            campaign_id=UUID(int=number),
            multiplier=Decimal(self.hundredths).scaleb(-2),
            starts_at=starts_at,
            ends_at=starts_at + timedelta(days=1),
            product_ids=self.products,
            segments=frozenset(),
            tiers=frozenset({"Gold"} if self.gold_only else ()),
            budget_points=self.budget,
            ended=False,
            spent=0,
            stored_spent=0,
        )


@dataclass(frozen=True)
class Buy:
    """An order: (product, cents) by line, 0 for a line of no product; and what is refunded of it later, in cents."""

    lines: tuple[tuple[int, int], ...]
    gold: bool
    refunds: tuple[int, ...]
    cancelled: bool


offers = st.builds(
    Offer,
    st.integers(101, 400),
    st.frozensets(st.integers(1, 3), max_size=2),
    st.booleans(),
    st.sampled_from([False, False, False, True]),
    st.none() | st.integers(1, 300),
)
lines = st.tuples(st.integers(0, 3), st.integers(0, 5000))
buys = st.builds(
    Buy,
    st.lists(lines, max_size=4).map(tuple),
    st.booleans(),
    st.lists(st.integers(0, 4000), max_size=2).map(tuple),
    st.sampled_from([False, False, True]),
)
by_rate = st.sampled_from(["1", "0.37", "12.5"]).map(
    lambda rate: EarningRule(name="rate", trigger=Trigger.ORDER, points_per_unit=Decimal(rate))
)
fixed = st.integers(1, 50).map(lambda points: EarningRule(name="fixed", trigger=Trigger.ORDER, points=points))


class Model:
    """What every campaign has left, and what orders get."""

    def __init__(self, offers: list[Offer], rule: EarningRule) -> None:
        self.offers = offers
        self.left = [offer.budget for offer in offers]
        self.rule = rule

    def best(self, product: int, gold: bool, left: list[int | None]) -> int | None:
        """The number of the campaign that a line of `product` earns by."""
        choice = None
        for number, offer in enumerate(self.offers):
            fits = (not offer.products or product in offer.products) and (gold or not offer.gold_only)
            if not fits or offer.late or left[number] == 0:
                continue
            if choice is None or offer.hundredths > self.offers[choice].hundredths:
                choice = number
        return choice

    def give(self, buy: Buy, multiplier: Fraction) -> dict[int, int]:
        """The bonus of each campaign, taken from what it has left."""
        base = Fraction(sum(cents for _, cents in buy.lines), 100)
        left = list(self.left)
        wanted: dict[int, Fraction] = {}
        for product, cents in buy.lines if base else ((0, 0),):
            number = self.best(product, buy.gold, left)
            if number is None:
                continue
            if self.rule.points_per_unit is not None:
                points = Fraction(cents, 100) * Fraction(self.rule.points_per_unit)
            else:
                points = Fraction(self.rule.points or 0) * (Fraction(cents, 100) / base if base else 1)
            extra = Fraction(self.offers[number].hundredths - 100, 100)
            wanted[number] = wanted.get(number, Fraction(0)) + points * multiplier * extra
        given = {}
        for number, points in wanted.items():
            remaining = left[number]
            given[number] = floor(points) if remaining is None else min(floor(points), remaining)
            self.add(number, -given[number])
        return given

    def add(self, number: int, points: int) -> None:
        remaining = self.left[number]
        self.left[number] = None if remaining is None else remaining + points


@settings(max_examples=250, deadline=None)
@given(
    all_offers=st.lists(offers, max_size=4),
    story=st.lists(buys, min_size=1, max_size=4),
    rule=st.one_of(by_rate, fixed),
    tier=st.sampled_from(["1", "1.25"]),
)
def test_bonuses_are_those_of_the_model(
    all_offers: list[Offer], story: list[Buy], rule: EarningRule, tier: str
) -> None:
    model = Model(all_offers, rule)
    campaigns = {("acme", each.campaign_id): each for each in map(Offer.campaign, all_offers, range(len(all_offers)))}
    for order_id, buy in enumerate(story):
        award, plain = OrderAward("acme", order_id), OrderAward("acme", order_id)
        order = order_of(order_id, buy)
        for each in (award, plain):
            awards.earn(each, order, rule, multiplier=Decimal(tier), settings_version=1, now=NOW)
        bonuses.give(award, order, campaigns.values(), "Gold" if buy.gold else "Silver", "")
        given = model.give(buy, Fraction(tier))
        assert {each.campaign_id.int: each.points for each in award.bonuses} == {k: v for k, v in given.items() if v}
        assert award.awarded == plain.awarded + sum(given.values())

        net = base = Fraction(order.base)
        stands = dict(given)
        for cents in (*buy.refunds, None):
            if cents is None and not buy.cancelled:
                break
            for each in (award, plain):
                each.refunded_base += Decimal(cents or 0).scaleb(-2)
                each.cancelled = cents is None
            net = Fraction(0) if cents is None else max(Fraction(0), net - Fraction(cents, 100))
            clawback = awards.claw_back_excess(award)
            awards.claw_back_excess(plain)
            bonuses.take_back("acme", clawback.returned if clawback else (), campaigns)
            for number, points in given.items():
                now = 0 if cents is None else floor(points * net / base) if base else points
                model.add(number, stands[number] - now)
                stands[number] = now
            assert award.awarded - award.clawed_back == plain.awarded - plain.clawed_back + sum(stands.values())
            assert sum(each.clawed_back for each in award.bonuses) == sum(given.values()) - sum(stands.values())
        for number, campaign in enumerate(campaigns.values()):
            assert campaign.spent >= 0
            if campaign.budget_points is not None:
                assert campaign.left == model.left[number] == campaign.budget_points - campaign.spent


def order_of(order_id: int, buy: Buy) -> OrderFacts:
    facts = [
        LineFacts(line_id=number, product_id=product or None, quantity=1, base=Decimal(cents).scaleb(-2))
        for number, (product, cents) in enumerate(buy.lines)
    ]
    base = sum((each.base for each in facts), Decimal(0))
    return OrderFacts(order_id=order_id, customer_id=1, base=base, paid=True, placed_at=NOW, lines=facts)


def test_an_award_never_exceeds_the_most_with_its_bonus() -> None:
    award = OrderAward("acme", 1)
    rule = EarningRule(name="rate", trigger=Trigger.ORDER, points_per_unit=Decimal(10**6))
    order = OrderFacts(order_id=1, customer_id=1, base=Decimal(10**9 - 1), paid=True, placed_at=NOW)
    awards.earn(award, order, rule, multiplier=Decimal(1), settings_version=1, now=NOW)
    campaign = Offer(10_000, frozenset(), False, False, None).campaign(1)
    bonuses.give(award, order, [campaign], "", "")
    assert award.awarded == 10**15
    assert campaign.spent == 10**6
