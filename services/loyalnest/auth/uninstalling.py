"""The app was taken out of a shop: nothing of ours opens it any more."""

from collections.abc import Sequence

from loyalnest.admin_core.events import AuditLog
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.auth import leaving_repository as repository
from loyalnest.auth.sessions import TokenValidator
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox

UNINSTALLED = "app/uninstalled"


class Uninstallations:
    """The consumer of `webhook.received`, of which it passes over everything else."""

    def __init__(self, database: Database, outbox: Outbox, validator: TokenValidator, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._validator = validator
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Forget the shops' access tokens and installations under way, and end their admins' sessions.

        A delivery that is older than the shop's installation is about an earlier one. A suspended merchant stays
        suspended, and is uninstalled once it is not any more.
        """
        said = [(event, WebhookReceived.read(event)) for event in events]
        leaving = {
            event.id: (event, each.triggered_at or event.occurred_at)
            for event, each in said
            if each.shopify_topic == UNINSTALLED
        }
        if not leaving:
            return
        async with self._database.worker() as connection:
            new = await take_new(connection, self._database.schema, [event for event, _ in leaving.values()])
            now = self._clock()
            latest = dict(sorted((event.merchant_id, leaving[event.id][1]) for event in new))
            left = await repository.uninstall(connection, latest, now)
            await repository.close(connection, left, now)
            told = [
                AuditLog(
                    actor="shopify",
                    role="system",
                    action="merchant.uninstalled",
                    subject=f"merchant:{merchant_id}",
                    before={"status": before.value},
                    after={"status": after.value},
                    at=now,
                ).event(merchant_id, merchant_id)
                for merchant_id, (before, after) in left.items()
            ]
            await self._outbox.append(connection, told)
        for merchant_id in left:
            self._validator.forget(merchant_id)
