"""The kinds of messages: what each is about, on whose authority it may be sent, and what its templates may name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from loyalnest.kit.errors import NotFound


class Channel(StrEnum):
    """How a message reaches somebody."""

    EMAIL = "email"
    SMS = "sms"


class Basis(StrEnum):
    """On what authority a message is sent.

    TRANSACTIONAL: it tells members what happened to something that is theirs (points, a reward, a tier), because of
    what they did. It needs no consent to marketing, and stops when they unsubscribe.
    MARKETING: it advertises the program. Only for customers who accept marketing, as Shopify or the merchant told.
    INVITATION: a customer asked that a friend gets it. The friend never agreed to anything, so one address gets one
    in 30 days, and none once it unsubscribed.
    """

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"
    INVITATION = "invitation"


class Kind(StrEnum):
    """What a message is about."""

    JOINING = "joining"
    POINTS_EARNED = "points_earned"
    POINTS_EXPIRING = "points_expiring"
    REWARD_REDEEMED = "reward_redeemed"
    TIER_CHANGED = "tier_changed"
    REFERRAL_COMPLETED = "referral_completed"
    REFERRAL_INVITATION = "referral_invitation"
    BADGE_AWARDED = "badge_awarded"


@dataclass(frozen=True, slots=True)
class About:
    """What is fixed for a kind.

    why: why it has its `basis`. variables: what templates may name besides `COMMON`, and what it means.
    samples: values of these for previews; the first is the usual case, the others are the ends of what may come.
    capped: whether it counts into, and gives way to, the merchant's limit of mails per customer and day. What a
        customer did or asked for a moment ago does not.
    """

    basis: Basis
    summary: str
    why: str
    variables: Mapping[str, str]
    samples: tuple[Mapping[str, Any], ...]
    channels: tuple[Channel, ...] = (Channel.EMAIL,)
    capped: bool = True


COMMON: Mapping[str, str] = {
    "first_name": "The customer's first name; may be empty.",
    "shop_name": "The shop's name, from the e-mail settings.",
    "shop_url": "The shop's address, from the e-mail settings.",
    "language": "The language tag of the message.",
    "accent_color": "The color of buttons, from the e-mail settings.",
    "unsubscribe_url": "Where the recipient unsubscribes. Every e-mail must show it; the layout does.",
}
"""What every template may name."""

KINDS: Mapping[Kind, About] = {
    Kind.JOINING: About(
        Basis.MARKETING,
        "A customer became known to the shop, and so a member.",
        "Nobody asked for it: it presents the program.",
        {"joining_points": "Points given for joining; 0 for none."},
        ({"joining_points": 50}, {"joining_points": 0}),
    ),
    Kind.POINTS_EARNED: About(
        Basis.TRANSACTIONAL,
        "An order earned points.",
        "It is the statement of an account that the customer's own order changed.",
        {
            "points": "How many.",
            "pending": "Whether they cannot be spent yet.",
            "available_at": "The day on which they can be.",
        },
        (
            {"points": 120, "pending": False, "available_at": date(2026, 3, 1)},
            {"points": 1, "pending": True, "available_at": date(2026, 3, 14)},
        ),
    ),
    Kind.POINTS_EXPIRING: About(
        Basis.TRANSACTIONAL,
        "Points will run out soon.",
        "It warns of the loss of something that the customer owns.",
        {"points": "How many.", "expires_at": "The day on which they run out."},
        ({"points": 300, "expires_at": date(2026, 3, 15)}, {"points": 1, "expires_at": date(2026, 12, 31)}),
    ),
    Kind.REWARD_REDEEMED: About(
        Basis.TRANSACTIONAL,
        "A customer exchanged points for a reward.",
        "It confirms what the customer did a moment ago, and gives away an abuse of the account.",
        {"reward": "The reward's name.", "points": "What it cost."},
        ({"reward": "5 € off", "points": 500}, {"reward": "<b>Mystery & more</b>", "points": 1}),
        capped=False,
    ),
    Kind.TIER_CHANGED: About(
        Basis.TRANSACTIONAL,
        "A customer moved up to a better VIP tier.",
        "It changes what the customer's next orders earn.",
        {
            "tier": "The new tier.",
            "previous_tier": "The tier before.",
            "multiplier": "What orders' points are multiplied by; 0 where nothing is.",
        },
        (
            {"tier": "Gold", "previous_tier": "Silver", "multiplier": "1.5"},
            {"tier": "VIP <3", "previous_tier": "Member", "multiplier": 0},
        ),
    ),
    Kind.REFERRAL_COMPLETED: About(
        Basis.TRANSACTIONAL,
        "A friend whom a customer had invited placed a first order.",
        "It reports the outcome of what the customer began.",
        {"points": "What the customer gets for it; 0 for nothing."},
        ({"points": 200}, {"points": 0}),
    ),
    Kind.REFERRAL_INVITATION: About(
        Basis.INVITATION,
        "A customer invites a friend, by e-mail or SMS.",
        "The customer asked for it, the friend did not.",
        {
            "sharer_name": "First name of who invites; may be empty.",
            "link": "The friend's link.",
            "points": "What the friend gets; 0 for nothing.",
        },
        (
            {"sharer_name": "Maria", "link": "https://acme.example/?ref=MARIA7", "points": 100},
            {"sharer_name": "", "link": "https://acme.example/?ref=X&y=1", "points": 0},
        ),
        (Channel.EMAIL, Channel.SMS),
        capped=False,
    ),
    Kind.BADGE_AWARDED: About(
        Basis.MARKETING,
        "A customer was given a badge.",
        "A badge is play: nothing that the customer owns has changed.",
        {"badge": "The badge's title."},
        ({"badge": "Five orders"}, {"badge": "“Early” <bird> & co"}),
    ),
}


def kind_of(text: str) -> Kind:
    """The kind of that name. Raises NotFound listing those that there are."""
    try:
        return Kind(text)
    except ValueError:
        raise NotFound(f"There is no e-mail event {text[:60]!r}; there are {', '.join(Kind)}.") from None


def channel_of(kind: Kind, text: str) -> Channel:
    """The channel of that name, by default e-mail. Raises NotFound if the kind is not sent that way."""
    for each in KINDS[kind].channels:
        if each == (text or Channel.EMAIL):
            return each
    raise NotFound(f"{kind} is sent by {' or '.join(KINDS[kind].channels)}, not by {text[:20]!r}.")


def variables_of(kind: Kind) -> Mapping[str, str]:
    """All that templates of a kind may name."""
    return {**COMMON, **KINDS[kind].variables}


CAPPED = tuple(kind.value for kind, about in KINDS.items() if about.capped)
"""The kinds that share the merchant's limit of mails per customer and day."""
