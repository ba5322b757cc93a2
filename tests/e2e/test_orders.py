"""A signed order becomes points, a segment and a score; refunds, cancellations and repeats end in the right balance."""

from decimal import Decimal
from typing import Any

import pytest

from e2e.platform import Platform, eventually
from shopify.bodies import customer, line, new_id, order, refund


def buyer() -> tuple[int, dict[str, object]]:
    """A customer nobody has seen."""
    body = customer()
    return body["id"], body


def test_an_order_becomes_points_a_segment_and_a_score(platform: Platform) -> None:
    customer_id, body = buyer()
    platform.accept("acme", "customers/create", body)
    platform.accept("acme", "orders/create", order(customer=body, lines=[line(price="49.99", quantity=2)]))

    def reached() -> None:
        points = platform.points("acme", customer_id)
        assert points["available"] == 100 + 999  # joining, and floor(99.98 × 10)
        assert points["lifetime_earned"] == 1099
        assert sum(each["points"] for each in points["expiring"]) == 1099
        found = platform.get("acme", f"/frontend/customers/{customer_id}")
        scores = found["rfm"]
        assert scores["segment"]
        assert {scores["recency"], scores["frequency"], scores["monetary"]} <= {1, 2, 3, 4, 5}
        assert found["email"] == body["email"]

    eventually(reached)
    segments = platform.get("acme", "/frontend/segments")
    assert sum(each["customers"] for each in segments["segments"]) >= 1


def test_history_tells_each_posting_with_entries_that_sum_to_zero(platform: Platform) -> None:
    customer_id, body = buyer()
    bought = order(customer=body, lines=[line(price="10.00", quantity=1)])
    platform.accept("acme", "orders/paid", bought)
    platform.accept("acme", "refunds/create", refund(bought))

    def posted() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = platform.get("acme", "/frontend/points/history", customer_id=str(customer_id))[
            "transactions"
        ]
        assert [each["kind"] for each in found] == ["clawback", "accrual"]
        return found

    history = eventually(posted)
    _expect(platform, customer_id, available=0, lifetime_earned=0)
    assert all(sum(entry["amount"] for entry in each["entries"]) == 0 for each in history)
    assert all(each["order_id"] == str(bought["id"]) for each in history)


def _expect(platform: Platform, customer_id: int, **wanted: int) -> None:
    points = platform.points("acme", customer_id)
    assert {name: points[name] for name in wanted} == wanted


@pytest.mark.parametrize("times", [1, 3])
def test_repeats_of_a_delivery_and_of_an_order_earn_once(platform: Platform, times: int) -> None:
    customer_id, body = buyer()
    bought = order(customer=body, lines=[line(price="20.00", quantity=1)])
    for _ in range(times):
        platform.accept("acme", "orders/create", bought, delivery_id=f"same-{bought['id']}")
        platform.accept("acme", "orders/updated", bought)
        platform.accept("acme", "orders/paid", bought)
    eventually(lambda: _expect(platform, customer_id, available=200))
    _later_still(platform, customer_id, available=200)


def _later_still(platform: Platform, customer_id: int, **wanted: int) -> None:
    """The same after a further order of another customer went through, so that nothing is still on its way."""
    other, body = buyer()
    platform.accept("acme", "orders/create", order(customer=body, lines=[line(price="1.00", quantity=1)]))
    eventually(lambda: _expect(platform, other, available=10))
    _expect(platform, customer_id, **wanted)


def test_the_same_delivery_id_with_another_body_changes_nothing(platform: Platform) -> None:
    customer_id, body = buyer()
    first = order(customer=body, lines=[line(price="20.00", quantity=1)])
    platform.accept("acme", "orders/create", first, delivery_id=f"reused-{first['id']}")
    eventually(lambda: _expect(platform, customer_id, available=200))
    second = order(customer=body, lines=[line(price="30.00", quantity=1)])
    platform.accept("acme", "orders/create", second, delivery_id=f"reused-{first['id']}")
    _later_still(platform, customer_id, available=200)


def test_an_unpaid_order_earns_when_it_is_paid(platform: Platform) -> None:
    customer_id, body = buyer()
    pending = order(customer=body, lines=[line(price="15.00", quantity=1)], financial_status="pending")
    platform.accept("acme", "orders/create", pending)
    _later_still(platform, customer_id, available=0)
    platform.accept("acme", "orders/updated", pending | {"financial_status": "paid"})
    eventually(lambda: _expect(platform, customer_id, available=150))


def test_partial_refunds_add_up_and_each_counts_once(platform: Platform) -> None:
    customer_id, body = buyer()
    item = line(price="10.01", quantity=3)
    bought = order(customer=body, lines=[item])
    first = refund(bought, {item["id"]: 1})
    second = refund(bought, {item["id"]: 1})
    platform.accept("acme", "orders/create", bought)
    platform.accept("acme", "refunds/create", first)
    platform.accept("acme", "refunds/create", first)
    updated = bought | {"financial_status": "partially_refunded", "refunds": [first, second]}
    platform.accept("acme", "orders/updated", updated)
    eventually(lambda: _expect(platform, customer_id, available=100))  # floor(10.01 × 10)
    _later_still(platform, customer_id, available=100)


def test_a_refund_before_its_order_and_an_order_after_its_cancellation(platform: Platform) -> None:
    customer_id, body = buyer()
    item = line(price="10.00", quantity=2)
    bought = order(customer=body, lines=[item])
    platform.accept("acme", "refunds/create", refund(bought, {item["id"]: 1}))
    platform.accept("acme", "orders/create", bought)
    eventually(lambda: _expect(platform, customer_id, available=100))
    cancelled = order(customer=body, lines=[line(price="50.00", quantity=1)])
    platform.accept("acme", "orders/cancelled", cancelled | {"cancelled_at": "2026-11-05T10:00:00-05:00"})
    platform.accept("acme", "orders/create", cancelled)
    _later_still(platform, customer_id, available=100, debt=0)


def test_a_refund_of_spent_points_becomes_a_debt_that_the_next_order_pays(platform: Platform) -> None:
    customer_id, body = buyer()
    bought = order(customer=body, lines=[line(price="50.00", quantity=1)])
    platform.accept("acme", "orders/create", bought)
    eventually(lambda: _expect(platform, customer_id, available=500))
    redeemed = platform.call(
        "acme",
        "POST",
        "/frontend/points/redeem",
        json={"customer_id": str(customer_id), "reward": "five-off"},
        headers={"Idempotency-Key": f"e2e-{customer_id}"},
    )
    assert redeemed.status_code == 200, redeemed.text
    assert redeemed.json()["status"] == "issued"
    assert redeemed.json()["issued_by"] == "local"
    platform.accept("acme", "refunds/create", refund(bought))
    eventually(lambda: _expect(platform, customer_id, available=0, debt=500))
    platform.accept("acme", "orders/create", order(customer=body, lines=[line(price="60.00", quantity=1)]))
    eventually(lambda: _expect(platform, customer_id, available=100, debt=0))


def test_gift_cards_discounts_tax_and_shipping_are_left_out(platform: Platform) -> None:
    customer_id, body = buyer()
    lines = [
        line(price="100.00", quantity=1, gift_card=True),
        line(price="30.00", quantity=2, discounts=["12.50"]),
    ]
    platform.accept("acme", "orders/create", order(customer=body, lines=lines, shipping="25.00"))
    eventually(lambda: _expect(platform, customer_id, available=475))


def test_guests_and_test_orders_earn_nothing_and_fail_nothing(platform: Platform) -> None:
    customer_id, body = buyer()
    platform.accept("acme", "orders/create", order(customer=None))
    platform.accept("acme", "orders/create", order(customer=body, test=True))
    platform.accept("acme", "carts/update", {"id": "abc", "note": "a topic nobody handles"})
    _later_still(platform, customer_id, available=0)


def test_two_shops_with_the_same_customer_id_stay_apart(platform: Platform) -> None:
    customer_id, body = buyer()
    platform.accept("acme", "orders/create", order(customer=body, lines=[line(price="10.00", quantity=1)]))
    euros = order(customer=body, lines=[line(price="33.00", quantity=1, currency="EUR")], currency="EUR")
    platform.accept("brew", "orders/create", euros)
    eventually(lambda: _expect(platform, customer_id, available=100))
    eventually(lambda: _assert_equal(platform.points("brew", customer_id)["available"], 33))


def _assert_equal(found: object, wanted: object) -> None:
    assert found == wanted


def test_ids_beyond_a_double_survive(platform: Platform) -> None:
    big = 2**53 + 12345 + new_id() % 1000
    platform.accept("acme", "orders/create", order(customer=customer(big), lines=[line(price="1.00", quantity=1)]))
    eventually(lambda: _expect(platform, big, available=10))
    assert Decimal(platform.points("acme", big)["customer_id"]) == big


def test_the_ledger_is_proven_in_the_end(platform: Platform) -> None:
    for merchant in ("acme", "brew"):
        done = platform.command(merchant, "verify", merchant)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "all proven" in done.stdout
        assert "one chain" in done.stdout
