"""The gRPC side of gamification: messages in and out, no decisions but who may ask."""

from typing import Any

from loyalnest.gamification import gamification_pb2 as pb
from loyalnest.gamification.badge_repository import Listed
from loyalnest.gamification.definitions import Draft
from loyalnest.gamification.gamification_pb2_grpc import GamificationServiceServicer
from loyalnest.gamification.leaderboard import Leaderboard, Standing
from loyalnest.gamification.models import Progress
from loyalnest.gamification.service import BadgeService
from loyalnest.kit.context import current, require_role, required_merchant
from loyalnest.kit.errors import Forbidden
from loyalnest.kit.rpc.fields import customer_id_of, decimal_text, time_text


class GamificationGrpc(GamificationServiceServicer):
    """Serves `gamification.v1.GamificationService` for the merchant of the call's context."""

    def __init__(self, service: BadgeService, leaderboard: Leaderboard) -> None:
        self._service = service
        self._leaderboard = leaderboard

    async def ListBadges(self, request: pb.ListBadgesRequest, context: Any) -> pb.ListBadgesResponse:
        found = await self._service.badges(required_merchant())
        return pb.ListBadgesResponse(badges=[_badge(each) for each in found])

    async def GetBadge(self, request: pb.GetBadgeRequest, context: Any) -> pb.Badge:
        return _badge(await self._service.badge(required_merchant(), request.key))

    async def CreateBadge(self, request: pb.CreateBadgeRequest, context: Any) -> pb.Badge:
        require_role("owner", "staff")
        return _badge(await self._service.create(required_merchant(), _draft(request.badge)))

    async def UpdateBadge(self, request: pb.UpdateBadgeRequest, context: Any) -> pb.Badge:
        require_role("owner", "staff")
        return _badge(await self._service.update(required_merchant(), request.badge.version, _draft(request.badge)))

    async def DeleteBadge(self, request: pb.DeleteBadgeRequest, context: Any) -> pb.DeleteBadgeResponse:
        require_role("owner", "staff")
        await self._service.delete(required_merchant(), request.key)
        return pb.DeleteBadgeResponse()

    async def ListBadgeHolders(self, request: pb.ListBadgeHoldersRequest, context: Any) -> pb.ListBadgeHoldersResponse:
        require_role("owner", "staff", "support")
        rows, token = await self._service.holders(
            required_merchant(), request.key, request.page_size, request.page_token
        )
        return pb.ListBadgeHoldersResponse(
            holders=[
                pb.Holder(
                    customer_id=row.customer_id,
                    awarded_at=time_text(row.awarded_at),
                    by_hand=row.by_hand,
                    actor=row.actor,
                    reason=row.reason,
                )
                for row in rows
            ],
            next_page_token=token,
        )

    async def AwardBadge(self, request: pb.AwardBadgeRequest, context: Any) -> pb.CustomerBadges:
        return await self._decide(request, held=True)

    async def RevokeBadge(self, request: pb.RevokeBadgeRequest, context: Any) -> pb.CustomerBadges:
        return await self._decide(request, held=False)

    async def _decide(self, request: pb.AwardBadgeRequest | pb.RevokeBadgeRequest, *, held: bool) -> pb.CustomerBadges:
        require_role("owner", "staff")
        merchant_id, customer_id = required_merchant(), customer_id_of(request.customer_id)
        await self._service.decide(merchant_id, customer_id, request.key, held=held, reason=request.reason)
        return await self._customer_badges(merchant_id, customer_id)

    async def GetCustomerBadges(self, request: pb.GetCustomerBadgesRequest, context: Any) -> pb.CustomerBadges:
        customer_id = customer_id_of(request.customer_id)
        _only_themselves(customer_id)
        return await self._customer_badges(required_merchant(), customer_id)

    async def _customer_badges(self, merchant_id: str, customer_id: int) -> pb.CustomerBadges:
        found = await self._service.customer_badges(merchant_id, customer_id)
        return pb.CustomerBadges(customer_id=customer_id, badges=[_progress(each) for each in found])

    async def GetLeaderboard(self, request: pb.GetLeaderboardRequest, context: Any) -> pb.Leaderboard:
        customer_id = customer_id_of(request.customer_id) if request.customer_id else 0
        if customer_id:
            _only_themselves(customer_id)
        found = await self._leaderboard.board(required_merchant(), request.period, request.size, customer_id)
        return pb.Leaderboard(
            period=found.period,
            standings=[_standing(each) for each in found.top],
            own=_standing(found.own) if found.own else None,
            own_name=found.name,
        )

    async def JoinLeaderboard(self, request: pb.JoinLeaderboardRequest, context: Any) -> pb.JoinLeaderboardResponse:
        await self._leaderboard.join(required_merchant(), customer_id_of(request.customer_id), request.name)
        return pb.JoinLeaderboardResponse()

    async def LeaveLeaderboard(self, request: pb.LeaveLeaderboardRequest, context: Any) -> pb.LeaveLeaderboardResponse:
        customer_id = customer_id_of(request.customer_id)
        require_role("owner", "staff", "shopper")
        _only_themselves(customer_id)
        await self._leaderboard.leave(required_merchant(), customer_id)
        return pb.LeaveLeaderboardResponse()


def _only_themselves(customer_id: int) -> None:
    """Raises Forbidden for a shopper who asks for somebody else."""
    context = current()
    if context.role == "shopper" and context.actor != f"shopper:{customer_id}":
        raise Forbidden("Shoppers may ask for themselves only.")


def _draft(badge: pb.Badge) -> Draft:
    return Draft(
        key=badge.key,
        title=badge.title,
        description=badge.description,
        icon=badge.icon,
        kind=badge.rule.kind,
        target=badge.rule.target,
        product_type=badge.rule.product_type,
        product_ids=tuple(badge.rule.product_ids),
        enabled=badge.enabled,
        take_back_on_refund=badge.take_back_on_refund,
    )


def _badge(listed: Listed) -> pb.Badge:
    badge = listed.badge
    return pb.Badge(
        key=badge.key,
        title=badge.title,
        description=badge.description,
        icon=badge.icon,
        rule=pb.Rule(
            kind=badge.rule.kind,
            target=decimal_text(badge.rule.target),
            product_type=badge.rule.product_type,
            product_ids=badge.rule.product_ids,
        ),
        enabled=badge.enabled,
        take_back_on_refund=badge.take_back_on_refund,
        version=badge.version,
        holders=listed.holders,
        created_at=time_text(badge.created_at),
        updated_at=time_text(badge.updated_at),
    )


def _progress(found: Progress) -> pb.CustomerBadge:
    badge = found.badge
    return pb.CustomerBadge(
        key=badge.key,
        title=badge.title,
        description=badge.description,
        icon=badge.icon,
        kind=badge.rule.kind,
        held=found.held,
        awarded_at=time_text(found.awarded_at),
        current=decimal_text(found.current),
        target=decimal_text(badge.rule.target),
    )


def _standing(found: Standing) -> pb.Standing:
    place = found.place
    return pb.Standing(rank=place.rank, name=found.name, points=place.points, customer_id=place.customer_id)
