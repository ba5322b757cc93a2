"""`GET /frontend/reconciliation`: how far the shop's orders have been compared with Shopify's own."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from loyalnest.api_gateway import reconciliation_repository as repository
from loyalnest.kit.context import required_merchant
from loyalnest.kit.database import Database


class ReconciliationView(BaseModel):
    """Webhooks are not guaranteed to arrive: changed orders are read from Shopify as well, some minutes later."""

    compared_until: datetime | None = Field(description="Changes up to then were compared; null before the first.")
    orders: int = Field(description="Orders compared so far.")
    recovered: int = Field(description="Orders of which no webhook had told, and that were taken in.")
    problem: str = Field(description="Why the last try failed; empty if it did not.")
    problem_at: datetime | None
    done_at: datetime | None = Field(description="When it was up to date last.")


def routes(database: Database) -> APIRouter:
    """The router of `/frontend/reconciliation`."""
    router = APIRouter(prefix="/frontend/reconciliation", tags=["orders"])

    @router.get("", summary="How far the shop's orders are compared with Shopify's own")
    async def reconciliation() -> ReconciliationView:
        merchant_id = required_merchant()
        async with database.request(merchant_id) as connection:
            found = await repository.load(connection, merchant_id)
        if found is None:
            return ReconciliationView(
                compared_until=None, orders=0, recovered=0, problem="", problem_at=None, done_at=None
            )
        return ReconciliationView(
            compared_until=found.since,
            orders=found.orders,
            recovered=found.recovered,
            problem=found.problem,
            problem_at=found.problem_at,
            done_at=found.done_at,
        )

    return router
