"""What a product's deliveries become."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from loyalnest.api_gateway.events import ProductFacts
from loyalnest.kit.shopify.product import MAX_DESCRIPTION, MAX_MARKUP, MAX_SKUS, MAX_TAGS, without_markup
from unit.api_gateway.bodies import BIG_ID, read, refusal


def variant(**changes: Any) -> dict[str, Any]:
    told = {"id": 1, "price": "10.00", "sku": "A-1", "inventory_quantity": 3, "inventory_management": "shopify"}
    return told | {"inventory_policy": "deny"} | changes


def product(**changes: Any) -> dict[str, Any]:
    return {
        "id": BIG_ID,
        "title": "Übergroßer Hut",
        "handle": "ubergroser-hut",
        "body_html": "<p>Warm &amp; <b>weich</b></p>",
        "vendor": "Acme",
        "product_type": "Hats",
        "tags": "winter, wool , winter",
        "status": "active",
        "created_at": "2026-01-02T03:04:05-05:00",
        "updated_at": "2026-01-03T03:04:05-05:00",
        "published_at": "2026-01-02T03:04:05-05:00",
        "variants": [variant(), variant(price=12.5, sku="A-2", inventory_quantity=-2)],
        "image": {"src": "https://cdn.example.com/hut.jpg"},
    } | changes


def facts(**changes: Any) -> ProductFacts:
    found = read(product(**changes), "products/update").product
    assert found is not None
    return found


def test_all_of_it() -> None:
    decoded = read(product(), "products/create")
    assert decoded.product == ProductFacts(
        product_id=BIG_ID,
        title="Übergroßer Hut",
        handle="ubergroser-hut",
        description="Warm & weich",
        vendor="Acme",
        product_type="Hats",
        tags=["winter", "wool"],
        status="active",
        published=True,
        lowest_price=Decimal("10.00"),
        highest_price=Decimal("12.5"),
        skus=["A-1", "A-2"],
        image_url="https://cdn.example.com/hut.jpg",
        inventory=3,
        created_at=datetime(2026, 1, 2, 8, 4, 5, tzinfo=UTC),
        updated_at=datetime(2026, 1, 3, 8, 4, 5, tzinfo=UTC),
    )
    assert (decoded.ordering_key, decoded.personal) == (f"product:{BIG_ID}", None)


def test_a_deletion_names_the_product_only() -> None:
    assert read({"id": BIG_ID}, "products/delete").product == ProductFacts(product_id=BIG_ID, deleted=True)
    assert read(product(variants=1), "products/delete").product == ProductFacts(product_id=BIG_ID, deleted=True)


def test_the_least_that_a_product_has() -> None:
    assert read({"id": "5"}, "products/create").product == ProductFacts(product_id=5)


@pytest.mark.parametrize("price", ["-1", "1e20", "abc", "NaN", True, [], "0." + "0" * 40 + "1"])
def test_a_price_that_is_none_is_refused(price: object) -> None:
    assert "price" in refusal(product(variants=[variant(), variant(price=price)]), "products/create")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": 0}, "id"),
        ({"id": None}, "id"),
        ({"variants": {}}, "variants"),
        ({"updated_at": "yesterday"}, "updated_at"),
        ({"updated_at": "1900-01-01T00:00:00Z"}, "updated_at"),
        ({"variants": [variant(inventory_quantity=1.5)]}, "inventory_quantity"),
        ({"variants": [variant(inventory_quantity=10**12)]}, "inventory_quantity"),
    ],
)
def test_what_is_no_text_is_read_strictly(changes: dict[str, Any], field: str) -> None:
    assert field in refusal(product(**changes), "products/create")


@pytest.mark.parametrize(
    ("variants", "inventory"),
    [
        ([], None),
        ([variant(inventory_quantity=None)], None),
        ([variant(inventory_quantity=0)], 0),
        ([variant(), variant(inventory_policy="continue", inventory_quantity=0)], None),
        ([variant(), variant(inventory_management=None)], None),
        ([{"inventory_quantity": 4}], 4),
    ],
)
def test_what_is_in_stock(variants: list[dict[str, Any]], inventory: int | None) -> None:
    assert facts(variants=variants).inventory == inventory


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"title": " a\0b\n c "}, "title", "ab  c"),
        ({"title": "x" * 300}, "title", "x" * 255),
        ({"title": ["no"]}, "title", ""),
        ({"tags": ["a", "b", 1, "a"]}, "tags", ["a", "b"]),
        ({"tags": ",, ,"}, "tags", []),
        ({"tags": "x" * 256 + ",ok"}, "tags", ["ok"]),
        ({"tags": [str(n) for n in range(400)]}, "tags", [str(n) for n in range(MAX_TAGS)]),
        ({"status": "ACTIVE"}, "status", "active"),
        ({"status": "odd"}, "status", ""),
        ({"published_at": None}, "published", False),
        ({"image": {"src": "javascript:alert(1)"}}, "image_url", ""),
        ({"image": None, "images": [{"src": "http://x.example/i"}, {}]}, "image_url", "http://x.example/i"),
        ({"image": {"src": "https://" + "x" * 3000}}, "image_url", ""),
    ],
)
def test_texts_are_cleaned_cut_or_left_out(changes: dict[str, Any], name: str, expected: object) -> None:
    assert getattr(facts(**changes), name) == expected


def test_skus_are_bounded() -> None:
    many = facts(variants=[variant(sku=str(n)) for n in range(MAX_SKUS + 9)])
    assert many.skus == [str(n) for n in range(MAX_SKUS)]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("no markup, 1 < 2 > 0", "no markup, 1 < 2 > 0"),
        ("<h1>One</h1>two<br/>three", "One two three"),
        ("a<script type='x'>alert('<b>')</script>b", "a b"),
        ("a<STYLE>p{}</sTyLe >b<!-- c <b> -->d", "a b d"),
        ("a<script>never closed", "a"),
        ("&lt;b&gt; &auml;&#0;&nbsp;x", "<b> ä\N{REPLACEMENT CHARACTER} x"),
        ("İ<script>x</script>y", "i̇ y"),
        ("日本<wbr>語", "日本 語"),
    ],
)
def test_markup(markup: str, text: str) -> None:
    assert without_markup(markup) == text


@pytest.mark.parametrize("hostile", ["<", "<a", "<!--", "<!---->", "<script>", "<script></script>", "&#x", "<a<b>"])
def test_hostile_markup_takes_no_longer_than_its_length(hostile: str) -> None:
    started = time.process_time()
    assert len(without_markup(hostile * (MAX_MARKUP // len(hostile)))) <= MAX_DESCRIPTION
    assert time.process_time() - started < 5, "a quadratic reading takes minutes"
