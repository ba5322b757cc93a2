"""Events of others that products acts on: Shopify's deliveries of products."""

from collections.abc import Sequence

from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.products import repository
from loyalnest.products.models import Told


class DeliveryBatches:
    """The consumer of `webhook.received`: products are kept as Shopify tells of them, in any order of arrival."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply `events` in one transaction; those applied before, and those of no product, do nothing."""
        told = {
            (event.merchant_id, event.id): each for event in events for each in [told_by(event)] if each is not None
        }
        if not told:
            return
        async with self._database.worker() as connection:
            new = await take_new(connection, "products", [e for e in events if (e.merchant_id, e.id) in told])
            await repository.apply(connection, [told[event.merchant_id, event.id] for event in new])


def told_by(event: Event) -> Told | None:
    """What a delivery tells of a product, if it does.

    A deletion has no time but that at which Shopify sent it; neither has a body without `updated_at`.
    """
    delivery = WebhookReceived.read(event)
    if delivery.product is None:
        return None
    sent = delivery.triggered_at or event.occurred_at
    return Told(event.merchant_id, delivery.product, delivery.product.updated_at or sent, sent)
