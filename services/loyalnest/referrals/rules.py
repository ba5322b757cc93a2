"""What becomes of a referral: pure decisions.

Two questions are kept apart. What the friend's orders say (`claim_of`) is asked anew after every delivery and depends
on the orders alone, in any order of arrival. Who the friend is (`judge`) is asked once, when the orders first say that
the referral stands, by what is known then.

An order counts while it is paid, not cancelled, and worth more than nothing and at least the minimum spend, refunds
taken off. So it is refused or reversed by the same rule: by a cancellation, a full refund, or a refund below the
minimum.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from loyalnest.kit.program import Referrals
from loyalnest.referrals.identity import ADDRESS, PERSONS
from loyalnest.referrals.models import Order, Reason, Referral, Status

CONVERSIONS_A_DAY: Final = 5
CONVERSIONS_A_WEEK: Final = 20
"""So many friends of one referrer count by themselves within 24 hours, and within 7 days; more are held for review."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a friend's orders say: pending, completed (the referral stands), or refused for a reason."""

    order: Order
    status: Status
    reason: Reason = Reason.NONE


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who a friend is.

    shared: kinds of identity that friend and referrer have in common.
    known_before: another customer with the friend's e-mail address or phone number has bought before.
    day, week: earlier conversions of the referrer within 24 hours and 7 days.
    """

    shared: frozenset[str] = frozenset()
    known_before: bool = False
    day: int = 0
    week: int = 0


def claim_of(first_order_id: int | None, orders: Iterable[Order], minimum: Decimal) -> Claim | None:
    """What the friend's orders by a code say, given the first of all their paid orders. None without such an order.

    Orders are put in order by when they were placed, however late they are told. Whoever's first paid order came
    without a code is an existing customer.
    """
    coded = sorted((each for each in orders if each.referrer_id is not None), key=_placed)
    if not coded:
        return None
    if first_order_id is None:
        return Claim(coded[0], Status.PENDING)
    first = next((each for each in coded if each.order_id == first_order_id), None)
    if first is None:
        return Claim(coded[0], Status.REFUSED, Reason.EXISTING_CUSTOMER)
    reason = shortfall(first, minimum)
    return Claim(first, Status.REFUSED if reason else Status.COMPLETED, reason)


def shortfall(order: Order, minimum: Decimal) -> Reason:
    """Why a paid order does not count; none if it does."""
    assert order.base is not None
    if order.cancelled:
        return Reason.CANCELLED
    if order.base <= 0 or order.base < minimum:
        return Reason.BELOW_MINIMUM
    left = order.base - order.refunded_base
    return Reason.REFUNDED if left <= 0 or left < minimum else Reason.NONE


def judge(referrer_id: int, friend_id: int, evidence: Evidence) -> tuple[Status, Reason]:
    """Whether a referral that stands by its orders is completed, held for review or refused."""
    if referrer_id == friend_id or evidence.shared & PERSONS:
        return Status.REFUSED, Reason.SELF_REFERRAL
    if evidence.known_before:
        return Status.REFUSED, Reason.EXISTING_CUSTOMER
    if ADDRESS in evidence.shared:
        return Status.HELD, Reason.SAME_ADDRESS
    if evidence.day >= CONVERSIONS_A_DAY or evidence.week >= CONVERSIONS_A_WEEK:
        return Status.HELD, Reason.VELOCITY
    return Status.COMPLETED, Reason.NONE


def fix_terms(referral: Referral, offer: Referrals | None, settings_version: int, now: datetime) -> None:
    """Keep the terms in force when the friend's first paid order is seen; a shop without any refuses for good."""
    if referral.minimum_spend is not None or referral.judged_at is not None:
        return
    referral.settings_version = settings_version
    if offer is None:
        _decide(referral, Status.REFUSED, Reason.NOT_OFFERED)
        referral.judged_at = now
        return
    referral.minimum_spend = offer.minimum_spend
    referral.referrer_points = offer.referrer_points
    referral.friend_points = offer.friend_points


def follow(referral: Referral, claim: Claim) -> bool:
    """Bring a referral to what its orders say. Returns whether it has to be judged.

    Nothing brings back what was reversed, or refused for who the friend is.
    """
    if referral.judged_at is None:
        referral.referrer_id = claim.order.referrer_id or referral.referrer_id
        referral.channel = claim.order.channel
        referral.order_id = None if claim.status is Status.PENDING else claim.order.order_id
        if claim.status is Status.COMPLETED:
            return True
        _decide(referral, claim.status, claim.reason)
    elif claim.status is Status.REFUSED and referral.status == Status.COMPLETED:
        _decide(referral, Status.REVERSED, claim.reason)
    elif claim.status is Status.REFUSED and referral.status == Status.HELD:
        _decide(referral, Status.REFUSED, claim.reason)
    elif claim.status is Status.COMPLETED and referral.status in (Status.COMPLETED, Status.HELD):
        referral.order_id = claim.order.order_id
    return False


def settle(referral: Referral, status: Status, reason: Reason, now: datetime) -> None:
    """Write down a judgement or a review."""
    _decide(referral, status, reason)
    referral.judged_at = referral.judged_at or now
    if status in (Status.COMPLETED, Status.HELD):
        referral.converted_at = referral.converted_at or now
    if status is Status.COMPLETED:
        referral.completed_at = now


def _decide(referral: Referral, status: Status, reason: Reason) -> None:
    referral.status, referral.reason = status, reason


def _placed(order: Order) -> tuple[datetime, int]:
    assert order.placed_at is not None
    return order.placed_at, order.order_id
