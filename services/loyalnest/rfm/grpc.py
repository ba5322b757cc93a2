"""The gRPC side of rfm: messages in and out, no decisions."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby
from typing import Any

from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.rpc.fields import customer_id_of, decimal_text, time_text
from loyalnest.rfm import rfm_pb2 as pb
from loyalnest.rfm.models import Cell, CustomerScores
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceServicer
from loyalnest.rfm.scoring import SEGMENTS, segment_of
from loyalnest.rfm.service import DayRange, RfmService


class RfmGrpc(RfmServiceServicer):
    """Serves `rfm.v1.RfmService` for the merchant of the call's context."""

    def __init__(self, service: RfmService) -> None:
        self._service = service

    async def GetSegmentCounts(self, request: pb.GetSegmentCountsRequest, context: Any) -> pb.SegmentCounts:
        cells, state = await self._service.segments(required_merchant())
        grid = _whole_grid(cells)
        return pb.SegmentCounts(
            segments=[
                _segment_count(segment, [cell for cell in grid if segment_of(cell.recency, cell.frequency) == segment])
                for segment in SEGMENTS
            ],
            grid=[
                pb.Cell(
                    recency=cell.recency,
                    frequency=cell.frequency,
                    segment=segment_of(cell.recency, cell.frequency),
                    customers=cell.customers,
                    revenue=decimal_text(cell.revenue),
                )
                for cell in grid
            ],
            customers=sum(cell.customers for cell in grid),
            revenue=decimal_text(sum((cell.revenue for cell in grid), Decimal(0))),
            refreshed_at=time_text(state.refreshed_at),
            next_run_at=time_text(state.next_run_at),
        )

    async def GetCustomerScores(self, request: pb.GetCustomerScoresRequest, context: Any) -> pb.CustomerScores:
        return _scores(await self._service.scores(required_merchant(), customer_id_of(request.customer_id)))

    async def ListSegmentCustomers(
        self, request: pb.ListSegmentCustomersRequest, context: Any
    ) -> pb.ListSegmentCustomersResponse:
        rows, token = await self._service.customers_of(
            required_merchant(), request.segment, request.page_size, request.page_token
        )
        return pb.ListSegmentCustomersResponse(customers=[_scores(row) for row in rows], next_page_token=token)

    async def ListSegmentHistory(self, request: pb.DayRange, context: Any) -> pb.ListSegmentHistoryResponse:
        days, rows = await self._service.history(required_merchant(), request.first, request.last)
        return pb.ListSegmentHistoryResponse(
            days=_days(days),
            history=[
                pb.DayCounts(
                    day=day.isoformat(),
                    segments=[
                        pb.SegmentCount(segment=row.segment, customers=row.customers, revenue=decimal_text(row.revenue))
                        for row in group
                    ],
                )
                for day, group in groupby(rows, key=lambda row: row.day)
            ],
        )

    async def ListMovements(self, request: pb.DayRange, context: Any) -> pb.ListMovementsResponse:
        days, rows = await self._service.movements(required_merchant(), request.first, request.last)
        return pb.ListMovementsResponse(
            days=_days(days),
            movements=[
                pb.Movement(from_segment=row.from_segment, to_segment=row.to_segment, times=row.times) for row in rows
            ],
        )

    async def RefreshSegments(self, request: pb.RefreshSegmentsRequest, context: Any) -> pb.RefreshSegmentsResponse:
        require_role("owner", "staff")
        done = await self._service.refresh(required_merchant())
        return pb.RefreshSegmentsResponse(
            customers=done.customers, changed=done.changed, seconds=done.seconds, as_of=time_text(done.as_of)
        )

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Any) -> pb.Schedule:
        state = await self._service.state(required_merchant())
        return pb.Schedule(
            cron=state.cron,
            timezone=state.timezone,
            settings_version=state.settings_version,
            next_run_at=time_text(state.next_run_at),
            refreshed_at=time_text(state.refreshed_at),
            population=state.population,
        )


def _whole_grid(cells: Iterable[Cell]) -> list[Cell]:
    """All 25 cells, those that were left out with zeros."""
    known = {(cell.recency, cell.frequency): cell for cell in cells}
    return [
        known.get((recency, frequency), Cell(recency, frequency, 0, Decimal(0)))
        for recency in range(1, 6)
        for frequency in range(1, 6)
    ]


def _segment_count(segment: str, cells: list[Cell]) -> pb.SegmentCount:
    return pb.SegmentCount(
        segment=segment,
        customers=sum(cell.customers for cell in cells),
        revenue=decimal_text(sum((cell.revenue for cell in cells), Decimal(0))),
    )


def _scores(scores: CustomerScores) -> pb.CustomerScores:
    return pb.CustomerScores(
        customer_id=scores.customer_id,
        recency=scores.recency,
        frequency=scores.frequency,
        monetary=scores.monetary_score,
        segment=scores.segment,
        orders=scores.orders,
        revenue=decimal_text(scores.monetary),
        last_order_at=time_text(scores.last_order_at),
        as_of=time_text(scores.as_of),
    )


def _days(days: DayRange) -> pb.DayRange:
    return pb.DayRange(first=days.first.isoformat(), last=days.last.isoformat())
