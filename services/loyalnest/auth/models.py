"""Auth's nouns."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What an admin may do. owner: everything; staff: the daily work; support: look."""

    OWNER = "owner"
    STAFF = "staff"
    SUPPORT = "support"


class Status(StrEnum):
    """Where a merchant stands. Only an active one's admins get in; uninstalled: the app left the shop."""

    ACTIVE = "active"
    UNINSTALLED = "uninstalled"
    SUSPENDED = "suspended"


class Origin(StrEnum):
    """Where a shop's access token came from: the program's Secret, or Shopify's OAuth."""

    PROGRAM = "program"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class Merchant:
    """A row of `auth.merchants`; the secrets are sealed.

    connected: there is an access token that was not refused. installed_at: when the shop last came in by Shopify's
    OAuth, None if never. uninstalled_at: when it left; None while it has the app. redacting: its redaction is under
    way, after which it may come back from `reopens_at` on.
    closed: its data is being moved away or erased, so that
    nothing may change here any more.
    """

    merchant_id: str
    shop_domain: str
    status: Status
    api_key: str
    api_secret: bytes = field(repr=False)
    api_secret_previous: bytes | None = field(repr=False)
    created_at: datetime
    connected: bool
    closed: bool
    installed_at: datetime | None = None
    uninstalled_at: datetime | None = None
    redacting: bool = False
    reopens_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A row of `auth.shop_tokens`; the tokens are sealed. `refused`: Shopify did not accept it any more."""

    merchant_id: str
    origin: Origin
    access_token: bytes = field(repr=False)
    expires_at: datetime | None
    refresh_token: bytes | None = field(repr=False)
    refresh_expires_at: datetime | None
    scope: str
    refused: bool


@dataclass(frozen=True, slots=True)
class AdminUser:
    """A person who administrates a merchant. The name is personal data and stored sealed; here it is open."""

    admin_user_id: UUID
    name: str = field(repr=False)
    role: Role
    active: bool
    created_at: datetime

    @property
    def actor(self) -> str:
        """How calls and the audit log name this person."""
        return f"admin:{self.admin_user_id}"


@dataclass(frozen=True, slots=True)
class AdminSession:
    """A bearer token's session. `admin_user_id` is None for one that LoyalNest itself opened under a label.

    role: what the token may do at most; a demoted admin user's own role is less.
    """

    merchant_id: str
    session_id: UUID
    admin_user_id: UUID | None
    actor: str
    role: Role
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session with its bearer token, which is shown once and stored nowhere."""

    session: AdminSession
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key for a merchant's own programs. Of its secrets only hashes are kept.

    scopes: what it may do, such as `points:read`. previous_until: until when the secret before the last rotation is
    good.
    """

    api_key_id: UUID
    name: str
    scopes: tuple[str, ...]
    requests_per_minute: int
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    previous_until: datetime | None
    revoked_at: datetime | None

    @property
    def actor(self) -> str:
        """How calls and the audit log name who uses it."""
        return f"api_key:{self.api_key_id}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a valid bearer token speaks for.

    session_id: or the API key's id. expires_at: None for never. scopes, requests_per_minute: of an API key only.
    """

    merchant_id: str
    actor: str
    role: Role
    session_id: UUID
    expires_at: datetime | None
    scopes: tuple[str, ...] = ()
    requests_per_minute: int = 0
