"""What points takes in from other services: rules, tiers, referrals."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from integration.points.support import START, Points, delivery, order, program_rules, refund
from loyalnest.campaign.events import TierChanged
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.events import Event


def settings_changed(version: int, rate: str, merchant_id: str = "acme") -> Event:
    rules = msgspec.Raw(program_rules(rate=rate).to_json().encode())
    return SettingsChanged(version=version, rules=rules, changed_by="ann", changed_at=START).event(merchant_id, "rules")


def tier_changed(multiplier: str, hours: int = 0, customer_id: int = 1) -> Event:
    changed_at = START + timedelta(hours=hours)
    change = TierChanged(customer_id=customer_id, tier="Gold", multiplier=Decimal(multiplier), changed_at=changed_at)
    return change.event("acme", str(customer_id))


async def test_newer_rules_count_for_the_next_order_and_are_noted_with_it(points: Points) -> None:
    await points.apply(delivery(order=order(1)))
    await points.projections.settings_changed([settings_changed(2, "5")])
    await points.apply(delivery(order=order(2)))
    awards = [await points.service.award("acme", order_id) for order_id in (1, 2)]
    assert [(award["awarded"], award["settings_version"]) for award in awards] == [(100, 1), (500, 2)]


async def test_older_rules_change_nothing_in_any_order(points: Points) -> None:
    await points.projections.settings_changed([settings_changed(3, "3"), settings_changed(2, "2")])
    await points.projections.settings_changed([settings_changed(2, "2"), settings_changed(3, "9")])
    await points.apply(delivery(order=order()))
    assert await points.balances("acme") == (300, 0, 0, 0)


async def test_a_refund_is_reckoned_by_the_rule_of_its_award(points: Points) -> None:
    await points.apply(delivery(order=order()))
    await points.projections.settings_changed([settings_changed(2, "5")])
    await points.projections.tier_changed([tier_changed("3")])
    await points.apply(delivery(refund=refund(base="50")))
    assert await points.balances("acme") == (50, 0, 0, 0)


async def test_another_process_sees_new_rules(points: Points) -> None:
    """The parsed rules that one process keeps are only good for their version."""
    other = type(points)(points.database, points.url)
    await other.apply(delivery(order=order(1)))
    await points.projections.settings_changed([settings_changed(2, "5")])
    await other.apply(delivery(order=order(2)))
    assert await points.balances("acme") == (600, 0, 0, 0)


async def test_rules_that_cannot_be_read_leave_the_old_ones_in_force(points: Points) -> None:
    bad = SettingsChanged(version=2, rules=msgspec.Raw(b'{"earning": {}}'), changed_by="ann", changed_at=START)
    with pytest.raises(InvalidInput):
        await points.projections.settings_changed([bad.event("acme", "rules")])
    await points.apply(delivery(order=order()))
    assert await points.balances("acme") == (100, 0, 0, 0)


async def test_rules_may_come_by_event_before_any_seed(points: Points) -> None:
    await points.projections.settings_changed([settings_changed(4, "2", "globex")])
    await points.add_merchant("globex", rate="7")
    await points.apply(delivery("globex", order=order()))
    assert await points.balances("globex") == (200, 0, 0, 0)


async def test_a_tier_multiplies_what_is_paid_from_then_on(points: Points) -> None:
    await points.apply(delivery(order=order(1, base="10")))
    await points.projections.tier_changed([tier_changed("1.25")])
    await points.apply(delivery(order=order(2, base="10.99")), delivery(order=order(3, customer_id=2, base="10")))
    assert [(await points.service.award("acme", order_id))["awarded"] for order_id in (1, 2, 3)] == [10, 13, 10]


async def test_the_latest_tier_counts_in_any_order_of_arrival(points: Points) -> None:
    await points.projections.tier_changed([tier_changed("3", hours=2), tier_changed("2", hours=1)])
    await points.projections.tier_changed([tier_changed("9", hours=1)])
    await points.apply(delivery(order=order()))
    assert await points.balances("acme") == (300, 0, 0, 0)
