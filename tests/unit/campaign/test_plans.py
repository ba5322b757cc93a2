"""What may be said of a campaign, and what of it may still change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from loyalnest.campaign import plans
from loyalnest.campaign.models import Campaign, Plan
from loyalnest.kit.errors import InvalidInput, PreconditionFailed

START = datetime(2026, 11, 27, tzinfo=UTC)
END = START + timedelta(days=4)
LADDER = ["Bronze", "Gold"]
PLAN = Plan(name="Black Friday", multiplier=Decimal(2), starts_at=START, ends_at=END)


def planned(**changes: Any) -> Plan:
    return plans.checked(replace(PLAN, **changes), LADDER)


def campaign(*, ended: bool = False) -> Campaign:
    return Campaign(UUID(int=1), 1, PLAN, ended=ended, created_at=START, changed_at=START)


def test_names_are_written_as_they_are_elsewhere_and_once() -> None:
    found = planned(
        name=" Week ", tiers=("gold", "GOLD "), segments=("Champions", "new"), product_ids=(7, 3, 7), budget_points=1
    )
    assert (found.name, found.tiers, found.segments) == ("Week", ("Gold",), ("champions", "new"))
    assert (found.product_ids, found.budget_points) == ((3, 7), 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "name: 1 to 100 characters"),
        ({"name": "x" * 101}, "name: 1 to 100 characters"),
        ({"name": "a\nb"}, "name: 1 to 100 characters"),
        ({"multiplier": Decimal(1)}, "multiplier: must be more than 1, at most 100"),
        ({"multiplier": Decimal("100.0001")}, "multiplier: must be more than 1, at most 100"),
        ({"multiplier": Decimal("1.00001")}, "with at most 4 decimal places"),
        ({"ends_at": START}, "ends_at: must be after starts_at"),
        ({"ends_at": START + timedelta(days=732)}, "ends_at: must be at most 731 days after starts_at"),
        ({"product_ids": (0,)}, "product_ids: at most 1000 of Shopify's numeric product ids"),
        ({"product_ids": tuple(range(1, 1002))}, "product_ids: at most 1000"),
        ({"tiers": ("Silver",)}, "tiers: there is no tier 'Silver'; there is Bronze, Gold"),
        ({"segments": ("rich",)}, "segments: there is no segment 'rich'; there is champions, loyal"),
        ({"budget_points": 0}, "budget_points: must be from 1 to"),
        ({"budget_points": 10**12 + 1}, "budget_points: must be from 1 to"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        planned(**changes)
    assert words in caught.value.detail


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        plans.checked(replace(PLAN, name="", multiplier=Decimal(0), tiers=("Gold",)), [])
    assert caught.value.detail.count(";") == 3
    assert "tiers: there is no tier 'Gold'; this program has no tiers" in caught.value.detail


def test_states() -> None:
    moments = [START - timedelta(seconds=1), START, END - timedelta(seconds=1), END]
    assert [campaign().state(moment) for moment in moments] == ["planned", "running", "running", "over"]
    assert {campaign(ended=True).state(moment) for moment in moments} == {"ended"}


def test_before_it_starts_everything_may_change() -> None:
    other = planned(multiplier=Decimal(3), product_ids=(1,), tiers=("Gold",), starts_at=START + timedelta(hours=1))
    assert plans.changed(campaign(), other, START - timedelta(seconds=1)) == other


def test_once_it_runs_only_its_name_its_end_and_its_budget_may() -> None:
    other = planned(name="Longer", ends_at=END + timedelta(days=1), budget_points=5)
    assert plans.changed(campaign(), other, START) == other
    for changes, words in (
        ({"multiplier": Decimal(3)}, "the multiplier"),
        ({"starts_at": START + timedelta(hours=1)}, "the start"),
        ({"product_ids": (1,)}, "the products"),
        ({"segments": ("new",)}, "the segments"),
        ({"tiers": ("Gold",)}, "the tiers"),
    ):
        with pytest.raises(PreconditionFailed, match=words):
            plans.changed(campaign(), planned(**changes), START)
    with pytest.raises(PreconditionFailed, match="must be in the future"):
        plans.changed(campaign(), planned(ends_at=START + timedelta(hours=1)), START + timedelta(hours=1))


def test_what_is_over_stays_as_it_is() -> None:
    longer = planned(ends_at=END + timedelta(days=9))
    for over, now in ((campaign(), END), (campaign(ended=True), START)):
        with pytest.raises(PreconditionFailed, match="is over"):
            plans.changed(over, longer, now)
