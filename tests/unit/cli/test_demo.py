"""The demo's recent deliveries: recent whenever they are sent, and of one piece."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from loyalnest.admin_features.notices import RECENT as NEWS
from loyalnest.cli.demo import NORA, OWEN, RECENT, TARIQ, VINYL, demo_folder, filled
from loyalnest.cli.purchases import read_purchases

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def sent(tmp_path: Path) -> list[tuple[str, Any]]:
    """Topic and body of each delivery."""
    file = tmp_path / RECENT
    file.write_text(filled((demo_folder() / RECENT).read_text(encoding="utf-8"), "K7MPQ2WX", NOW), encoding="utf-8")
    assert " ago}" not in file.read_text(encoding="utf-8")
    read = read_purchases(file)
    assert len({each.delivery_id for each in read}) == len(read)
    return [(each.topic, json.loads(each.body)) for each in read]


def bodies(sent: list[tuple[str, Any]], topic: str) -> list[Any]:
    return [body for each, body in sent if each == topic]


def test_a_moment_is_told_by_how_long_ago_it_was() -> None:
    text = '{"a": "{90 minutes ago}", "b": "{2 days ago}", "c": "{code}", "d": "{code:1}"}'
    assert json.loads(filled(text, "XY", NOW)) == {
        "a": "2026-03-01T11:00:00+00:00",
        "b": "2026-02-27T12:30:00+00:00",
        "c": "XY",
        "d": "{code:1}",
    }


def test_what_makes_messages_is_news(sent: list[tuple[str, Any]]) -> None:
    customers = {each["id"]: each for each in bodies(sent, "customers/create")}
    assert {NORA, TARIQ, OWEN} < set(customers)
    for order in bodies(sent, "orders/create"):
        joined = datetime.fromisoformat(customers[order["customer"]["id"]]["created_at"])
        placed = datetime.fromisoformat(order["created_at"])
        assert NOW - NEWS + timedelta(hours=12) < joined < placed < NOW


def test_orders_name_products_and_sums_that_are_there(sent: list[tuple[str, Any]]) -> None:
    products = {each["id"]: each for each in bodies(sent, "products/create")}
    assert {products[each]["product_type"] for each in VINYL} == {"Vinyl"}
    assert [key for key, each in products.items() if each["product_type"] == "Vinyl"] == list(VINYL)
    for order in bodies(sent, "orders/create"):
        total = sum(Decimal(line["price"]) * line["quantity"] for line in order["line_items"])
        assert Decimal(order["total_price"]) == total
        for line in order["line_items"]:
            assert line["price"] == products[line["product_id"]]["variants"][0]["price"]


def test_one_order_is_a_friends(sent: list[tuple[str, Any]]) -> None:
    codes = [each["value"] for order in bodies(sent, "orders/create") for each in order["note_attributes"]]
    assert codes == ["K7MPQ2WX"]
