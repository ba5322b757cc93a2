"""The gRPC face of points, through the same channel that other services call it by."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from integration.points.support import Points, delivery, order, refund
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed, Unauthenticated
from loyalnest.kit.rpc import Channels, MethodTable
from loyalnest.points import points_pb2 as pb
from loyalnest.points.grpc import PointsGrpc
from loyalnest.points.manifest import SERVICE
from loyalnest.points.points_pb2_grpc import PointsServiceStub

Call = Callable[..., Awaitable[Any]]


@pytest.fixture
def call(points: Points) -> Call:
    """Calls a method by its name: `await call("GetPointsBalance", customer_id=1)`, as an owner of acme."""
    table = MethodTable()
    assert SERVICE.rpc
    SERVICE.rpc.register(PointsGrpc(points.service, points.redemptions), table)
    stub: Any = PointsServiceStub(Channels({"points": table}, {}).channel("points"))  # type: ignore[arg-type]

    async def by_name(method: str, *, merchant: str = "acme", role: str = "owner", **fields: Any) -> Any:
        with as_merchant(merchant, actor="ann", role=role):
            return await getattr(stub, method)(getattr(pb, f"{method}Request")(**fields))

    return by_name


async def test_a_balance(points: Points, call: Call) -> None:
    await points.add_merchant("short", expiryDays=30)
    await points.earn(120, merchant_id="short")
    await points.redemptions.redeem("short", 1, "five-off", "key")
    found = await call("GetPointsBalance", merchant="short", customer_id=1)
    expiring = pb.ExpiringPoints(points=20, expires_at="2026-01-31T00:00:00+00:00")
    assert found == pb.PointsBalance(
        customer_id=1, available=20, lifetime_earned=120, lifetime_redeemed=100, expiring=[expiring]
    )
    assert await call("GetPointsBalance", customer_id=1) == pb.PointsBalance(customer_id=1)


async def test_a_debt_is_shown_as_such(points: Points, call: Call) -> None:
    order_id = await points.earn(100)
    await points.redemptions.redeem("acme", 1, "five-off", "key")
    await points.apply(delivery(refund=refund(order_id=order_id, base="30")))
    found = await call("GetPointsBalance", customer_id=1)
    assert (found.available, found.debt, found.lifetime_earned) == (0, 30, 70)


@pytest.mark.parametrize("method", ["GetPointsBalance", "ListTransactions", "AdjustPoints", "RedeemPoints"])
@pytest.mark.parametrize("customer_id", [0, -1])
async def test_an_id_that_is_none_is_refused(call: Call, method: str, customer_id: int) -> None:
    with pytest.raises(InvalidInput, match="customer_id"):
        await call(method, customer_id=customer_id)


@pytest.mark.parametrize("method", ["GetRedemption", "CancelRedemption"])
async def test_an_id_of_a_redemption_that_is_none_is_refused(call: Call, method: str) -> None:
    for bad in ("", "x", "0" * 31, "'; DROP TABLE points.lots; --"):
        with pytest.raises(InvalidInput, match="is no redemption id"):
            await call(method, redemption_id=bad)


async def test_what_is_unknown_is_not_found(call: Call) -> None:
    with pytest.raises(NotFound):
        await call("GetOrderAward", order_id=12)
    with pytest.raises(NotFound):
        await call("GetRedemption", redemption_id="01890000-0000-7000-8000-000000000000")
    with pytest.raises(NotFound, match="nobody"):
        await call("ListRewards", merchant="nobody")


async def test_a_call_without_a_merchant_is_refused(call: Call) -> None:
    for method in ("GetPointsBalance", "GetProgramTotals", "VerifyLedger", "ListRewards"):
        with pytest.raises(Unauthenticated):
            await call(method, merchant="", **({"customer_id": 1} if method == "GetPointsBalance" else {}))


@pytest.mark.parametrize(("role", "may"), [("owner", True), ("staff", True), ("support", False), ("", False)])
async def test_who_may_adjust_and_cancel(points: Points, call: Call, role: str, may: bool) -> None:
    await points.earn(100)
    done = await points.redemptions.redeem("acme", 1, "five-off", "key")
    adjust = {"customer_id": 1, "points": 5, "reason": "why", "idempotency_key": "key"}
    cancel = {"redemption_id": str(done.redemption_id), "reason": "why"}
    for method, fields in (("AdjustPoints", adjust), ("CancelRedemption", cancel)):
        if may:
            await call(method, role=role, **fields)
        else:
            with pytest.raises(Forbidden):
                await call(method, role=role, **fields)
    assert await points.balances("acme") == ((105 if may else 0), 0, 0, 0)


async def test_an_adjustment_answers_with_the_posting_and_the_balance(call: Call) -> None:
    fields = {"customer_id": 3, "points": 5, "reason": "why", "idempotency_key": "key"}
    for _ in range(2):
        answer = await call("AdjustPoints", **fields)
        assert {entry.account: entry.amount for entry in answer.transaction.entries} == {"issued": -5, "available": 5}
        assert (answer.transaction.actor, answer.balance.available) == ("ann", 5)
    with pytest.raises(Conflict):
        await call("AdjustPoints", **(fields | {"points": 6}))
    with pytest.raises(PreconditionFailed):
        await call("AdjustPoints", **(fields | {"points": -6, "idempotency_key": "other"}))


async def test_history_by_pages_newest_first(points: Points, call: Call) -> None:
    for base in range(1, 8):
        await points.earn(base)
    await points.earn(99, 2)
    pages, token = [], ""
    while True:
        page = await call("ListTransactions", customer_id=1, page_size=3, page_token=token)
        pages.append([each.points for each in page.transactions])
        token = page.next_page_token
        if not token:
            break
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]
    for each in page.transactions:
        assert sum(entry.amount for entry in each.entries) == 0


async def test_a_page_is_as_long_as_allowed(points: Points, call: Call) -> None:
    await points.apply(*(delivery(order=order(number, base="1")) for number in range(1, 203)))
    sizes = [len((await call("ListTransactions", customer_id=1, page_size=n)).transactions) for n in (0, 10**6)]
    assert sizes == [50, 200]
    full = await call("ListTransactions", customer_id=1, page_size=101)
    rest = await call("ListTransactions", customer_id=1, page_size=101, page_token=full.next_page_token)
    assert (len(rest.transactions), rest.next_page_token) == (101, "")
    for fields in ({"page_size": -1}, {"page_token": "not one of ours"}):
        with pytest.raises(InvalidInput):
            await call("ListTransactions", customer_id=1, **fields)
        with pytest.raises(InvalidInput):
            await call("ListRedemptions", **fields)


async def test_an_award_tells_its_rule(points: Points, call: Call) -> None:
    await points.apply(delivery(order=order(4, base="12.50", refunds=[refund(1, 4, "2.5")])))
    found = await call("GetOrderAward", order_id=4)
    assert (found.base, found.refunded_base, found.awarded, found.clawed_back) == ("12.50", "2.5", 12, 2)
    assert (found.rule, found.points_per_unit, found.multiplier, found.settings_version) == ("purchase", "1", "1", 1)
    assert (found.customer_id, found.cancelled, found.awarded_at) == (1, False, "2026-01-01T00:00:00+00:00")
    await points.apply(delivery(order=order(5, paid=False)))
    unpaid = await call("GetOrderAward", order_id=5)
    assert (unpaid.base, unpaid.awarded, unpaid.awarded_at) == ("", 0, "")


async def test_what_campaigns_gave(points: Points, call: Call) -> None:
    campaign_id = str(await points.run_campaign())
    await points.apply(delivery(order=order(4, refunds=[refund(1, 4, "25")])))
    (bonus,) = (await call("GetOrderAward", order_id=4)).bonuses
    assert (bonus.campaign_id, bonus.points, bonus.clawed_back) == (campaign_id, 100, 25)
    unknown = "01890000-0000-7000-8000-000000000000"
    found = await call("ListCampaignSpending", campaign_ids=[unknown, campaign_id])
    assert [(each.campaign_id, each.spent_points) for each in found.spending] == [(campaign_id, 75)]
    assert not (await call("ListCampaignSpending", merchant="globex", campaign_ids=[campaign_id])).spending
    with pytest.raises(InvalidInput, match="is no campaign id"):
        await call("ListCampaignSpending", campaign_ids=["x"])
    with pytest.raises(InvalidInput, match="At most 200"):
        await call("ListCampaignSpending", campaign_ids=[unknown] * 201)


async def test_rewards_and_redemptions(points: Points, call: Call) -> None:
    await points.earn(350)
    rewards = (await call("ListRewards")).rewards
    assert [(each.name, each.points, each.discount_amount, each.discount_percentage) for each in rewards] == [
        ("five-off", 100, "5", ""),
        ("third-off", 300, "", "33"),
    ]
    fields = {"customer_id": 1, "reward": "third-off", "idempotency_key": "key"}
    done = await call("RedeemPoints", role="", **fields)
    assert (done.status, done.points, done.discount_percentage, done.issued_by) == ("issued", 300, "33", "local")
    assert done.code.startswith("LOYAL-")
    assert await call("RedeemPoints", **fields) == done
    assert await call("GetRedemption", redemption_id=done.redemption_id) == done
    assert list((await call("ListRedemptions", customer_id=1)).redemptions) == [done]
    with pytest.raises(NotFound):
        await call("GetRedemption", merchant="globex", redemption_id=done.redemption_id)


async def test_the_code_of_a_held_redemption_is_not_told(points: Points, call: Call) -> None:
    await points.earn(100)
    points.issuer.answers = [TimeoutError()]
    held = await call("RedeemPoints", customer_id=1, reward="five-off", idempotency_key="key")
    assert (held.status, held.code) == ("held", "")


async def test_totals_and_proof(points: Points, call: Call) -> None:
    for customer_id in (1, 2):
        await points.earn(100, customer_id)
    assert await call("GetProgramTotals") == pb.ProgramTotals(members=2, available=200, lifetime_earned=200, orders=2)
    assert await call("VerifyLedger") == pb.VerifyLedgerResponse(transactions=2, members=2)
    await points.sql("UPDATE points.balances SET available = 7 WHERE customer_id = 1")
    (problem, *_) = (await call("VerifyLedger")).problems
    assert (problem.check, problem.subject) == ("balances equal their entries", "1")
