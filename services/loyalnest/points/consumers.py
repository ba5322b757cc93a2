"""Events of others that points keeps for its decisions; see `deliveries` and `referral_rewards` for what it posts."""

from collections.abc import Sequence

from loyalnest.campaign.events import TierChanged
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.tier_repository import upsert_tiers


class Projections:
    """Keeps what points decides by: the merchants' rules and the customers' tiers."""

    def __init__(self, database: Database, rules: RulesProjection) -> None:
        self._database = database
        self._rules = rules

    async def settings_changed(self, events: Sequence[Event]) -> None:
        """Take in new versions of rules. Versions make it idempotent and independent of order.

        Raises InvalidInput for rules that this code cannot read: those before them stay in force.
        """
        changes = [(event.merchant_id, SettingsChanged.read(event)) for event in events]
        async with self._database.worker() as connection:
            await self._rules.take(connection, [(merchant, each.version, each.rules) for merchant, each in changes])

    async def tier_changed(self, events: Sequence[Event]) -> None:
        """Take in customers' tiers; the latest `changed_at` wins in any order."""
        async with self._database.worker() as connection:
            await upsert_tiers(connection, [(event.merchant_id, TierChanged.read(event)) for event in events])
