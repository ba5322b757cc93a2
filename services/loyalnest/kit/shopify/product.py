"""Shopify's product, as its deliveries and its exports write it: ids, prices and times strictly, texts leniently.

What stands here is shown to shoppers or searched by them. A text that is odd is left out or cut, so that it never keeps
a product away; an id, a price or a time that cannot be understood refuses the product.
"""

import html
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from loyalnest.kit.shopify.lenient import NOTHING, cleaned, text_of
from loyalnest.kit.shopify.reading import read
from loyalnest.kit.shopify.values import Id, Time, moment, money, shopify_id

MAX_TITLE: Final = 255
"""Titles, handles, vendors and types are cut to this many characters, which is Shopify's own limit."""
MAX_DESCRIPTION: Final = 2_000
MAX_MARKUP: Final = 64_000
"""So much of a description's markup is looked at."""
MAX_TAGS: Final = 250
MAX_SKUS: Final = 250
MAX_LABEL: Final = 255
"""A longer tag or SKU is left out: cut short, it would be another one."""
MAX_VARIANTS: Final = 5_000
MAX_QUANTITY: Final = 10**9
MAX_URL: Final = 2_048

STATUSES: Final = frozenset({"active", "archived", "draft", "unlisted"})

_UNTOLD: Final = Raw()
"""Stands for a field that is not there, where null says something else."""


class Variant(msgspec.Struct, gc=False):
    """The fields of a variant that are read."""

    price: Decimal | None = None
    inventory_quantity: Annotated[int, Meta(ge=-MAX_QUANTITY, le=MAX_QUANTITY)] | None = None
    sku: Raw = NOTHING
    inventory_policy: Raw = NOTHING
    inventory_management: Raw = _UNTOLD


class Image(msgspec.Struct, gc=False):
    """The field of an image that is read."""

    src: Raw = NOTHING


class ShopifyProduct(msgspec.Struct, gc=False, kw_only=True):
    """The fields of a product that are read."""

    id: Id
    variants: Annotated[list[Variant], Meta(max_length=MAX_VARIANTS)] | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    published_at: Time | None = None
    title: Raw = NOTHING
    handle: Raw = NOTHING
    body_html: Raw = NOTHING
    vendor: Raw = NOTHING
    product_type: Raw = NOTHING
    tags: Raw = NOTHING
    status: Raw = NOTHING
    image: Raw = NOTHING
    images: Raw = NOTHING


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a product. Prices are in the shop's currency; None and empty where nothing was told.

    published: it has a `published_at`. inventory: pieces of all variants that are there; None if untold, or if a
    variant is sold without counting.
    """

    product_id: int
    title: str = ""
    handle: str = ""
    description: str = ""
    vendor: str = ""
    product_type: str = ""
    tags: list[str] = []
    status: str = ""
    published: bool = False
    lowest_price: Decimal | None = None
    highest_price: Decimal | None = None
    skus: list[str] = []
    image_url: str = ""
    inventory: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


_product_decoder = msgspec.json.Decoder(ShopifyProduct)
_image_decoder = msgspec.json.Decoder(Image | None)
_list_decoder = msgspec.json.Decoder(list[Raw])


def read_product(body: bytes) -> Product:
    """The product that a JSON object describes. Raises InvalidInput, which names the field that is wrong."""
    told = read(_product_decoder, body)
    variants = told.variants or []
    prices = [
        money(each.price, "variants", index, "price") for index, each in enumerate(variants) if each.price is not None
    ]
    return Product(
        product_id=shopify_id(told.id, "id"),
        title=_cut(told.title),
        handle=_cut(told.handle),
        description=without_markup(text_of(told.body_html)),
        vendor=_cut(told.vendor),
        product_type=_cut(told.product_type),
        tags=_labels(_tags(told.tags), MAX_TAGS),
        status=_status(told.status),
        published=moment(told.published_at, "published_at") is not None,
        lowest_price=min(prices, default=None),
        highest_price=max(prices, default=None),
        skus=_labels((text_of(each.sku) for each in variants), MAX_SKUS),
        image_url=_image_url(told.image, told.images),
        inventory=_inventory(variants),
        created_at=moment(told.created_at, "created_at"),
        updated_at=moment(told.updated_at, "updated_at"),
    )


def read_product_id(body: bytes) -> int:
    """The product that a deletion names. Raises InvalidInput."""
    return shopify_id(read(_deletion_decoder, body).id, "id")


class _Deletion(msgspec.Struct, gc=False):
    id: Id


_deletion_decoder = msgspec.json.Decoder(_Deletion)

# `[^<>]` stops at the next bracket, so that no text makes this take longer than its length.
_TAG = re.compile(r"<(/?[a-zA-Z!?][^<>]*)>")
_HIDDEN = re.compile(r"<!--|<(script|style|template)\b[^<>]*>", re.IGNORECASE)


def without_markup(text: str) -> str:
    """The words of a piece of HTML, in one line, cut to `MAX_DESCRIPTION`. What it gives is plain text, not HTML."""
    shown = "".join(_shown(text[:MAX_MARKUP]))
    plain = html.unescape(_TAG.sub(" ", shown))
    return " ".join(cleaned(plain).split())[:MAX_DESCRIPTION].rstrip()


def _shown(text: str) -> Iterator[str]:
    """`text` without scripts, style sheets and comments; one that does not end hides the rest."""
    if len(text.lower()) != len(text):  # few characters have a longer lower case, and positions must agree
        text = text.lower()
    lowered, begin = text.lower(), 0
    while hidden := _HIDDEN.search(text, begin):
        yield text[begin : hidden.start()] + " "
        closing = f"</{hidden[1].lower()}" if hidden[1] else "-->"
        end = lowered.find(closing, hidden.end())
        if end < 0:
            return
        begin = end if hidden[1] else end + len(closing)
    yield text[begin:]


def _cut(raw: Raw) -> str:
    return text_of(raw)[:MAX_TITLE].rstrip()


def _status(raw: Raw) -> str:
    status = text_of(raw).lower()
    return status if status in STATUSES else ""


def _elements(raw: Raw) -> list[Raw]:
    try:
        return _list_decoder.decode(raw)
    except msgspec.DecodeError:
        return []


def _tags(raw: Raw) -> Iterator[str]:
    """Tags come as one text with commas, from newer versions of the API as a list."""
    if bytes(raw)[:1] == b"[":
        yield from map(text_of, _elements(raw))
    else:
        yield from (each.strip() for each in text_of(raw).split(","))


def _labels(texts: Iterable[str], most: int) -> list[str]:
    """The first `most` that are there and not too long, each once."""
    kept = dict.fromkeys(text for text in texts if 0 < len(text) <= MAX_LABEL)
    return list(kept)[:most]


def _image_url(image: Raw, images: Raw) -> str:
    """The address of the product's first image; empty for none, and for one that is not of the web."""
    for raw in (image, *_elements(images)[:1]):
        try:
            found: Any = _image_decoder.decode(raw)
        except msgspec.DecodeError:
            continue
        url = text_of(found.src) if found else ""
        if url.startswith(("https://", "http://")) and len(url) <= MAX_URL:
            return url
    return ""


def _inventory(variants: list[Variant]) -> int | None:
    """Pieces of all variants; one that is oversold counts 0."""
    uncounted = any(
        bytes(each.inventory_management) == b"null" or text_of(each.inventory_policy) == "continue" for each in variants
    )
    counts = [each.inventory_quantity for each in variants if each.inventory_quantity is not None]
    return None if uncounted or not counts else sum(max(count, 0) for count in counts)
