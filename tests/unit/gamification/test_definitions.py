"""What a badge must be, and what is said of one that is not."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.gamification.definitions import Draft, checked, default_badges, described
from loyalnest.gamification.leaderboard import display_name, period_of
from loyalnest.gamification.models import Kind
from loyalnest.kit.errors import InvalidInput

GOOD: dict[str, Any] = {
    "key": "five-orders",
    "title": "Five",
    "description": "Five orders",
    "icon": "star",
    "kind": "orders",
    "target": "5",
}


def test_the_default_badges_are_what_an_admin_could_write() -> None:
    assert len({badge.key for badge in default_badges()}) == len(default_badges()) >= 6
    for badge in default_badges():
        written = Draft(
            badge.key, badge.title, badge.description, badge.icon, badge.rule.kind, f"{badge.rule.target:f}"
        )
        assert checked(written) == badge


def test_a_category_is_a_type_or_products() -> None:
    category = GOOD | {"kind": "category_spend", "target": "99.95"}
    assert checked(Draft(**category | {"product_type": " Coffee "})).rule.product_type == "Coffee"
    rule = checked(Draft(**category | {"product_ids": (5, 3, 5)})).rule
    assert (rule.product_ids, rule.target) == ((3, 5), Decimal("99.95"))
    for more in ({}, {"product_type": "a", "product_ids": (1,)}, {"product_type": "  "}):
        with pytest.raises(InvalidInput, match="either product_type or product_ids"):
            checked(Draft(**category | more))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("key", key) for key in ("", "Five", "five_orders", "-five", "five-", "a" * 51, "ünf", "a\n")),
        *(("icon", icon) for icon in ("", "<svg>", "a/b", "A", "a" * 41)),
        *(("title", title) for title in ("", "   ", "a" * 61, "a\nb", "a\x00", "\u2028")),
        *(("description", text) for text in ("a" * 301, "a\tb")),
        *(("kind", kind) for kind in ("", "ORDERS", "visits")),
        *(("target", target) for target in ("", "0", "0.00", "-1", "1.5", "NaN", "Infinity", "1e3", "1000000001", "٣")),
        ("product_type", "coffee"),
        ("product_ids", (1,)),
    ],
)
def test_what_is_wrong_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=field):
        checked(Draft(**GOOD | {field: value}))


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as error:
        checked(Draft(**GOOD | {"key": "", "icon": "", "target": "x"}))
    assert all(name in error.value.detail for name in ("key", "icon", "target"))


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "weekly_streak", "target": "521"},
        {"kind": "spend", "target": "1.005"},
        {"kind": "category_spend", "product_ids": tuple(range(1, 202))},
        {"kind": "category_spend", "product_ids": (0,)},
        {"kind": "category_spend", "product_ids": (2**63,)},
    ],
)
def test_bounds_of_rules(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        checked(Draft(**GOOD | more))


@given(st.sampled_from(list(Kind)), st.text(max_size=20), st.text(max_size=70), st.text(max_size=20))
def test_nothing_is_accepted_that_cannot_be_stored(kind: Kind, target: str, title: str, product_type: str) -> None:
    try:
        badge = checked(Draft(**GOOD | {"kind": kind, "target": target, "title": title, "product_type": product_type}))
    except InvalidInput:
        return
    for text in described(badge).values():
        assert "\x00" not in text
        text.encode()
    assert badge.rule.target > 0


@pytest.mark.parametrize(
    ("given_name", "shown"), [("  Zoë   B. ", "Zoë B."), ("李雷", "李雷"), ("O'Neil-3", "O'Neil-3"), ("a_b", "a_b")]
)
def test_display_names(given_name: str, shown: str) -> None:
    assert display_name(given_name) == shown


@pytest.mark.parametrize(
    "name", ["", "a", " a ", "a" * 31, "me@shop.example", "http://x", "<b>me", "a\x00b", "...", "a\u202eb", "\ud800x"]
)
def test_what_is_no_display_name(name: str) -> None:
    with pytest.raises(InvalidInput):
        display_name(name)


def test_periods() -> None:
    assert [period_of(each, "2026-11") for each in ("", "all", "2025-01")] == ["2026-11", "all", "2025-01"]
    for text in ("month", "2026-13", "2026-1", "2026", "ALL", "٢٠٢٦-11", "2026-11\n"):
        with pytest.raises(InvalidInput):
            period_of(text, "2026-11")
