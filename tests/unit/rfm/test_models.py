"""What is known of an order can be combined in any order and any number of times."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from loyalnest.rfm.models import OrderState

PLACED = datetime(2026, 1, 1, tzinfo=UTC)

states = st.builds(
    OrderState,
    st.just("acme"),
    st.just(1),
    st.just(7),
    st.sampled_from([None, PLACED]),
    st.integers(0, 5).map(Decimal),
    st.booleans(),
)


@given(states, states, states)
def test_combining_is_commutative_associative_and_idempotent(a: OrderState, b: OrderState, c: OrderState) -> None:
    assert a.combine(b) == b.combine(a)
    assert a.combine(b).combine(c) == a.combine(b.combine(c))
    assert a.combine(a) == a
    assert a.combine(b).combine(b) == a.combine(b)


def test_a_refund_before_its_order_is_kept() -> None:
    refund = OrderState("acme", 1, 7, None, Decimal(3), cancelled=False)
    order = OrderState("acme", 1, 7, PLACED, Decimal(10), cancelled=False)
    assert refund.combine(order) == OrderState("acme", 1, 7, PLACED, Decimal(3), cancelled=False)
