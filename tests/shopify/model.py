"""What the stand-in knows: apps, shops, grants, discounts, cost buckets."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

SCOPES = "read_customers,read_discounts,read_orders,write_discounts"


@dataclass(frozen=True)
class Plan:
    """Cost points a second, and how many the bucket holds. shopify.dev "API limits"."""

    restore: float
    maximum: float


STANDARD, ADVANCED, PLUS, ENTERPRISE = (Plan(rate, 20 * rate) for rate in (100.0, 200.0, 1000.0, 2000.0))


@dataclass
class App:
    """An app's registration. `redirect_uris` are exact. `secrets` are the current one and those before it."""

    api_key: str
    secrets: list[str]
    redirect_uris: list[str] = field(default_factory=list)
    scopes: str = SCOPES
    must_expire: bool = True
    """Public apps since April 2026: a token that does not expire is answered 403."""

    @property
    def secret(self) -> str:
        """The current one."""
        return self.secrets[0]


@dataclass
class Shop:
    """A shop. Lifetimes are in seconds; Shopify's are an hour and 90 days."""

    domain: str
    app: App
    plan: Plan = STANDARD
    name: str = "A shop"
    currency: str = "USD"
    token_seconds: int = 3600
    refresh_seconds: int = 90 * 24 * 3600
    keeps_used_refresh_token: bool = False
    """Shopify since August 2026: a used refresh token works until its replacement is used. The stricter rule of
    before is the default here, because what survives it survives both."""

    @property
    def handle(self) -> str:
        """The first label of the domain."""
        return self.domain.partition(".")[0]


@dataclass
class Grant:
    """An offline access of an app to a shop. Times are the stand-in's clock; None: it does not expire."""

    shop: str
    api_key: str
    access_token: str
    scope: str
    expires_at: float | None = None
    refresh_token: str | None = None
    refresh_expires_at: float | None = None
    replaces: str | None = None  # the refresh token it was given for
    revoked: bool = False


@dataclass(frozen=True)
class Discount:
    """A code that was made. `amount` in the shop's currency, or `percentage` of 1."""

    node_id: str
    code: str
    title: str
    amount: Decimal | None
    percentage: Decimal | None
    usage_limit: int | None
    starts_at: str


@dataclass
class Bucket:
    """A cost bucket as of `at` on the stand-in's clock."""

    plan: Plan
    level: float
    at: float

    def available(self, now: float) -> float:
        """Points there are at `now`."""
        self.level = min(self.plan.maximum, self.level + (now - self.at) * self.plan.restore)
        self.at = now
        return self.level

    def status(self, now: float) -> dict[str, float]:
        """Shopify's `throttleStatus`; it tells whole points."""
        return {
            "maximumAvailable": self.plan.maximum,
            "currentlyAvailable": float(int(self.available(now))),
            "restoreRate": self.plan.restore,
        }


FailureKind = Literal["error", "rate_limited", "hang", "hang_after_commit", "reset", "reset_after_commit"]
"""error: 500; rate_limited: 429; hang: no answer for `seconds`, then as usual; reset: the connection breaks. Those
"after commit" do what was asked first."""


@dataclass
class Failure:
    """What the next `times` requests whose path contains `path` meet."""

    kind: FailureKind
    path: str = ""
    times: int = 1
    seconds: float = 30.0


@dataclass(frozen=True)
class Seen:
    """A request that arrived. `operation` is the GraphQL operation's name or the OAuth grant type."""

    method: str
    path: str
    shop: str
    operation: str = ""
