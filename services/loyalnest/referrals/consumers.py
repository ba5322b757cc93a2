"""Events of others that referrals acts on, besides Shopify's deliveries (see `deliveries`)."""

from collections.abc import Sequence

from loyalnest.core.events import SettingsChanged
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.rules_projection import RulesProjection


class Terms:
    """The consumer of `settings.changed`: keeps what referrals give."""

    def __init__(self, database: Database, projection: RulesProjection) -> None:
        self._database = database
        self._projection = projection

    async def settings_changed(self, events: Sequence[Event]) -> None:
        """Take in new versions of rules. Versions make it idempotent and independent of order.

        Raises InvalidInput for rules that this code cannot read: those before them stay in force.
        """
        changes = [(event.merchant_id, SettingsChanged.read(event)) for event in events]
        async with self._database.worker() as connection:
            await self._projection.take(
                connection, [(merchant_id, each.version, each.rules) for merchant_id, each in changes]
            )
