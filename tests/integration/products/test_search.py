"""What is found, and in which order."""

from decimal import Decimal
from typing import Any

import pytest

from integration.products.support import Products, facts
from loyalnest.kit.errors import InvalidInput


@pytest.fixture
async def shop(products: Products) -> Products:
    """A small shop."""
    await products.tell(
        facts(1, "Red cotton shirt", vendor="Acme", product_type="Shirts", tags=["summer", "sale"], skus=["AB-1234/X"]),
        facts(2, "Blue shirt", vendor="Bolt", product_type="Shirts", tags=["summer"], lowest_price=Decimal(20)),
        facts(3, "Wool hat", description="Goes well with a red shirt", product_type="Hats", inventory=0),
        facts(4, "Übergroßer Mützenhut", vendor="Müller", product_type="Hats", inventory=None),
        facts(5, "ガラスの花瓶", vendor="東京", product_type="Vases"),
        facts(6, "Shirt", lowest_price=Decimal("5.50"), highest_price=Decimal("40")),
        facts(7, "Secret shirt", published=False),
        facts(8, "Drafted shirt", status="draft"),
    )
    return products


WORDS: dict[str, list[int]] = {
    "cotton": [1],
    "COTTON": [1],
    "coton": [1],
    "cottton": [1],
    "cotron": [1],
    "ctoton": [1],
    "cot": [1],
    "co": [1],
    "red shrit": [1, 3],
    "shirt red": [1, 3],
    "shirt": [6, 2, 1, 3],
    "shirts": [6, 2, 1, 3],
    "ubergrosser": [4],
    "übergroßer": [4],
    "UEBERGROSSER": [4],
    "muetzenhut": [4],
    "mueller": [4],
    "Müler": [4],
    "ガラス": [5],
    "花瓶": [5],
    "瓶": [5],
    "の花": [5],
    "ｶﾞﾗｽ": [5],
    "ab-1234/x": [1],
    "AB1234X": [1],
    "1234": [1],
    "12": [1],
    "bolt blue": [2],
    "product-6": [6],
    "xyzzy": [],
    "!!!": [],
    "🎁": [],
}


async def test_words(shop: Products) -> None:
    assert {query: await shop.ids(query) for query in WORDS} == WORDS


async def test_numbers_and_skus_are_not_guessed_at(shop: Products) -> None:
    assert await shop.ids("ab1235x") == []
    assert await shop.ids("4321") == []


async def test_some_words_are_better_than_none(shop: Products) -> None:
    found = await shop.search("wool bolt")
    assert ([each.product_id for each in found.products], found.all_words) == ([3, 2], False)
    assert (await shop.search("wool hat")).all_words
    unknown = await shop.search("wool xyzzy")
    assert ([each.product_id for each in unknown.products], unknown.all_words) == ([3], False)


async def test_nothing_asked_for_is_everything_newest_first(shop: Products) -> None:
    found = await shop.search()
    assert [each.product_id for each in found.products] == [6, 5, 4, 3, 2, 1]
    assert (found.facets.total, found.facets.exact) == (6, True)
    assert [(each.value, each.products) for each in found.facets.product_types] == [
        ("Hats", 2),
        ("Shirts", 2),
        ("Vases", 1),
    ]
    everything = await shop.search(role="support")
    assert [each.product_id for each in everything.products] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert everything.facets.total == 8


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"vendors": ["Bolt"]}, [2]),
    ({"vendors": ["Bolt", "Müller"]}, [4, 2]),
    ({"vendors": ["bolt"]}, []),
    ({"vendors": ["Bolt", "nobody"]}, [2]),
    ({"product_types": ["Shirts"]}, [2, 1]),
    ({"product_types": ["Shirts"], "vendors": ["Acme"]}, [1]),
    ({"tags": ["summer"]}, [2, 1]),
    ({"tags": ["summer", "sale"]}, [1]),
    ({"tags": ["summer", "nothing"]}, []),
    ({"query": "shirt", "tags": ["summer"]}, [2, 1]),
    ({"available": True}, [6, 5, 4, 2, 1]),
    ({"available": False}, [3]),
    ({"min_price": "15"}, [6]),
    ({"max_price": "9.99"}, [6]),
    ({"min_price": "10", "max_price": "10"}, [6, 5, 4, 3, 1]),
    ({"query": "shirt", "min_price": "30"}, [6]),
    ({"vendors": ["\0"]}, []),
    ({"vendors": ["'; DROP TABLE products.products; --"]}, []),
]


async def test_filters(shop: Products) -> None:
    for filters, expected in FILTERS:
        result = await shop.search(**filters)
        assert [each.product_id for each in result.products] == expected, filters
        assert (result.facets.total, result.facets.exact) == (len(expected), True), filters


async def test_admins_filter_by_state_and_shoppers_cannot(shop: Products) -> None:
    assert await shop.ids("shirt", role="staff", visible=False) == [8, 7]
    assert await shop.ids("shirt", role="staff", status="draft") == [8]
    assert await shop.ids(role="staff", visible=True) == [6, 5, 4, 3, 2, 1]
    assert await shop.ids(role="staff", visible=False) == [8, 7]
    assert await shop.ids("shirt", visible=False, status="draft") == await shop.ids("shirt")


async def test_facets_count_what_is_found(shop: Products) -> None:
    facets = (await shop.search("shirt")).facets
    assert [(each.value, each.products) for each in facets.product_types] == [("Shirts", 2), ("Hats", 1)]
    assert [(each.value, each.products) for each in facets.vendors] == [("Acme", 3), ("Bolt", 1)]
    assert [(each.value, each.products) for each in facets.tags] == [("summer", 2), ("sale", 1)]
    assert (facets.available, facets.lowest_price, facets.highest_price) == (3, "5.50", "20")


ORDERS = {
    "newest": [6, 3, 2, 1],
    "price": [6, 1, 3, 2],
    "-price": [2, 3, 1, 6],
    "title": [2, 1, 6, 3],
    "relevance": [6, 2, 1, 3],
}


async def test_orders(shop: Products) -> None:
    assert {sort: await shop.ids("shirt", sort=sort) for sort in ORDERS} == ORDERS


async def test_what_begins_with_the_query_comes_first(products: Products) -> None:
    await products.tell(facts(1, "Lamp"), facts(2, "Lamp oil"), facts(3, "Oil lamp"), facts(4, "Lampshade"))
    assert await products.ids("lamp") == [1, 2, 3, 4]


async def test_pages_follow_each_other_without_gap_or_repetition(products: Products) -> None:
    await products.tell(*(facts(n, f"Plate {n % 7}") for n in range(1, 60)))
    for query, sort in (("plate", "relevance"), ("", "price"), ("", "newest"), ("plate", "title")):
        token, seen, pages = "", [], 0
        while True:
            page = await products.search(query, sort=sort, page_size=25, page_token=token)
            seen += [each.product_id for each in page.products]
            token, pages = page.next_page_token, pages + 1
            if not token:
                break
        assert (pages, len(seen), set(seen)) == (3, 59, set(range(1, 60)))


SENSELESS: list[dict[str, Any]] = [
    {"sort": "odd"},
    {"page_size": -1},
    {"page_token": "x"},
    {"page_token": "1000"},
    {"min_price": "x"},
    {"max_price": "-1"},
    {"max_price": "1e999999"},
    {"min_price": "NaN"},
    {"query": "x" * 501},
    {"tags": [str(n) for n in range(21)]},
]


async def test_what_makes_no_sense_is_refused(products: Products) -> None:
    for wrong in SENSELESS:
        with pytest.raises(InvalidInput):
            await products.search(**wrong)


HOSTILE = [
    "a & b | !c <-> (d:*",
    "'; SELECT 1; --",
    "\\",
    "%_%",
    "\0shirt\0",
    "\u202eshirt",
    "\ud7ff\uffff\U0010ffff",
    "((((((((",
    "* :* 'shirt':A",
    "a " * 250,
    "x" * 500,
    "日" * 500,
    "İ" * 250,
    "e" + "\u0301" * 499,
    "\u0301" * 500,
    "ﷺ" * 500,
    "$1 $2 {} {0} %s",
]


async def test_no_query_and_no_text_breaks_anything(shop: Products) -> None:
    for number, query in enumerate(HOSTILE, 100):
        found = await shop.search(query)
        assert found.facets.total >= len(found.products)
        text = query.replace("\0", "")  # as the gateway leaves it out
        await shop.tell(facts(number, text, description=text, vendor=text[:255], skus=[text[:255]], tags=[text[:255]]))
        await shop.search(query)
        assert number in await shop.ids(vendors=[text[:255]])


async def test_one_merchant_finds_nothing_of_another(shop: Products) -> None:
    await shop.tell(facts(1, "Foreign cotton shirt", vendor="Foreign"), merchant="b")
    assert await shop.ids("cotton", "b") == [1]
    assert (await shop.search("cotton")).products[0].title == "Red cotton shirt"
    assert await shop.ids("foreign") == []
    assert await shop.ids("foregn") == []
    assert await shop.ids(vendors=["Foreign"]) == []
    assert [each.value for each in (await shop.search(merchant="b")).facets.vendors] == ["Foreign"]
    assert await shop.ids("shirt", "c") == []
