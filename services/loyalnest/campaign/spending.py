"""Asks points what bonus campaigns have given."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from loyalnest.points import points_pb2 as pb
from loyalnest.points.points_pb2_grpc import PointsServiceStub


class PointsSpending:
    """A `campaigns.Spending` by gRPC."""

    def __init__(self, points: PointsServiceStub) -> None:
        self._points = points

    async def spent(self, campaign_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Points that stand of each campaign. Raises one of OUTAGES while points cannot be reached."""
        found = await self._points.ListCampaignSpending(
            pb.ListCampaignSpendingRequest(campaign_ids=[str(each) for each in campaign_ids])
        )
        return {UUID(each.campaign_id): each.spent_points for each in found.spending}
