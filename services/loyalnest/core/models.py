"""Core's nouns: a customer as stored, and a report, which is what one source says of a customer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from loyalnest.kit.crypto.envelope import sealed_version

PERSONAL = ("email", "phone", "first_name", "last_name", "addresses")
"""The personal fields. Each is sealed by itself, so that each has its own time and can be erased by itself."""

Key = tuple[str, int]
"""(merchant_id, customer_id)."""


class Source(StrEnum):
    """Who tells of a customer."""

    SHOPIFY = "shopify"
    ORDER = "order"
    IMPORT = "import"
    API = "api"
    RFM = "rfm"
    REDACTION = "redaction"


@dataclass(slots=True)
class SealedField:
    """A personal field at rest. `sealed` and `hash` are None where it was erased; `at` too where nothing was told."""

    sealed: bytes | None = None
    hash: bytes | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one delivery, row of a file, or call says of a customer.

    at: the moment that its values are of; of two values the later one stands, whatever order they arrive in.
    updated_at: the time to show for it.
    locale: a language tag such as `de-DE`; empty says nothing.
    made: Shopify tells that it made the customer, at `at`; only that ends a redaction.
    personal: text by field; empty text erases, a field that is not there says nothing. `addresses` is JSON.
    """

    merchant_id: str
    customer_id: int
    source: Source
    at: datetime
    updated_at: datetime
    personal: Mapping[str, str] = field(default_factory=dict)
    accepts_marketing: bool | None = None
    locale: str = ""
    created_at: datetime | None = None
    made: bool = False

    def __repr__(self) -> str:
        return f"Report({self.merchant_id}, {self.customer_id}, {self.source})"  # a trace must not show what it says


@dataclass(slots=True)
class Customer:
    """A customer as stored. `created_at` is Shopify's; scores are 0 and `segment` empty until rfm has told.

    locale: the language tag of the latest checkout that told one; None until then.

    redacted_at: since then nothing but the id is kept, so that no late delivery brings the person back.
    """

    merchant_id: str
    customer_id: int
    source: str
    first_seen_at: datetime
    updated_at: datetime
    personal: dict[str, SealedField] = field(default_factory=lambda: {name: SealedField() for name in PERSONAL})
    accepts_marketing: bool | None = None
    marketing_at: datetime | None = None
    locale: str | None = None
    locale_at: datetime | None = None
    created_at: datetime | None = None
    redacted_at: datetime | None = None
    recency: int = 0
    frequency: int = 0
    monetary: int = 0
    segment: str = ""
    rfm_updated_at: datetime | None = None

    @property
    def told_at(self) -> datetime | None:
        """The latest time of any value; None where nothing was told."""
        times = [each.at for each in self.personal.values()] + [self.marketing_at, self.locale_at]
        return max((at for at in times if at is not None), default=None)

    def snapshot(self) -> "Customer":
        """A copy that later changes of this one do not reach."""
        personal = {name: SealedField(each.sealed, each.hash, each.at) for name, each in self.personal.items()}
        return replace(self, personal=personal)

    @property
    def key_version(self) -> int | None:
        """The oldest data key that a field is sealed under; None with nothing sealed."""
        return min((sealed_version(each.sealed) for each in self.personal.values() if each.sealed), default=None)

    @property
    def newest_key_version(self) -> int:
        """The newest data key that a field is sealed under; 0 with nothing sealed."""
        return max((sealed_version(each.sealed) for each in self.personal.values() if each.sealed), default=0)

    def values(self) -> dict[str, Any]:
        """What the customer is, for telling whether and where it changed: hashes stand for personal values."""
        return {
            **{name: each.hash for name, each in self.personal.items()},
            "accepts_marketing": self.accepts_marketing,
            "locale": self.locale,
            "created_at": self.created_at,
        }
