"""rfm's routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import CustomerId, PageSize, PageToken, ShortText
from loyalnest.rfm import rfm_pb2 as pb
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub

REFRESH_TIMEOUT = 120.0


class SegmentView(BaseModel):
    segment: str
    customers: int
    revenue: str = Field(description="Sum of the customers' counted orders, less refunds, in the shop's currency.")


class CellView(BaseModel):
    recency: int
    frequency: int
    segment: str
    customers: int
    revenue: str


class SegmentsView(BaseModel):
    """Customers by segment and by cell of recency and frequency. Times are empty where there is none."""

    segments: list[SegmentView]
    grid: list[CellView]
    customers: int
    revenue: str
    refreshed_at: str
    next_run_at: str


class ScoresView(BaseModel):
    """A customer's scores, 1 to 5; 0 and no segment without a counted order."""

    customer_id: str
    recency: int
    frequency: int
    monetary: int
    segment: str
    orders: int
    revenue: str
    last_order_at: str
    as_of: str = Field(description="When the scores last changed.")


class CustomersView(BaseModel):
    customers: list[ScoresView]
    next_page_token: str


class DayView(BaseModel):
    day: str
    segments: list[SegmentView]


class HistoryView(BaseModel):
    """Counts on each day that had a refresh, from `first` to `last` in the merchant's timezone."""

    first: str
    last: str
    history: list[DayView]


class MovementView(BaseModel):
    from_segment: str = Field(description="Empty for customers who had no counted order.")
    to_segment: str = Field(description="Empty for customers who have no counted order any more.")
    times: int


class MovementsView(BaseModel):
    """How often customers went from one segment to another, from `first` to `last` in the merchant's timezone."""

    first: str
    last: str
    movements: list[MovementView]


class RefreshView(BaseModel):
    customers: int
    changed: int = Field(description="Customers whose scores or segment changed.")
    seconds: float
    as_of: str


Day = Annotated[
    str,
    Query(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", description="A day such as 2026-11-30, included."),
]


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/segments…`."""
    router = APIRouter(prefix="/frontend/segments", tags=["segments"])
    rfm = RfmServiceStub(environment.channel("rfm"))

    @router.get("", summary="Customers by segment, and when scores were and will be refreshed")
    async def segments() -> SegmentsView:
        found = await rfm.GetSegmentCounts(pb.GetSegmentCountsRequest())
        return SegmentsView(
            segments=[_segment(each) for each in found.segments],
            grid=[CellView(**{name: getattr(each, name) for name in CellView.model_fields}) for each in found.grid],
            customers=found.customers,
            revenue=found.revenue,
            refreshed_at=found.refreshed_at,
            next_run_at=found.next_run_at,
        )

    @router.get("/history", summary="The segments' sizes by day")
    async def history(first: Day = "", last: Day = "") -> HistoryView:
        found = await rfm.ListSegmentHistory(pb.DayRange(first=first, last=last))
        return HistoryView(
            first=found.days.first,
            last=found.days.last,
            history=[
                DayView(day=each.day, segments=[_segment(one) for one in each.segments]) for each in found.history
            ],
        )

    @router.get("/movements", summary="Movements of customers between segments")
    async def movements(first: Day = "", last: Day = "") -> MovementsView:
        found = await rfm.ListMovements(pb.DayRange(first=first, last=last))
        return MovementsView(
            first=found.days.first,
            last=found.days.last,
            movements=[
                MovementView(from_segment=each.from_segment, to_segment=each.to_segment, times=each.times)
                for each in found.movements
            ],
        )

    @router.post("/refresh", summary="Score every customer anew, now")
    async def refresh() -> RefreshView:
        done = await rfm.RefreshSegments(pb.RefreshSegmentsRequest(), timeout=REFRESH_TIMEOUT)
        return RefreshView(customers=done.customers, changed=done.changed, seconds=done.seconds, as_of=done.as_of)

    @router.get("/customers/{customer_id}", summary="A customer's scores")
    async def scores(customer_id: Annotated[CustomerId, Path()]) -> ScoresView:
        return _scores(await rfm.GetCustomerScores(pb.GetCustomerScoresRequest(customer_id=int(customer_id))))

    @router.get("/{segment}/customers", summary="A segment's customers, by id")
    async def customers(segment: ShortText, page_size: PageSize = 50, page_token: PageToken = "") -> CustomersView:
        page = await rfm.ListSegmentCustomers(
            pb.ListSegmentCustomersRequest(segment=segment, page_size=page_size, page_token=page_token)
        )
        return CustomersView(customers=[_scores(each) for each in page.customers], next_page_token=page.next_page_token)

    return router


def _segment(found: pb.SegmentCount) -> SegmentView:
    return SegmentView(segment=found.segment, customers=found.customers, revenue=found.revenue)


def _scores(found: pb.CustomerScores) -> ScoresView:
    values = {name: getattr(found, name) for name in ScoresView.model_fields if name != "customer_id"}
    return ScoresView(customer_id=str(found.customer_id), **values)
