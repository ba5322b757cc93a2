"""Whether a message may be sent. Pure."""

import math
from datetime import datetime, timedelta
from typing import Final

from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.kinds import KINDS, Basis, Kind
from loyalnest.admin_features.models import Contact, Reason, Standing
from loyalnest.admin_features.notices import RECENT

MOST_INVITATIONS: Final = 20
"""Friends that one customer may invite in 24 hours: a person does not know more who wait for it, a spammer does."""
HISTORY_SHADOW: Final = timedelta(days=1)
"""For how long after an old order of a customer was told nothing is news that it may have caused."""
PATIENCE: Final = timedelta(minutes=15)
"""How long a message waits for core to learn of its customer."""
INVITED_AGAIN: Final = timedelta(days=30)
"""How long one address gets no second invitation, whoever asks for it."""
LIFETIME: Final = timedelta(days=2)
"""What could not be sent for this long is not worth sending any more."""
CAUSED: Final = frozenset({Kind.TIER_CHANGED, Kind.BADGE_AWARDED, Kind.REFERRAL_COMPLETED, Kind.POINTS_EXPIRING})
"""Kinds that an old order may cause today."""


def reason_against(
    kind: Kind,
    contact: Contact | None,
    standing: Standing,
    settings: EmailSettings,
    *,
    address: str,
    sent_today: int,
    history: bool,
    invited_at: datetime | None,
    now: datetime,
) -> Reason | None:
    """Why a message must not be sent; None if it may.

    contact: of the customer; of an invitation, of who invites. address: where it would go. sent_today: how many of
    the sort that shares the limit went out for the customer in the last 24 hours. history: whether old orders of the
    customer were told lately. invited_at: when this address was last invited.
    """
    about = KINDS[kind]
    if contact is None:
        return Reason.UNKNOWN_CUSTOMER
    limit = MOST_INVITATIONS if about.basis is Basis.INVITATION else settings.daily_cap if about.capped else math.inf
    joined_long_ago = contact.created_at is None or now - contact.created_at > RECENT
    checks = (
        (Reason.DISABLED, not settings.sends(kind)),
        (Reason.STALE, kind is Kind.JOINING and joined_long_ago),
        (Reason.HISTORY, kind in CAUSED and history),
        (Reason.NO_ADDRESS, not address),
        (Reason.NO_CONSENT, about.basis is Basis.MARKETING and contact.accepts_marketing is not True),
        (Reason.UNSUBSCRIBED, standing.unsubscribed),
        (Reason.COMPLAINED, standing.complained),
        (Reason.BOUNCED, standing.bounced),
        (
            Reason.INVITED_BEFORE,
            about.basis is Basis.INVITATION and invited_at is not None and now - invited_at < INVITED_AGAIN,
        ),
        (Reason.DAILY_CAP, sent_today >= limit),
    )
    return next((reason for reason, holds in checks if holds), None)
