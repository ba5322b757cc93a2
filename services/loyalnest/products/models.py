"""What is kept of products, and the rule by which the newest of what was told wins."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from loyalnest.api_gateway.events import ProductFacts

Key = tuple[str, int]
"""A merchant and one of its products."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a product, and when.

    at: Shopify's `updated_at`, or the moment of a deletion. heard_at: when Shopify sent it, which decides between two
    of the same second; of an import, the same as `at`.
    """

    merchant_id: str
    facts: ProductFacts
    at: datetime
    heard_at: datetime

    @property
    def key(self) -> Key:
        """Which product it tells of."""
        return self.merchant_id, self.facts.product_id

    @property
    def order(self) -> tuple[datetime, bool, datetime]:
        """What is told with a greater one replaces what was told with a smaller one, in any order of arrival."""
        return self.at, self.facts.deleted, self.heard_at


@dataclass(frozen=True, slots=True)
class Kept:
    """A product as it is kept. excluded: an admin hides it from shoppers, whatever Shopify tells of it."""

    told: Told
    excluded: bool = False

    @property
    def visible(self) -> bool:
        """Whether shoppers may find it: it is published, active (or of no told status), and not hidden."""
        facts = self.told.facts
        return not facts.deleted and not self.excluded and facts.published and facts.status in ("active", "")

    @property
    def available(self) -> bool:
        """Whether there is something to buy: pieces are left, or they are not counted."""
        inventory = self.told.facts.inventory
        return inventory is None or inventory > 0


@dataclass(frozen=True, slots=True)
class Indexed:
    """A product that is kept, with the terms it is found by: their ids, of all, the title's and the facets'.

    For one that is deleted, or was never known, there are none.
    """

    kept: Kept | None
    terms: frozenset[int] = frozenset()

    @property
    def listed(self) -> bool:
        """Whether it is known and not deleted."""
        return self.kept is not None and not self.kept.told.facts.deleted

    @property
    def visible(self) -> bool:
        """Whether shoppers may find it."""
        return self.kept is not None and self.kept.visible


def newest(told: Iterable[Told]) -> dict[Key, Told]:
    """The newest of what is told of each product; of equals the last."""
    found: dict[Key, Told] = {}
    for each in told:
        known = found.get(each.key)
        if known is None or known.order <= each.order:
            found[each.key] = each
    return found


class Sort(StrEnum):
    """The order of what is found."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    PRICE_UP = "price"
    PRICE_DOWN = "-price"
    TITLE = "title"
