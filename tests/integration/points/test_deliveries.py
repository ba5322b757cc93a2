"""What Shopify's deliveries do to the ledger, one situation at a time."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from integration.points.support import Points, delivery, new_number, order, refund
from loyalnest.kit.errors import NotFound


async def award(points: Points, order_id: int = 1, merchant_id: str = "acme") -> tuple[int, int]:
    """Points awarded and clawed back."""
    found = await points.service.award(merchant_id, order_id)
    return found["awarded"], found["clawed_back"]


async def test_a_paid_order_earns_by_its_base(points: Points) -> None:
    await points.apply(delivery(order=order(base="12.99")))
    assert await points.balances("acme") == (12, 0, 0, 0)
    assert await points.problems() == []


async def test_an_unpaid_order_earns_once_it_is_paid(points: Points) -> None:
    await points.apply(delivery(topic="orders/create", order=order(paid=False)))
    assert await points.balances("acme") == (0, 0, 0, 0)
    await points.apply(delivery(topic="orders/updated", order=order()))
    await points.apply(delivery(topic="orders/paid", order=order(base="999")))
    assert await points.balances("acme") == (100, 0, 0, 0)


async def test_the_same_delivery_twice_counts_once(points: Points) -> None:
    event = delivery(order=order())
    await points.apply(event, event)
    await points.apply(event)
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert len(await points.told("points.earned")) == 1


async def test_the_same_delivery_id_with_another_body_changes_nothing(points: Points) -> None:
    await points.apply(delivery(delivery_id="d1", order=order(base="100")))
    await points.apply(delivery(delivery_id="d1", order=order(order_id=2, base="900")))
    await points.apply(delivery(delivery_id="d1", refund=refund(base="100")))
    assert await points.balances("acme") == (100, 0, 0, 0)
    with pytest.raises(NotFound, match="order 2"):
        await points.service.award("acme", 2)


async def test_the_same_delivery_id_of_two_merchants_counts_for_both(points: Points) -> None:
    await points.add_merchant("globex", rate="2")
    both = [delivery(merchant, delivery_id="d1", order=order()) for merchant in ("acme", "globex")]
    # The gateway derives the id from the merchant too; the inbox must not rely on it.
    same = [msgspec.structs.replace(each, id=both[0].id) for each in both]
    await points.apply(*same)
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert await points.balances("globex") == (200, 0, 0, 0)


@pytest.mark.parametrize("together", [True, False])
async def test_a_refund_before_its_order_counts_when_the_order_comes(points: Points, together: bool) -> None:
    events = [delivery(refund=refund(base="30")), delivery(order=order())]
    if together:
        await points.apply(*events)
    else:
        for event in events:
            await points.apply(event)
    assert await points.balances("acme") == (70, 0, 0, 0)
    assert await award(points) == (100, 30)
    assert await points.problems() == []


async def test_a_refund_counts_once_alone_and_inside_the_order(points: Points) -> None:
    await points.apply(delivery(order=order()))
    await points.apply(delivery(refund=refund(7, base="30")), delivery(order=order(refunds=[refund(7, base="30")])))
    await points.apply(delivery(order=order(refunds=[refund(7, base="30"), refund(8, base="20")])))
    assert await award(points) == (100, 50)
    assert await points.problems() == []


@pytest.mark.parametrize("together", [True, False])
async def test_a_refund_that_comes_with_another_base_keeps_the_first(points: Points, together: bool) -> None:
    events = [delivery(order=order()), delivery(refund=refund(base="30")), delivery(refund=refund(base="80"))]
    for batch in [events] if together else [[event] for event in events]:
        await points.apply(*batch)
    assert await award(points) == (100, 30)


async def test_several_partial_refunds_add_up_by_the_rule_of_the_award(points: Points) -> None:
    await points.add_merchant("thirds", rate="0.333")
    await points.apply(delivery("thirds", order=order(base="10")))  # 3.33: 3 points
    left = []
    for number in range(1, 5):
        await points.apply(delivery("thirds", refund=refund(number, base="2.5")))
        left.append((await points.balances("thirds"))[0])
    assert left == [2, 1, 0, 0]  # floor of 2.4975, 1.665, 0.8325, 0


async def test_an_order_after_its_cancellation_leaves_nothing(points: Points) -> None:
    await points.apply(delivery(topic="orders/cancelled", order=order(paid=False, cancelled=True)))
    await points.apply(delivery(order=order()))
    assert await points.balances("acme") == (0, 0, 0, 0)
    assert await award(points) == (100, 100)
    assert await points.problems() == []


async def test_a_guest_order_earns_nothing_and_fails_nothing(points: Points) -> None:
    await points.apply(delivery(order=order(customer_id=None, refunds=[refund()])), delivery(order=order(2)))
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert await award(points, 1) == (0, 0)
    assert await points.problems() == []


async def test_a_test_order_earns_only_where_the_program_says_so(points: Points) -> None:
    await points.add_merchant("tester", includeTestOrders=True)
    for merchant in ("acme", "tester"):
        await points.apply(delivery(merchant, order=order(test=True)))
    assert await points.balances("acme") == (0, 0, 0, 0)
    assert await points.balances("tester") == (100, 0, 0, 0)


async def test_what_was_spent_becomes_a_debt_that_later_earning_pays(points: Points) -> None:
    await points.apply(delivery(order=order(base="100")))
    await points.redemptions.redeem("acme", 1, "five-off", "key")
    await points.apply(delivery(refund=refund(base="60")))
    assert await points.balances("acme") == (0, 0, 0, 60)
    await points.earn(45)
    assert await points.balances("acme") == (0, 0, 0, 15)
    await points.earn(20)
    assert await points.balances("acme") == (5, 0, 0, 0)
    assert await points.problems() == []


async def test_under_floor_what_was_spent_is_let_go(points: Points) -> None:
    await points.add_merchant("kind", debt="Floor")
    await points.apply(delivery("kind", order=order(base="120")))
    await points.redemptions.redeem("kind", 1, "five-off", "key")
    await points.apply(delivery("kind", refund=refund(base="60")))
    assert await points.balances("kind") == (0, 0, 0, 0)
    await points.earn(45, merchant_id="kind")
    assert await points.balances("kind") == (45, 0, 0, 0)
    assert await points.problems("kind") == []


async def test_joining_points_are_given_once(points: Points) -> None:
    await points.add_merchant("welcome", joining=50)
    await points.apply(*(delivery("welcome", customer_id=9) for _ in range(2)))
    await points.apply(
        delivery("welcome", customer_id=9), delivery("welcome", topic="customers/update", customer_id=10)
    )
    assert await points.balances("welcome", 9) == (50, 0, 0, 0)
    assert await points.balances("welcome", 10) == (0, 0, 0, 0)
    assert [told["reason"] for told in await points.told("points.earned")] == ["joining"]


async def test_joining_and_a_first_order_in_two_batches_at_once(points: Points) -> None:
    await points.add_merchant("welcome", joining=50)
    await asyncio.gather(
        points.apply(delivery("welcome", customer_id=9)),
        points.apply(delivery("welcome", order=order(customer_id=9))),
        points.apply(delivery("welcome", customer_id=9)),
    )
    assert await points.balances("welcome", 9) == (150, 0, 0, 0)


async def test_a_fixed_number_of_points_per_order_is_clawed_back_in_proportion(points: Points) -> None:
    await points.add_merchant("flat", fixed=100)
    await points.apply(delivery("flat", order=order(base="30", refunds=[refund(base="10")])))
    assert await points.balances("flat") == (66, 0, 0, 0)
    await points.apply(delivery("flat", order=order(2, customer_id=2, base="0")))
    assert await points.balances("flat", 2) == (100, 0, 0, 0)


async def test_ids_and_amounts_at_their_bounds(points: Points) -> None:
    most = 2**63 - 1
    big = Decimal("999999999999999.999999")
    await points.apply(delivery(order=order(most, most, big, refunds=[refund(most, most, "0.000001")])))
    assert await points.balances("acme", most) == (999999999999999, 0, 0, 0)
    assert await points.problems() == []


async def test_a_topic_without_facts_is_passed_over(points: Points) -> None:
    await points.apply(delivery("nobody", topic="products/update"))


async def test_a_merchant_without_rules_is_named_and_nothing_is_applied(points: Points) -> None:
    with pytest.raises(NotFound, match="globex"):
        await points.apply(delivery(order=order()), delivery("globex", order=order()))
    assert await points.balances("acme") == (0, 0, 0, 0)
    assert await points.sql("SELECT 1 FROM points.inbox") == []


async def test_two_merchants_with_the_same_ids_are_kept_apart(points: Points) -> None:
    await points.add_merchant("globex", rate="3")
    await points.apply(delivery("acme", order=order()), delivery("globex", order=order()))
    await points.apply(delivery("globex", refund=refund(base="50")))
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert await points.balances("globex") == (150, 0, 0, 0)


async def test_a_delivery_that_brings_nothing_new_rewrites_nothing(points: Points) -> None:
    order_id = new_number()
    await points.apply(delivery(order=order(order_id)))
    version = "SELECT xmin FROM points.order_awards UNION ALL SELECT xmin FROM points.balances"
    before = await points.sql(version)
    await points.apply(delivery(topic="orders/updated", order=order(order_id)))
    # A row lock also sets xmax; xmin is the transaction that wrote the row.
    assert await points.sql(version) == before
