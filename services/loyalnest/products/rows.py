"""How products and what they are found by are written for the repository's statements, and read from its rows."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import asyncpg
import msgspec

from loyalnest.api_gateway.events import ProductFacts
from loyalnest.products.indexing import MAX_SORTED_TITLE
from loyalnest.products.models import Indexed, Kept, Told
from loyalnest.products.words import folded

CONTENT: Final = tuple(name for name in ProductFacts.__struct_fields__ if name not in ("product_id", "deleted"))
"""The columns of a product that are as it was told."""

KEY: Final = ("merchant_id", "product_id")
PRODUCT_COLUMNS: Final = {
    "merchant_id": "text",
    "product_id": "bigint",
    "told_at": "timestamptz",
    "heard_at": "timestamptz",
    "deleted_at": "timestamptz",
    "excluded": "boolean",
    "title": "text",
    "handle": "text",
    "description": "text",
    "vendor": "text",
    "product_type": "text",
    "tags": "text[]",
    "status": "text",
    "published": "boolean",
    "lowest_price": "numeric",
    "highest_price": "numeric",
    "skus": "text[]",
    "image_url": "text",
    "inventory": "bigint",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
SEARCH_COLUMNS: Final = {
    "merchant_id": "text",
    "product_id": "bigint",
    "visible": "boolean",
    "available": "boolean",
    "status": "text",
    "lowest_price": "numeric",
    "highest_price": "numeric",
    "created_at": "timestamptz",
    "title": "text",
    "title_terms": "bigint[]",
    "facet_terms": "bigint[]",
    "terms": "bigint[]",
}

_encoder = msgspec.json.Encoder(decimal_format="string")
_NOTHING = Decimal(0)


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as one parameter, their fields named as the columns."""
    return _encoder.encode(rows).decode()


def product_row(kept: Kept) -> dict[str, Any]:
    """A product as its table has it; of a deleted one, its content is empty."""
    told = kept.told
    return {
        "merchant_id": told.merchant_id,
        "product_id": told.facts.product_id,
        "told_at": told.at,
        "heard_at": told.heard_at,
        "deleted_at": told.at if told.facts.deleted else None,
        "excluded": kept.excluded,
        **{name: getattr(told.facts, name) for name in CONTENT},
    }


def search_row(kept: Kept, title: Sequence[int], facets: Sequence[int], words: Sequence[int]) -> dict[str, Any]:
    """A product as searches see it, with the ids of its terms: of the title, of the facets, and of all."""
    told, facts = kept.told, kept.told.facts
    return {
        "merchant_id": told.merchant_id,
        "product_id": facts.product_id,
        "visible": kept.visible,
        "available": kept.available,
        "status": facts.status,
        "lowest_price": facts.lowest_price or _NOTHING,
        "highest_price": facts.highest_price or _NOTHING,
        "created_at": facts.created_at or told.at,
        "title": folded(facts.title)[:MAX_SORTED_TITLE],
        "title_terms": sorted(title),
        "facet_terms": sorted(facets),
        "terms": sorted([*words, *(-term for term in title)]),
    }


def kept_of(row: asyncpg.Record) -> Kept:
    """A product from a row of its table."""
    facts = ProductFacts(
        product_id=row["product_id"],
        deleted=row["deleted_at"] is not None,
        **{name: row[name] for name in CONTENT},
    )
    return Kept(Told(row["merchant_id"], facts, row["told_at"], row["heard_at"]), row["excluded"])


def indexed_of(row: asyncpg.Record) -> Indexed:
    """A product with its terms, from a row of its table beside the terms of the searched one."""
    return Indexed(kept_of(row), frozenset(term for term in row["terms"] or () if term > 0))
