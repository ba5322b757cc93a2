"""What becomes of a referral, against small models that know neither the order of arrival nor the code's way there."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.events import new_id
from loyalnest.kit.program import Referrals
from loyalnest.referrals import rules
from loyalnest.referrals.models import Order, Reason, Referral, Status
from loyalnest.referrals.rules import CONVERSIONS_A_DAY, CONVERSIONS_A_WEEK, Claim, Evidence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINIMUM = Decimal(20)


def order(number: int, hours: int = 0, **facts: Any) -> Order:
    """A paid order of 50 by a code."""
    values: dict[str, Any] = {"referrer_id": 1, "base": Decimal(50), "paid": True} | facts
    return Order("acme", number, 2, placed_at=NOW + timedelta(hours=hours), **values)


def referral(status: Status = Status.PENDING, **fields: Any) -> Referral:
    made = Referral("acme", new_id(), 2, 1, "link", status, NOW, NOW)
    return replace(made, **fields)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"base": Decimal(20)}, ""),
        ({"base": Decimal("19.99")}, "below_minimum"),
        ({"refunded_base": Decimal(30)}, ""),
        ({"refunded_base": Decimal("30.01")}, "refunded"),
        ({"refunded_base": Decimal(60)}, "refunded"),
        ({"cancelled": True, "refunded_base": Decimal(50)}, "cancelled"),
    ],
)
def test_what_an_order_is_worth(facts: dict[str, Any], reason: str) -> None:
    assert rules.shortfall(order(1, **facts), MINIMUM) == reason


def test_without_a_minimum_an_order_must_be_worth_something() -> None:
    assert rules.shortfall(order(1, base=Decimal("0.01")), Decimal(0)) == ""
    assert rules.shortfall(order(1, base=Decimal(0)), Decimal(0)) == "below_minimum"
    assert rules.shortfall(order(1, refunded_base=Decimal(50)), Decimal(0)) == "refunded"


some_orders = st.lists(
    st.builds(
        lambda hours, coded, paid, cents, back, cancelled: Order(
            "acme",
            0,
            2,
            referrer_id=1 if coded else None,
            placed_at=NOW + timedelta(hours=hours),
            base=Decimal(cents).scaleb(-2) if paid else None,
            refunded_base=Decimal(back).scaleb(-2),
            paid=paid,
            cancelled=cancelled,
        ),
        hours=st.integers(0, 3),
        coded=st.booleans(),
        paid=st.booleans(),
        cents=st.sampled_from([0, 1999, 2000, 5000]),
        back=st.sampled_from([0, 0, 1, 3000, 3001, 5000, 9000]),
        cancelled=st.sampled_from([False, False, True]),
    ),
    max_size=4,
).map(lambda found: [replace(each, order_id=number) for number, each in enumerate(found, 1)])


def first_paid(orders: Sequence[Order]) -> Order | None:
    """By looking at each: nothing paid stands before it."""
    paid = [each for each in orders if each.paid]
    for each in paid:
        assert each.placed_at is not None
        if all((each.placed_at, each.order_id) <= (one.placed_at or NOW, one.order_id) for one in paid):
            return each
    return None


def model(orders: Sequence[Order]) -> str:
    """Whether a friend with these orders is worth a reward, and if not, why."""
    if not any(each.referrer_id for each in orders):
        return "no referral"
    first = first_paid(orders)
    if first is None:
        return "pending"
    if first.referrer_id is None:
        return "existing_customer"
    assert first.base is not None
    if first.cancelled:
        return "cancelled"
    if first.base < MINIMUM:
        return "below_minimum"
    return "refunded" if first.base - first.refunded_base < MINIMUM else "stands"


@given(some_orders)
def test_what_the_orders_say(orders: list[Order]) -> None:
    first = first_paid(orders)
    for shuffled in permutations(orders):
        claim = rules.claim_of(first.order_id if first else None, shuffled, MINIMUM)
        if claim is None:
            said = "no referral"
        else:
            said = {Status.PENDING: "pending", Status.COMPLETED: "stands"}.get(claim.status, str(claim.reason))
        assert said == model(orders)


evidences = st.builds(
    Evidence,
    shared=st.frozensets(st.sampled_from(["email", "phone", "address"])),
    known_before=st.booleans(),
    day=st.integers(0, CONVERSIONS_A_DAY + 2),
    week=st.integers(0, CONVERSIONS_A_WEEK + 2),
)


@given(st.integers(1, 2), st.integers(1, 2), evidences)
def test_only_a_stranger_of_a_patient_referrer_completes(referrer: int, friend: int, evidence: Evidence) -> None:
    status, reason = rules.judge(referrer, friend, evidence)
    himself = referrer == friend or "email" in evidence.shared or "phone" in evidence.shared
    hasty = evidence.day >= CONVERSIONS_A_DAY or evidence.week >= CONVERSIONS_A_WEEK
    assert (reason == "self_referral") == himself
    assert (reason == "existing_customer") == (evidence.known_before and not himself)
    assert (status == "refused") == (himself or evidence.known_before)
    assert (status == "held") == (status != "refused" and ("address" in evidence.shared or hasty))
    assert (status == "completed") == (reason == "")


@given(evidences, st.sampled_from(["email", "phone", "address"]))
def test_more_evidence_never_helps(evidence: Evidence, kind: str) -> None:
    worse = {Status.COMPLETED: 0, Status.HELD: 1, Status.REFUSED: 2}
    before = worse[rules.judge(1, 2, evidence)[0]]
    for more in (
        replace(evidence, shared=evidence.shared | {kind}),
        replace(evidence, known_before=True),
        replace(evidence, day=evidence.day + 1, week=evidence.week + 1),
    ):
        assert worse[rules.judge(1, 2, more)[0]] >= before


STANDS = Claim(order(1), Status.COMPLETED)
FALLS = Claim(order(1), Status.REFUSED, Reason.REFUNDED)


@pytest.mark.parametrize(
    ("before", "claim", "after"),
    [
        (Status.COMPLETED, STANDS, ("completed", "")),
        (Status.COMPLETED, FALLS, ("reversed", "refunded")),
        (Status.HELD, STANDS, ("held", "")),
        (Status.HELD, FALLS, ("refused", "refunded")),
        (Status.REFUSED, STANDS, ("refused", "")),
        (Status.REFUSED, FALLS, ("refused", "")),
        (Status.REVERSED, STANDS, ("reversed", "")),
        (Status.REVERSED, FALLS, ("reversed", "")),
    ],
)
def test_what_was_judged_is_never_judged_again(before: Status, claim: Claim, after: tuple[str, str]) -> None:
    found = referral(before, judged_at=NOW)
    assert rules.follow(found, claim) is False
    assert (found.status, found.reason) == after


def test_what_was_not_judged_follows_its_orders() -> None:
    found = referral()
    assert rules.follow(found, FALLS) is False
    assert (found.status, found.reason, found.order_id) == ("refused", "refunded", 1)
    assert rules.follow(found, Claim(order(3, referrer_id=9, channel="sms"), Status.COMPLETED)) is True
    assert (found.referrer_id, found.channel, found.order_id) == (9, "sms", 3)


def test_terms_are_fixed_once() -> None:
    found = referral()
    rules.fix_terms(found, Referrals(referrer_points=5, friend_points=3, minimum_spend=MINIMUM), 4, NOW)
    rules.fix_terms(found, Referrals(referrer_points=9), 5, NOW)
    rules.fix_terms(found, None, 6, NOW)
    assert (found.referrer_points, found.friend_points, found.settings_version) == (5, 3, 4)
    assert found.minimum_spend == MINIMUM
    none = referral()
    rules.fix_terms(none, None, 4, NOW)
    rules.fix_terms(none, Referrals(referrer_points=9), 5, NOW)
    assert (none.status, none.reason, none.referrer_points, none.judged_at) == ("refused", "not_offered", 0, NOW)
