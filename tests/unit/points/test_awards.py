"""What an order earns and what of it should stand, example by example."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from loyalnest.api_gateway.events import OrderFacts
from loyalnest.kit.program import EarningRule, Trigger
from loyalnest.points import awards
from loyalnest.points.models import OrderAward
from loyalnest.points.rates import MAX_POINTS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Decimal(1)


def rule(rate: str | None = None, fixed: int | None = None) -> EarningRule:
    amount = Decimal(rate) if rate else None
    return EarningRule(name="purchase", trigger=Trigger.ORDER, points_per_unit=amount, points=fixed)


def order(base: str = "100", *, customer_id: int | None = 1, paid: bool = True) -> OrderFacts:
    return OrderFacts(order_id=1, customer_id=customer_id, base=Decimal(base), paid=paid, placed_at=NOW, currency="EUR")


def earned(base: str, by: EarningRule | None, multiplier: str = "1") -> OrderAward:
    award = OrderAward("acme", 1)
    awards.earn(award, order(base), by, multiplier=Decimal(multiplier), settings_version=1, now=NOW)
    return award


@pytest.mark.parametrize(
    ("base", "rate", "multiplier", "points"),
    [
        ("100", "1", "1", 100),
        ("0.99", "1", "1", 0),
        ("12.99", "10", "1", 129),
        ("0.07", "100", "1", 7),  # 0.07 × 100 is 7.000000000000001 in floats, and 0.29 × 100 is 28.999999999999996
        ("0.29", "100", "1", 29),
        ("33.33", "3", "1", 99),
        ("19.99", "1.5", "1.25", 37),  # 37.48125
        ("0.000001", "1000000", "1", 1),
        ("999999999999999.999999", "1", "1", 999_999_999_999_999),
        ("0", "10", "1", 0),
    ],
)
def test_points_are_the_floor_of_base_times_rate_times_multiplier(
    base: str, rate: str, multiplier: str, points: int
) -> None:
    assert earned(base, rule(rate), multiplier).awarded == points


def test_no_award_exceeds_the_bound_that_keeps_sums_in_64_bits() -> None:
    award = earned("999999999999999", rule("1000000"), "100")
    assert award.awarded == MAX_POINTS
    award.refunded_base = Decimal(1)
    assert awards.claw_back_excess(award) is None  # what should stand is still over the bound


def test_a_fixed_number_is_multiplied_and_clawed_back_in_proportion() -> None:
    award = earned("30", rule(fixed=101), "1.5")
    assert award.awarded == 151
    award.refunded_base = Decimal(10)
    assert awards.standing_points(award) == 101  # 151.5 × 20 / 30
    award.refunded_base = Decimal(30)
    assert awards.standing_points(award) == 0


def test_a_fixed_number_for_a_free_order_stands_until_it_is_cancelled() -> None:
    award = earned("0", rule(fixed=50))
    assert award.awarded == 50
    award.refunded_base = Decimal(5)
    assert awards.standing_points(award) == 50
    award.cancelled = True
    assert awards.standing_points(award) == 0


def test_without_a_rule_an_order_counts_but_earns_nothing() -> None:
    award = OrderAward("acme", 1)
    accrual = awards.earn(award, order(), None, multiplier=ONE, settings_version=3, now=NOW)
    assert accrual is not None
    assert (award.awarded, award.awarded_at, award.base, award.settings_version) == (0, NOW, Decimal(100), 3)


def test_what_decided_is_kept_with_the_award() -> None:
    award = OrderAward("acme", 1)
    accrual = awards.earn(award, order("20"), rule("2"), multiplier=Decimal("1.5"), settings_version=4, now=NOW)
    assert accrual == awards.Accrual(award, order("20"))
    assert award.awarded == 60
    assert (award.rule, award.points_per_unit, award.fixed_points) == ("purchase", Decimal(2), None)
    assert (award.multiplier, award.settings_version, award.customer_id) == (Decimal("1.5"), 4, 1)


@pytest.mark.parametrize("facts", [order(paid=False), order(customer_id=None)])
def test_an_order_that_is_not_paid_or_of_nobody_awaits_a_better_delivery(facts: OrderFacts) -> None:
    award = OrderAward("acme", 1)
    assert awards.earn(award, facts, rule("1"), multiplier=ONE, settings_version=1, now=NOW) is None
    assert award == OrderAward("acme", 1)
    assert awards.earn(award, order(), rule("1"), multiplier=ONE, settings_version=1, now=NOW)


def test_only_the_first_paid_delivery_earns() -> None:
    award = earned("10", rule("1"))
    assert awards.earn(award, order("99"), rule("5"), multiplier=ONE, settings_version=2, now=NOW) is None
    assert (award.awarded, award.base, award.settings_version) == (10, Decimal(10), 1)


def test_clawbacks_add_up_and_are_numbered() -> None:
    award = earned("10", rule("0.333"))  # 3.33
    taken = []
    for _ in range(4):
        award.refunded_base += Decimal("2.5")
        clawback = awards.claw_back_excess(award)
        taken.append(clawback and (clawback.points, clawback.number))
    assert taken == [(1, 1), (1, 2), (1, 3), None]
    assert (award.clawed_back, award.clawbacks) == (3, 3)


def test_more_is_never_clawed_back_than_was_awarded() -> None:
    award = earned("10", rule("1"))
    award.refunded_base = Decimal(1000)
    assert awards.claw_back_excess(award) == awards.Clawback(award, 10, 1)
    award.cancelled = True
    assert awards.claw_back_excess(award) is None
    assert award.clawed_back == award.awarded == 10


def test_nothing_is_clawed_back_before_anything_was_earned() -> None:
    award = OrderAward("acme", 1, refunded_base=Decimal(5), cancelled=True)
    assert awards.claw_back_excess(award) is None
