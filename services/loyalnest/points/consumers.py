"""Events of others that points keeps for its decisions; see `deliveries` and `referral_rewards` for what it posts."""

from collections.abc import Sequence

from loyalnest.campaign.events import CampaignChanged, TierChanged
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.campaign_repository import upsert_campaigns, upsert_segments
from loyalnest.points.tier_repository import upsert_tiers
from loyalnest.rfm.events import RfmUpdated


class Projections:
    """Keeps what points decides by: the merchants' rules and campaigns, the customers' tiers and segments."""

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

    async def campaign_changed(self, events: Sequence[Event]) -> None:
        """Take in campaigns; the highest version wins in any order. What was awarded before stays as it was."""
        async with self._database.worker() as connection:
            await upsert_campaigns(connection, [(event.merchant_id, CampaignChanged.read(event)) for event in events])

    async def segment_changed(self, events: Sequence[Event]) -> None:
        """Take in customers' segments; the latest `as_of` wins. Scores that change within a segment are no news."""
        read = [(event.merchant_id, RfmUpdated.read(event)) for event in events]
        moved = [(merchant_id, each) for merchant_id, each in read if each.segment != each.previous_segment]
        if moved:
            async with self._database.worker() as connection:
                await upsert_segments(connection, moved)
