"""Auth's decisions, free of I/O: roles, lifetimes, names, and who may not be the last to leave."""

import re
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from loyalnest.auth.models import AdminUser, Merchant, Role
from loyalnest.kit.errors import InvalidInput, PreconditionFailed, Unavailable

SCOPES = "read_customers,read_discounts,read_orders,write_discounts"
"""What LoyalNest asks a shop for: orders and customers come as webhooks, rewards are discount codes."""

STATE_LIFETIME = timedelta(minutes=10)
INSTALL_LIFETIME = timedelta(hours=12)
EMBEDDED_LIFETIME = timedelta(hours=1)
"""Of a session that a Shopify session token opened; the page gets another one without asking anybody."""
DEFAULT_LIFETIME = timedelta(hours=12)
MAX_LIFETIME = timedelta(days=30)

MOVING = "This shop's data is being moved; try again in a few minutes."

_RANK = {Role.SUPPORT: 0, Role.STAFF: 1, Role.OWNER: 2}
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_NAME = 200


def refuse_closed(merchant: Merchant) -> None:
    """Raise Unavailable for a merchant whose data is on its way elsewhere: what changed here now would be lost."""
    if merchant.closed:
        raise Unavailable(MOVING)


def role_named(text: str) -> Role:
    """The role called `text`. Raises InvalidInput naming those there are."""
    try:
        return Role(text)
    except ValueError:
        raise InvalidInput("A role is owner, staff or support.") from None


def lesser(one: Role, other: Role) -> Role:
    """The role of the two that may do less."""
    return min(one, other, key=_RANK.__getitem__)


def session_role(wanted: str, most: Role) -> Role:
    """The role of a session: as wanted (empty: `most`). Raises InvalidInput if that is above `most`."""
    role = role_named(wanted) if wanted else most
    if lesser(role, most) is not role:
        raise InvalidInput(f"An admin user who is {most} cannot have a session as {role}.")
    return role


def session_lifetime(seconds: int) -> timedelta:
    """How long a session lives: as asked, 12 hours if not asked. Raises InvalidInput out of bounds."""
    lifetime = timedelta(seconds=seconds) if seconds else DEFAULT_LIFETIME
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise InvalidInput(f"A session lives between 1 second and {MAX_LIFETIME.days} days.")
    return lifetime


def admin_name(text: str) -> str:
    """A person's name, without space around it. Raises InvalidInput if it is none."""
    name = text.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidInput(f"An admin user's name has 1 to {_MAX_NAME} printable characters.")
    return name


def label(text: str) -> str:
    """The label of a session that LoyalNest itself opens, such as `cli`. Raises InvalidInput if it is none."""
    if not _LABEL.fullmatch(text):
        raise InvalidInput("A session's label has 1 to 64 letters, digits, dots, dashes or underscores.")
    return text


def keep_an_owner(users: Sequence[AdminUser], changed: UUID, role: Role, *, active: bool) -> None:
    """Refuse a change of the user `changed` that would leave the merchant without an active owner.

    A merchant that has none already may be changed freely. Raises PreconditionFailed.
    """
    owners = {user.admin_user_id for user in users if user.active and user.role is Role.OWNER}
    stays = active and role is Role.OWNER
    if owners == {changed} and not stays:
        raise PreconditionFailed(
            "This is the merchant's last active owner: make another admin user an owner before you change this one."
        )
