"""Products on a real database, and deliveries as the gateway makes them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import ProductFacts, WebhookReceived
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rpc import MethodTable
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.products import products_pb2 as pb
from loyalnest.products.consumers import DeliveryBatches
from loyalnest.products.grpc import ProductsGrpc
from loyalnest.products.imports import ProductImports
from loyalnest.products.jobs import Pruning
from loyalnest.products.privacy_repository import ProductsKept
from loyalnest.products.products_pb2_grpc import ProductsServiceStub, add_ProductsServiceServicer_to_server
from loyalnest.products.service import ProductsService

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEEP_DAYS = 30


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def facts(product_id: int, title: str = "", minutes: float = 0, **changes: Any) -> ProductFacts:
    """A product that shoppers may see, told `minutes` after T0."""
    told: dict[str, Any] = {
        "product_id": product_id,
        "title": title or f"Product {product_id}",
        "handle": f"product-{product_id}",
        "vendor": "Acme",
        "status": "active",
        "published": True,
        "lowest_price": Decimal("10.00"),
        "highest_price": Decimal("10.00"),
        "inventory": 3,
        "created_at": T0 + timedelta(seconds=product_id % 86_400),
        "updated_at": at(minutes),
    }
    return ProductFacts(**told | changes)


def told(product: ProductFacts, merchant: str = "a", sent: float | None = None, name: str = "") -> Event:
    """A delivery of a product, which Shopify sent `sent` minutes after T0 (when it was updated, if not given)."""
    moment = at(sent) if sent is not None else product.updated_at or T0
    topic = "products/delete" if product.deleted else "products/update"
    payload = WebhookReceived(
        delivery_id=name or f"{product.product_id}-{moment.isoformat()}-{product.deleted}",
        shopify_topic=topic,
        triggered_at=moment,
        product=product,
    )
    return payload.event(merchant, f"product:{product.product_id}")


def deleted(product_id: int, minutes: float, merchant: str = "a") -> Event:
    return told(ProductFacts(product_id=product_id, deleted=True), merchant, sent=minutes)


class Products:
    """The service's parts, and what tests ask of them."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.now = at(100_000)
        store = KeyStore()
        self.keys = KeyRing(store, store.keks)
        self.database, self.outbox = Database(pool, "products"), Outbox("products")
        self.deliveries = DeliveryBatches(self.database)
        self.pruning = Pruning(self.database, self.clock, KEEP_DAYS)
        self.privacy = self.privacy_on(self.database)
        table = MethodTable()
        servicer = ProductsGrpc(
            ProductsService(self.database, self.outbox, self.clock),
            ProductImports(self.database, self.outbox, self.clock),
        )
        add_ProductsServiceServicer_to_server(servicer, table)  # type: ignore[arg-type]
        self.channel = ClientChannel(LocalChannel(table), "products")
        self.stub: Any = ProductsServiceStub(self.channel)  # type: ignore[arg-type]

    def clock(self) -> datetime:
        return self.now

    def privacy_on(self, database: Database) -> PrivacyRequests:
        return PrivacyRequests(database, self.outbox, self.keys, self.clock, ProductsKept(), GdprRequestCreated.read)

    async def tell(self, *products: ProductFacts, merchant: str = "a") -> None:
        """Deliver products in one batch."""
        await self.deliveries.handle([told(each, merchant) for each in products])

    async def call(self, method: str, request: Any, merchant: str = "a", role: str = "owner") -> Any:
        """Call a method as an admin of `merchant`."""
        with as_merchant(merchant, actor="admin-1", role=role):
            return await getattr(self.stub, method)(request)

    async def search(
        self, query: str = "", merchant: str = "a", role: str = "shopper", **more: Any
    ) -> pb.SearchProductsResponse:
        request = pb.SearchProductsRequest(query=query, **more)
        found: pb.SearchProductsResponse = await self.call("SearchProducts", request, merchant, role)
        return found

    async def ids(self, query: str = "", merchant: str = "a", role: str = "shopper", **more: Any) -> list[int]:
        """The ids of what a search finds, in its order."""
        return [each.product_id for each in (await self.search(query, merchant, role, **more)).products]

    async def published(self, topic: str = "") -> list[Event]:
        """What waits in the outbox, of one topic or of all."""
        rows = await self.sql(
            "SELECT event_id AS id, topic, merchant_id, key, payload, occurred_at FROM products.outbox ORDER BY id"
        )
        return [Event(**row) for row in rows if topic in ("", row["topic"])]

    async def confirmed(self) -> list[GdprRequestConfirmed]:
        return [GdprRequestConfirmed.read(each) for each in await self.published(GdprRequestConfirmed.topic)]

    async def sql(self, statement: str, *values: Any) -> Sequence[asyncpg.Record]:
        """Rows of any merchant."""
        async with self.database.worker() as connection:
            rows: Sequence[asyncpg.Record] = await connection.fetch(statement, *values)
            return rows

    async def state(self, merchant: str = "a") -> dict[str, list[tuple[Any, ...]]]:
        """What is kept of a merchant, but for the ids of its terms, which depend on the order of arrival."""
        statements = {
            "products": "SELECT * FROM products.products p WHERE p.merchant_id = $1 ORDER BY p.product_id",
            "catalogue": "SELECT products, visible FROM products.catalogues c WHERE c.merchant_id = $1",
            "terms": """
                SELECT t.kind, t.term, t.products, t.visible FROM products.terms t
                WHERE t.merchant_id = $1 AND t.products > 0 ORDER BY t.kind, t.term
            """,
            "search": """
                SELECT s.product_id, s.visible, s.available, s.status, s.lowest_price, s.title, s.created_at,
                       cardinality(s.terms) FROM products.search s WHERE s.merchant_id = $1 ORDER BY s.product_id
            """,
            "found": """
                SELECT s.product_id, t.kind, t.term, -t.term_id = ANY(s.terms), t.term_id = ANY(s.title_terms),
                       t.term_id = ANY(s.facet_terms)
                FROM products.search s JOIN products.terms t
                ON t.merchant_id = s.merchant_id AND t.term_id = ANY(s.terms)
                WHERE s.merchant_id = $1 ORDER BY s.product_id, t.kind, t.term
            """,
        }
        return {name: [tuple(row) for row in await self.sql(each, merchant)] for name, each in statements.items()}
