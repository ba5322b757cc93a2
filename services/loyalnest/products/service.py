"""What products does on request."""

from loyalnest.admin_core.events import AuditLog
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.database import Database
from loyalnest.kit.errors import NotFound
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import number_after, page_limit, page_of
from loyalnest.products import repository
from loyalnest.products.models import Kept
from loyalnest.products.query import Query
from loyalnest.products.search import Found, search


class ProductsService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def search(self, merchant_id: str, query: Query) -> Found:
        """Products that are searched for."""
        async with self._database.request(merchant_id) as connection:
            return await search(connection, merchant_id, query)

    async def product(self, merchant_id: str, product_id: int, *, visible: bool = False) -> Kept:
        """One product. Raises NotFound for one that is unknown or deleted, or not visible if it must be."""
        async with self._database.request(merchant_id) as connection:
            found = await repository.product(connection, merchant_id, product_id)
        return _known(product_id, found if found is None or found.visible or not visible else None)

    async def listed(self, merchant_id: str, page_size: int, page_token: str) -> tuple[list[Kept], str]:
        """A page of products by ascending id, and the token of the next page (empty at the end)."""
        limit, after = page_limit(page_size), number_after(page_token)
        async with self._database.request(merchant_id) as connection:
            rows = await repository.products(connection, merchant_id, after, limit + 1)
        return page_of(rows, limit, lambda row: row.told.facts.product_id)

    async def exclude(self, merchant_id: str, product_id: int, *, excluded: bool) -> Kept:
        """Hide a product from shoppers, or show it again. Raises NotFound for one that is unknown or deleted."""
        key = (merchant_id, product_id)
        async with self._database.request(merchant_id) as connection:
            await repository.lock_catalogues(connection, [merchant_id])
            before = await repository.indexed(connection, [key])
            known = _known(product_id, before[key].kept if key in before else None)
            if known.excluded == excluded:
                return known
            after = Kept(known.told, excluded)
            await repository.write(connection, before, {key: after})
            context = current()
            audit = AuditLog(
                actor=context.actor,
                role=context.role,
                action="product.hidden" if excluded else "product.shown",
                subject=f"product:{product_id}",
                before={"excluded": str(known.excluded).lower()},
                after={"excluded": str(excluded).lower()},
                at=self._clock(),
            )
            await self._outbox.append(connection, [audit.event(merchant_id, f"product:{product_id}")])
        return after


def _known(product_id: int, found: Kept | None) -> Kept:
    if found is None or found.told.facts.deleted:
        raise NotFound(f"No product {product_id} is known.")
    return found
