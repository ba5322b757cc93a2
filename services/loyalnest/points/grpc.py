"""The gRPC side of points: messages in and out, no decisions."""

from typing import Any

from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.rpc.fields import customer_id_of, decimal_text, time_text, uuid_of
from loyalnest.points import points_pb2 as pb
from loyalnest.points.points_pb2_grpc import PointsServiceServicer
from loyalnest.points.redemption_repository import Redemption
from loyalnest.points.redemptions import Redemptions
from loyalnest.points.rows import bonuses_of
from loyalnest.points.service import Balance, PointsService


class PointsGrpc(PointsServiceServicer):
    """Serves `points.v1.PointsService` for the merchant of the call's context."""

    def __init__(self, service: PointsService, redemptions: Redemptions) -> None:
        self._service = service
        self._redemptions = redemptions

    async def GetPointsBalance(self, request: pb.GetPointsBalanceRequest, context: Any) -> pb.PointsBalance:
        customer_id = customer_id_of(request.customer_id)
        return _balance(await self._service.balance(required_merchant(), customer_id))

    async def ListTransactions(self, request: pb.ListTransactionsRequest, context: Any) -> pb.ListTransactionsResponse:
        rows, token = await self._service.history(
            required_merchant(), customer_id_of(request.customer_id), request.page_size, request.page_token
        )
        return pb.ListTransactionsResponse(transactions=[_transaction(row) for row in rows], next_page_token=token)

    async def GetOrderAward(self, request: pb.GetOrderAwardRequest, context: Any) -> pb.OrderAward:
        return _award(await self._service.award(required_merchant(), request.order_id))

    async def ListOrderAwards(self, request: pb.ListOrderAwardsRequest, context: Any) -> pb.ListOrderAwardsResponse:
        rows = await self._service.awards(required_merchant(), request.order_ids)
        return pb.ListOrderAwardsResponse(awards=[_award(row) for row in rows])

    async def AdjustPoints(self, request: pb.AdjustPointsRequest, context: Any) -> pb.AdjustPointsResponse:
        require_role("owner", "staff")
        merchant_id, customer_id = required_merchant(), customer_id_of(request.customer_id)
        row = await self._service.adjust(
            merchant_id, customer_id, request.points, request.reason, request.idempotency_key
        )
        balance = await self._service.balance(merchant_id, customer_id)
        return pb.AdjustPointsResponse(transaction=_transaction(row), balance=_balance(balance))

    async def ListRewards(self, request: pb.ListRewardsRequest, context: Any) -> pb.ListRewardsResponse:
        rules = await self._service.rules(required_merchant())
        return pb.ListRewardsResponse(
            rewards=[
                pb.Reward(
                    name=reward.name,
                    points=reward.points,
                    discount_amount=decimal_text(reward.discount.amount),
                    discount_percentage=decimal_text(reward.discount.percentage),
                    currency=rules.currency,
                )
                for reward in rules.redemption.rewards
            ]
        )

    async def RedeemPoints(self, request: pb.RedeemPointsRequest, context: Any) -> pb.Redemption:
        return _redemption(
            await self._redemptions.redeem(
                required_merchant(), customer_id_of(request.customer_id), request.reward, request.idempotency_key
            )
        )

    async def GetRedemption(self, request: pb.GetRedemptionRequest, context: Any) -> pb.Redemption:
        return _redemption(
            await self._redemptions.get(required_merchant(), uuid_of(request.redemption_id, "redemption"))
        )

    async def ListRedemptions(self, request: pb.ListRedemptionsRequest, context: Any) -> pb.ListRedemptionsResponse:
        rows, token = await self._redemptions.list_for(
            required_merchant(), request.customer_id, request.page_size, request.page_token
        )
        return pb.ListRedemptionsResponse(redemptions=[_redemption(row) for row in rows], next_page_token=token)

    async def CancelRedemption(self, request: pb.CancelRedemptionRequest, context: Any) -> pb.Redemption:
        require_role("owner", "staff")
        return _redemption(
            await self._redemptions.cancel(
                required_merchant(), uuid_of(request.redemption_id, "redemption"), request.reason
            )
        )

    async def GetProgramTotals(self, request: pb.GetProgramTotalsRequest, context: Any) -> pb.ProgramTotals:
        totals = await self._service.totals(required_merchant())
        return pb.ProgramTotals(
            members=totals.members,
            pending=totals.pending,
            available=totals.available,
            debt=totals.debt,
            lifetime_earned=totals.lifetime_earned,
            lifetime_redeemed=totals.lifetime_redeemed,
            orders=totals.orders,
        )

    async def ListCampaignSpending(
        self, request: pb.ListCampaignSpendingRequest, context: Any
    ) -> pb.ListCampaignSpendingResponse:
        found = await self._service.campaign_spending(
            required_merchant(), [uuid_of(each, "campaign") for each in request.campaign_ids]
        )
        return pb.ListCampaignSpendingResponse(
            spending=[
                pb.CampaignSpending(campaign_id=str(campaign_id), spent_points=points)
                for campaign_id, points in found.items()
            ]
        )

    async def VerifyLedger(self, request: pb.VerifyLedgerRequest, context: Any) -> pb.VerifyLedgerResponse:
        transactions, members, problems = await self._service.verify(required_merchant())
        return pb.VerifyLedgerResponse(
            transactions=transactions,
            members=members,
            problems=[
                pb.LedgerProblem(check=check, subject=subject, detail=detail) for check, subject, detail in problems
            ],
        )


def _balance(balance: Balance) -> pb.PointsBalance:
    return pb.PointsBalance(
        customer_id=balance.customer_id,
        available=balance.available,
        pending=balance.pending,
        held=balance.held,
        debt=balance.debt,
        lifetime_earned=balance.lifetime_earned,
        lifetime_redeemed=balance.lifetime_redeemed,
        expiring=[pb.ExpiringPoints(points=points, expires_at=time_text(at)) for points, at in balance.expiring],
    )


def _award(row: Any) -> pb.OrderAward:
    return pb.OrderAward(
        order_id=row["order_id"],
        customer_id=row["customer_id"] or 0,
        base=decimal_text(row["base"]),
        refunded_base=decimal_text(row["refunded_base"]),
        cancelled=row["cancelled"],
        rule=row["rule"],
        points_per_unit=decimal_text(row["points_per_unit"]),
        multiplier=decimal_text(row["multiplier"]),
        settings_version=row["settings_version"],
        awarded=row["awarded"],
        clawed_back=row["clawed_back"],
        awarded_at=time_text(row["awarded_at"]),
        bonuses=[
            pb.OrderBonus(campaign_id=str(each.campaign_id), points=each.points, clawed_back=each.clawed_back)
            for each in bonuses_of(row["bonuses"])
        ],
        refund_ids=row["refund_ids"],
    )


def _transaction(row: Any) -> pb.Transaction:
    entries = zip(row.get("accounts") or (), row.get("amounts") or (), strict=True)
    return pb.Transaction(
        transaction_id=str(row["transaction_id"]),
        kind=row["kind"],
        points=row["points"],
        source=row["source"],
        order_id=row["order_id"] or 0,
        rule=row["rule"],
        settings_version=row["settings_version"],
        actor=row["actor"],
        note=row["note"],
        created_at=time_text(row["created_at"]),
        entries=[pb.LedgerEntry(account=account, amount=amount) for account, amount in entries],
    )


def _redemption(redemption: Redemption) -> pb.Redemption:
    return pb.Redemption(
        redemption_id=str(redemption.redemption_id),
        customer_id=redemption.customer_id,
        reward=redemption.reward,
        points=redemption.points,
        status=redemption.status,
        code=redemption.code if redemption.status in {"issued", "cancelled"} else "",
        issued_by=redemption.issued_by,
        discount_amount=redemption.discount.amount,
        discount_percentage=redemption.discount.percentage,
        currency=redemption.discount.currency,
        reason=redemption.reason,
        created_at=time_text(redemption.created_at),
    )
