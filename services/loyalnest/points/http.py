"""Points' routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import CustomerId, IdempotencyKey, PageSize, PageToken, ShortText
from loyalnest.points import points_pb2 as pb
from loyalnest.points.points_pb2_grpc import PointsServiceStub


class Expiring(BaseModel):
    points: int
    expires_at: str


class PointsView(BaseModel):
    """A customer's points. `available` may be spent; `debt` is paid first by later earning."""

    customer_id: str
    available: int
    pending: int
    held: int
    debt: int
    lifetime_earned: int = Field(description="Awarded less what was clawed back.")
    lifetime_redeemed: int
    expiring: list[Expiring] = Field(description="Available points that will run out, soonest first.")


class EntryView(BaseModel):
    account: str
    amount: int


class TransactionView(BaseModel):
    """One posting of the ledger; its entries sum to zero."""

    transaction_id: str
    kind: str
    points: int = Field(description="Effect on what the customer owns.")
    source: str
    order_id: str | None
    rule: str
    settings_version: int
    actor: str
    note: str
    created_at: str
    entries: list[EntryView]


class HistoryView(BaseModel):
    transactions: list[TransactionView]
    next_page_token: str


class RedeemBody(BaseModel):
    customer_id: CustomerId
    reward: ShortText = Field(description="Name of the reward, as listed by GET /frontend/points/rewards.")


class RedemptionView(BaseModel):
    """Points exchanged for a discount code. `held`: Shopify has not answered yet; ask again with the same key."""

    redemption_id: str
    customer_id: str
    reward: str
    points: int
    status: str = Field(description="held, issued, refused or cancelled")
    code: str
    issued_by: str = Field(description="shopify, or local where the shop is not connected")
    discount_amount: str
    discount_percentage: str
    currency: str
    reason: str
    created_at: str


class RedemptionsView(BaseModel):
    redemptions: list[RedemptionView]
    next_page_token: str


class CancelBody(BaseModel):
    reason: ShortText


class RewardView(BaseModel):
    name: str
    points: int
    discount_amount: str
    discount_percentage: str
    currency: str


class RewardsView(BaseModel):
    rewards: list[RewardView]


class AdjustBody(BaseModel):
    customer_id: CustomerId
    points: Annotated[int, Field(ge=-(10**9), le=10**9, description="Above zero grants, below zero deducts.")]
    reason: ShortText


class AdjustmentView(BaseModel):
    transaction: TransactionView
    balance: PointsView


class TotalsView(BaseModel):
    """Sums over all customers of the program, in points."""

    members: int
    orders: int
    pending: int
    available: int
    debt: int
    lifetime_earned: int
    lifetime_redeemed: int


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/points…`."""
    router = APIRouter(prefix="/frontend/points", tags=["points"])
    points = PointsServiceStub(environment.channel("points"))

    @router.get("", summary="A customer's points")
    async def balance(customer_id: Annotated[CustomerId, Query()]) -> PointsView:
        return _balance(await points.GetPointsBalance(pb.GetPointsBalanceRequest(customer_id=int(customer_id))))

    @router.get("/history", summary="A customer's ledger, newest first")
    async def history(
        customer_id: Annotated[CustomerId, Query()], page_size: PageSize = 50, page_token: PageToken = ""
    ) -> HistoryView:
        page = await points.ListTransactions(
            pb.ListTransactionsRequest(customer_id=int(customer_id), page_size=page_size, page_token=page_token)
        )
        return HistoryView(
            transactions=[_transaction(each) for each in page.transactions], next_page_token=page.next_page_token
        )

    @router.get("/totals", summary="The program's points in sum")
    async def totals() -> TotalsView:
        found = await points.GetProgramTotals(pb.GetProgramTotalsRequest())
        return TotalsView(**{name: getattr(found, name) for name in TotalsView.model_fields})

    @router.get("/rewards", summary="What points can be redeemed for")
    async def rewards() -> RewardsView:
        found = await points.ListRewards(pb.ListRewardsRequest())
        return RewardsView(
            rewards=[
                RewardView(**{name: getattr(each, name) for name in RewardView.model_fields}) for each in found.rewards
            ]
        )

    @router.post("/redeem", summary="Spend points on a reward")
    async def redeem(body: RedeemBody, idempotency_key: IdempotencyKey) -> RedemptionView:
        request = pb.RedeemPointsRequest(
            customer_id=int(body.customer_id), reward=body.reward, idempotency_key=idempotency_key
        )
        return _redemption(await points.RedeemPoints(request))

    @router.get("/redemptions", summary="Redemptions, newest first")
    async def redemptions(
        customer_id: Annotated[CustomerId | None, Query()] = None, page_size: PageSize = 50, page_token: PageToken = ""
    ) -> RedemptionsView:
        page = await points.ListRedemptions(
            pb.ListRedemptionsRequest(customer_id=int(customer_id or 0), page_size=page_size, page_token=page_token)
        )
        return RedemptionsView(
            redemptions=[_redemption(each) for each in page.redemptions], next_page_token=page.next_page_token
        )

    @router.get("/redemptions/{redemption_id}", summary="One redemption")
    async def redemption(redemption_id: ShortText) -> RedemptionView:
        return _redemption(await points.GetRedemption(pb.GetRedemptionRequest(redemption_id=redemption_id)))

    @router.post("/redemptions/{redemption_id}/cancel", summary="Give a redemption's points back")
    async def cancel(redemption_id: ShortText, body: CancelBody) -> RedemptionView:
        return _redemption(
            await points.CancelRedemption(pb.CancelRedemptionRequest(redemption_id=redemption_id, reason=body.reason))
        )

    @router.post("/adjust", summary="Grant or deduct points, with a reason")
    async def adjust(body: AdjustBody, idempotency_key: IdempotencyKey) -> AdjustmentView:
        done = await points.AdjustPoints(
            pb.AdjustPointsRequest(
                customer_id=int(body.customer_id),
                points=body.points,
                reason=body.reason,
                idempotency_key=idempotency_key,
            )
        )
        return AdjustmentView(transaction=_transaction(done.transaction), balance=_balance(done.balance))

    return router


def _balance(found: pb.PointsBalance) -> PointsView:
    return PointsView(
        customer_id=str(found.customer_id),
        available=found.available,
        pending=found.pending,
        held=found.held,
        debt=found.debt,
        lifetime_earned=found.lifetime_earned,
        lifetime_redeemed=found.lifetime_redeemed,
        expiring=[Expiring(points=each.points, expires_at=each.expires_at) for each in found.expiring],
    )


def _transaction(found: pb.Transaction) -> TransactionView:
    return TransactionView(
        transaction_id=found.transaction_id,
        kind=found.kind,
        points=found.points,
        source=found.source,
        order_id=str(found.order_id) if found.order_id else None,
        rule=found.rule,
        settings_version=found.settings_version,
        actor=found.actor,
        note=found.note,
        created_at=found.created_at,
        entries=[EntryView(account=entry.account, amount=entry.amount) for entry in found.entries],
    )


def _redemption(found: pb.Redemption) -> RedemptionView:
    values = {name: getattr(found, name) for name in RedemptionView.model_fields if name != "customer_id"}
    return RedemptionView(customer_id=str(found.customer_id), **values)
