"""Awards against a model in fractions that looks at what was said of an order as a set, not one after the other."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

from hypothesis import given, settings
from hypothesis import strategies as st

from loyalnest.api_gateway.events import OrderFacts
from loyalnest.kit.program import EarningRule, Trigger
from loyalnest.points import awards
from loyalnest.points.models import OrderAward
from loyalnest.points.rates import MAX_POINTS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def decimals(most: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.tuples(st.integers(0, most), st.integers(0, places)).map(lambda two: Decimal(two[0]).scaleb(-two[1]))


bases = st.one_of(decimals(10**6, 3), decimals(10**15 - 1, 6))
rates = decimals(10**8, 6).filter(lambda rate: 0 < rate <= 10**6)
multipliers = st.one_of(st.just(Decimal(1)), decimals(10**4, 4).filter(lambda each: 0 < each <= 100))
by_rate = rates.map(lambda rate: EarningRule(name="rate", trigger=Trigger.ORDER, points_per_unit=rate))
fixed = st.integers(1, 10**9).map(lambda points: EarningRule(name="fixed", trigger=Trigger.ORDER, points=points))
rules = st.one_of(by_rate, fixed)


@dataclass(frozen=True)
class Said:
    """One delivery. refunds: ids of those in it; alone: it is a refund's own."""

    paid: bool = False
    cancelled: bool = False
    alone: bool = False
    refunds: frozenset[int] = frozenset()


some_refunds = st.frozensets(st.integers(0, 3))
kinds = st.one_of(
    st.builds(Said, refunds=some_refunds),  # created, unpaid
    st.builds(Said, paid=st.booleans(), refunds=some_refunds),  # updated, paid
    st.builds(Said, paid=st.booleans(), cancelled=st.just(True), refunds=some_refunds),
    st.builds(Said, alone=st.just(True), refunds=st.frozensets(st.integers(0, 3), min_size=1, max_size=1)),
)


def standing(rule: EarningRule, multiplier: Decimal, base: Decimal, net: Fraction) -> int:
    """The model's points."""
    if rule.points_per_unit is not None:
        exact = net * Fraction(rule.points_per_unit) * Fraction(multiplier)
    else:
        share = net / Fraction(base) if base else Fraction(1)
        exact = Fraction(rule.points or 0) * Fraction(multiplier) * share
    return min(MAX_POINTS, floor(exact))


@settings(max_examples=200, deadline=None)
@given(base=bases, rule=rules, multiplier=multipliers, parts=st.lists(bases, max_size=5), cancelled=st.booleans())
def test_points_are_exact_and_refunds_add_up(
    base: Decimal, rule: EarningRule, multiplier: Decimal, parts: list[Decimal], cancelled: bool
) -> None:
    award = OrderAward("acme", 1)
    order = OrderFacts(order_id=1, customer_id=1, base=base, paid=True, placed_at=NOW)
    accrual = awards.earn(award, order, rule, multiplier=multiplier, settings_version=1, now=NOW)
    assert accrual is not None
    assert award.awarded == standing(rule, multiplier, base, Fraction(base))
    left, net = award.awarded, Fraction(base)
    for part in parts:
        award.refunded_base += part
        net = max(Fraction(0), net - Fraction(part))
        clawback = awards.claw_back_excess(award)
        left -= clawback.points if clawback else 0
        assert left == standing(rule, multiplier, base, net) >= 0
    award.cancelled = cancelled
    clawback = awards.claw_back_excess(award)
    assert award.clawed_back == (award.awarded if cancelled else award.awarded - left)
    assert awards.claw_back_excess(award) is None


def tell(
    award: OrderAward, seen: set[int], said: Said, refunds: list[Decimal], facts: OrderFacts, rule: EarningRule
) -> None:
    """Apply one delivery as a batch of one does."""
    if not said.alone:
        award.cancelled |= said.cancelled
        awards.earn(award, facts, rule, multiplier=Decimal("1.25"), settings_version=1, now=NOW)
    for number in sorted(said.refunds - seen):
        award.refunded_base += refunds[number]
    seen |= said.refunds
    awards.claw_back_excess(award)
    assert 0 <= award.clawed_back <= award.awarded


@settings(max_examples=150, deadline=None)
@given(data=st.data(), base=decimals(10**5, 2), rule=rules, all_said=st.lists(kinds, min_size=1, max_size=6))
def test_any_order_of_arrival_and_any_repetition_ends_in_the_same_points(
    data: st.DataObject, base: Decimal, rule: EarningRule, all_said: list[Said]
) -> None:
    refunds = data.draw(st.lists(decimals(10**5, 2), min_size=4, max_size=4))
    paid = any(said.paid for said in all_said)
    back = sum((Fraction(refunds[number]) for number in {n for said in all_said for n in said.refunds}), Fraction(0))
    net = max(Fraction(0), Fraction(base) - back)
    if not base:
        net = Fraction(0)
    awarded = standing(rule, Decimal("1.25"), base, Fraction(base)) if paid else 0
    stands = 0 if not paid or any(said.cancelled for said in all_said) else standing(rule, Decimal("1.25"), base, net)

    again = data.draw(st.lists(st.sampled_from(all_said), max_size=4))
    award, seen = OrderAward("acme", 1), set[int]()
    for said in data.draw(st.permutations(all_said + again)):
        facts = OrderFacts(order_id=1, customer_id=1, base=base, paid=said.paid, placed_at=NOW)
        tell(award, seen, said, refunds, facts, rule)
    assert (award.awarded, award.awarded - award.clawed_back) == (awarded, stands)
    assert Fraction(award.refunded_base) == back
