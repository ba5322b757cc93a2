"""Which events become messages. Pure.

**Only news is told.** A merchant who imports years of orders causes millions of events, and nobody may get a mail of
them. So an event is news only if its fact is at most `RECENT` old: an order by when it was placed, a tier, badge or
referral by its own time, a customer by when Shopify made the account (which `decisions` looks at). Three days are a
weekend's outage; whoever pays an invoice later than that gets the points and no mail. And what old orders cause today,
a tier or a badge, is no news either: see `decisions.CAUSED`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.kinds import Channel, Kind
from loyalnest.admin_features.models import Notice
from loyalnest.campaign.events import TierChanged
from loyalnest.core.events import CustomerCreated
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.kit.events import Payload
from loyalnest.points.events import PointsEarned, PointsExpiring, PointsRedeemed
from loyalnest.referrals.events import ReferralCompleted, ReferralShared

RECENT: Final = timedelta(days=3)
SETTLE_SECONDS: Final = 10
"""What an order causes in several services is known here after this long: its own news, and who the customer is."""


def is_history(told: Payload, now: datetime) -> bool:
    """Whether this is an old order's event: a sign that a merchant's past is being told."""
    return isinstance(told, PointsEarned) and told.placed_at is not None and now - told.placed_at > RECENT


def notice_of(told: Payload, occurred_at: datetime, settings: EmailSettings, now: datetime) -> Notice | None:
    """The message that an event makes; None for none. `occurred_at`: when the event was published.

    Pseudonyms of redacted customers, which are negative, never get any.
    """
    notice = _MAKE[type(told)](told, occurred_at, settings)
    if notice is None or notice.customer_id <= 0 or not settings.sends(notice.kind):
        return None
    return notice if now - notice.happened_at <= RECENT else None


def _joined(told: CustomerCreated, _at: datetime, _settings: EmailSettings) -> Notice | None:
    """Not of a merchant's own list, which is of people who came long ago.

    Of whoever an old order made known, `created_at` is today; so core is asked before it is sent.
    """
    if told.source == "import":
        return None
    cause = f"customer:{told.customer_id}"
    return Notice(Kind.JOINING, told.customer_id, cause, {}, told.created_at, wait=SETTLE_SECONDS)


def _earned(told: PointsEarned, at: datetime, settings: EmailSettings) -> Notice | None:
    """Orders only, and not for a few points. Points for joining or a referral are told by the mail about that, and
    whoever adjusts points says why in words of their own.
    """
    if told.reason != "order" or told.order_id is None or told.points < settings.minimum_points:
        return None
    facts = {
        "points": told.points,
        "pending": told.available_at > at,
        "available_at": told.available_at.isoformat(),
    }
    return Notice(Kind.POINTS_EARNED, told.customer_id, f"order:{told.order_id}", facts, told.placed_at or at)


def _expiring(told: PointsExpiring, at: datetime, _settings: EmailSettings) -> Notice | None:
    day = told.expires_at.isoformat()
    facts = {"points": told.points, "expires_at": day}
    return Notice(Kind.POINTS_EXPIRING, told.customer_id, f"customer:{told.customer_id}:{day}", facts, at)


def _redeemed(told: PointsRedeemed, at: datetime, _settings: EmailSettings) -> Notice | None:
    if told.cancelled:
        return None
    facts = {"reward": told.reward, "points": told.points}
    return Notice(Kind.REWARD_REDEEMED, told.customer_id, f"redemption:{told.redemption_id}", facts, at)


def _moved_up(told: TierChanged, _at: datetime, _settings: EmailSettings) -> Notice | None:
    """Up only, and not into the first tier, where everybody begins: a way down is no occasion to write."""
    if not told.upgrade or not told.previous_tier or not told.tier:
        return None
    facts = {
        "tier": told.tier,
        "previous_tier": told.previous_tier,
        "multiplier": f"{told.multiplier.normalize():f}" if told.multiplier != 1 else 0,
    }
    cause = f"customer:{told.customer_id}:{told.changed_at.isoformat()}"
    return Notice(Kind.TIER_CHANGED, told.customer_id, cause, facts, told.changed_at, wait=SETTLE_SECONDS)


def _referred(told: ReferralCompleted, _at: datetime, _settings: EmailSettings) -> Notice | None:
    """To who referred. The friend knows of the order, and of the points from the account."""
    facts = {"points": max(0, told.referrer_points)}
    cause = f"referral:{told.referral_id}"
    return Notice(Kind.REFERRAL_COMPLETED, told.referrer_id, cause, facts, told.completed_at, wait=SETTLE_SECONDS)


def _shared(told: ReferralShared, _at: datetime, _settings: EmailSettings) -> Notice | None:
    return Notice(
        Kind.REFERRAL_INVITATION,
        told.customer_id,
        f"share:{told.share_id}",
        {"link": told.link, "points": max(0, told.friend_points)},
        told.shared_at,
        Channel.SMS if told.channel == Channel.SMS else Channel.EMAIL,
        sealed=told.sealed,
    )


def _badge(told: BadgeAwarded, _at: datetime, _settings: EmailSettings) -> Notice | None:
    if told.revoked:
        return None
    cause = f"customer:{told.customer_id}:{told.badge}:{told.at.isoformat()}"
    facts = {"badge": told.title}
    return Notice(Kind.BADGE_AWARDED, told.customer_id, cause, facts, told.at, wait=SETTLE_SECONDS)


_MAKE: Mapping[type[Payload], Callable[[Any, datetime, EmailSettings], Notice | None]] = {
    CustomerCreated: _joined,
    PointsEarned: _earned,
    PointsExpiring: _expiring,
    PointsRedeemed: _redeemed,
    TierChanged: _moved_up,
    ReferralCompleted: _referred,
    ReferralShared: _shared,
    BadgeAwarded: _badge,
}

TOLD: tuple[type[Payload], ...] = tuple(_MAKE)
"""What messages are made of."""
