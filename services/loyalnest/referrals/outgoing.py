"""How referrals tell of a referral that was completed or reversed."""

from datetime import datetime

from loyalnest.kit.events import Event
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed
from loyalnest.referrals.models import Referral, Status


def told_of(referral: Referral, now: datetime) -> Event:
    """The event of a referral that was completed or reversed just now."""
    key = str(referral.referral_id)
    if referral.status == Status.REVERSED:
        return ReferralReversed(
            referral_id=key, referrer_id=referral.referrer_id, friend_id=referral.friend_id, reversed_at=now
        ).event(referral.merchant_id, key)
    return ReferralCompleted(
        referral_id=key,
        referrer_id=referral.referrer_id,
        friend_id=referral.friend_id,
        referrer_points=referral.referrer_points,
        friend_points=referral.friend_points,
        channel=referral.channel,
        order_id=referral.order_id,
        completed_at=now,
    ).event(referral.merchant_id, key)
