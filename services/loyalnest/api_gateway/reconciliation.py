"""Finds the orders that no webhook brought: Shopify promises no delivery, and expects this of an app.

A merchant's changed orders are paged through window by window. Each page is compared with what points knows; an order
that differs is fetched whole and published as a delivery would be. The place is noted after the page was published, so
a kill repeats a page, whose events have the same ids as before.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from loyalnest.api_gateway import reconciliation_repository as repository
from loyalnest.api_gateway.deliveries import Deliveries
from loyalnest.api_gateway.events import Topic
from loyalnest.api_gateway.metrics import RECONCILED, RECONCILED_UP_TO
from loyalnest.api_gateway.reconciliation_repository import Progress
from loyalnest.api_gateway.shop_orders import ChangedOrder, changed_orders, whole_order
from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.bus import EventBus
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import as_merchant
from loyalnest.kit.database import OUTAGES, Database
from loyalnest.kit.errors import InvalidInput, LoyalNestError
from loyalnest.kit.events import Event
from loyalnest.kit.shopify.connections import ShopConnections
from loyalnest.kit.shopify.graphql import GraphQL
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub

log = structlog.get_logger(__name__)

GRACE: Final = timedelta(minutes=15)
"""What changed within it is left for the next window: its webhook may still be on the way, or be tried again."""
FIRST: Final = timedelta(days=2)
"""How far back a merchant's first window goes: longer than Shopify tries to deliver (4 hours)."""
LONGEST: Final = timedelta(days=1)
"""Most that one window spans, so that a cursor of Shopify's is not kept for long."""
AT_ONCE: Final = 4
"""Merchants whose orders are paged through at one time."""
_PAGE: Final = 200
_EXPECTED: Final[tuple[type[Exception], ...]] = (LoyalNestError, *OUTAGES)


class Reconciliation:
    """The job of all merchants that are connected to their shops."""

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        deliveries: Deliveries,
        shops: ShopConnections,
        auth: AuthServiceStub,
        points: PointsServiceStub,
        clock: Clock,
    ) -> None:
        self._database = database
        self._bus = bus
        self._deliveries = deliveries
        self._shops = shops
        self._auth = auth
        self._points = points
        self._clock = clock

    async def run(self) -> int:
        """Compare what changed at every merchant's shop. Returns how many orders were recovered."""
        recovered = 0
        room = asyncio.Semaphore(AT_ONCE)

        async def one(merchant_id: str) -> int:
            async with room:
                return await self._merchant(merchant_id)

        token = ""
        while True:
            page = await self._auth.ListMerchants(auth_pb2.ListMerchantsRequest(page_size=_PAGE, page_token=token))
            # A closed merchant is moving: what its shop changes meanwhile is looked for in the new place.
            asked = [each for each in page.merchants if each.status == "active" and each.connected and not each.closed]
            recovered += sum(await asyncio.gather(*(one(each.merchant_id) for each in asked)))
            token = page.next_page_token
            if not token:
                return recovered

    async def observe(self) -> None:
        """Set the gauge of how far the merchant that is furthest behind is."""
        async with self._database.worker() as connection:
            oldest = await repository.oldest(connection)
        RECONCILED_UP_TO.set(oldest.timestamp() if oldest is not None else 0)

    async def progress(self, merchant_id: str) -> Progress | None:
        """How far a merchant's is; None before the first."""
        async with self._database.request(merchant_id) as connection:
            return await repository.load(connection, merchant_id)

    async def _merchant(self, merchant_id: str) -> int:
        """Go on with one merchant until now. What stands in the way is noted, and tried again later."""
        now = self._clock()
        progress = await self.progress(merchant_id) or Progress(now - FIRST, None, "", 0, 0, "", None, None)
        before = progress.recovered
        try:
            shop = await self._shops.graphql(merchant_id)
            while shop is not None and (window := next_window(progress, now)) is not None:
                progress = await self._page(merchant_id, shop, window)
                await self._store(merchant_id, progress)
        except Exception as error:  # whatever ails one merchant's shop must not stop the rest
            words = error.detail if isinstance(error, LoyalNestError) else type(error).__name__
            if isinstance(error, _EXPECTED):
                log.warning("reconciliation.failed", merchant_id=merchant_id, error=words)
            else:
                log.exception("reconciliation.failed", merchant_id=merchant_id)
            await self._store(merchant_id, replace(progress, problem=words[:500], problem_at=self._clock()))
        return progress.recovered - before

    async def _store(self, merchant_id: str, progress: Progress) -> None:
        async with self._database.request(merchant_id) as connection:
            await repository.store(connection, merchant_id, progress)

    async def _page(self, merchant_id: str, shop: GraphQL, progress: Progress) -> Progress:
        """Compare and publish one page. Returns the place after it."""
        assert progress.until is not None
        orders, after = await changed_orders(shop, progress.since, progress.until, progress.page)
        missed = await self._missed(merchant_id, orders)
        events = [event for order in missed if (event := await self._event(merchant_id, shop, order)) is not None]
        if events:
            await self._bus.publish(events)
        RECONCILED.labels("recovered").inc(len(events))
        RECONCILED.labels("known").inc(len(orders) - len(events))
        counted = replace(
            progress,
            page=after,
            orders=progress.orders + len(orders),
            recovered=progress.recovered + len(events),
            problem="",
            problem_at=None,
        )
        return counted if after else replace(counted, since=progress.until, until=None, done_at=self._clock())

    async def _missed(self, merchant_id: str, orders: Iterable[ChangedOrder]) -> list[ChangedOrder]:
        told = [order for order in orders if order.has_customer]
        if not told:
            return []
        with as_merchant(merchant_id):
            request = points_pb2.ListOrderAwardsRequest(order_ids=[order.order_id for order in told])
            known = {award.order_id: award for award in (await self._points.ListOrderAwards(request)).awards}
        return [order for order in told if differs(order, known)]

    async def _event(self, merchant_id: str, shop: GraphQL, order: ChangedOrder) -> Event | None:
        """The event of a delivery that tells the whole order. One that cannot be understood is logged and left."""
        body = await whole_order(shop, order.node_id)
        if body is None:
            return None
        delivery_id = f"reconciliation:{order.order_id}:{order.updated_at}"
        try:
            return await self._deliveries.event(merchant_id, Topic.ORDERS_UPDATED, body, delivery_id, None)
        except InvalidInput as error:
            log.warning("reconciliation.unreadable", merchant_id=merchant_id, order=order.order_id, error=error.detail)
            RECONCILED.labels("unreadable").inc()
            return None


def next_window(progress: Progress, now: datetime) -> Progress | None:
    """The window under way, or the next one; None if there is nothing to compare yet."""
    if progress.until is not None:
        return progress
    until = min(now - GRACE, progress.since + LONGEST)
    return replace(progress, until=until, page="") if until > progress.since else None


def differs(order: ChangedOrder, known: Mapping[int, Any]) -> bool:
    """Whether an order at Shopify says something that points does not know: `known` are its awards, by order."""
    award = known.get(order.order_id)
    if award is None:
        return order.paid
    if order.paid and not order.cancelled and not award.awarded_at:
        return True
    return (order.cancelled and not award.cancelled) or not order.refunds <= set(award.refund_ids)
