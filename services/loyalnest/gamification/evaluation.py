"""The evaluation of customers: what they did, by their merchants' rules, becomes badges given and taken."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from loyalnest.gamification import repository, rules
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.gamification.models import Change, Key, Kind
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection


class Evaluator:
    """Evaluates any number of customers by the same few statements, in the transaction that it is given."""

    def __init__(self, outbox: Outbox, projection: RulesProjection, clock: Clock) -> None:
        self._outbox = outbox
        self._projection = projection
        self._clock = clock

    async def evaluate(self, connection: Connection, touched: Iterable[Key]) -> list[Key]:
        """Give and take the badges of customers, and tell of it. Returns who was looked at: no pseudonyms.

        Evaluating again changes nothing. Raises NotFound for a merchant without rules.
        """
        keys = await repository.lock_customers(connection, touched)
        if not keys:
            return []
        timezones = await self.timezones(connection, {merchant_id for merchant_id, _ in keys})
        await repository.hold_badges(connection, timezones)
        badges = await repository.badges_in_force(connection, timezones)
        with_streaks = [
            merchant_id
            for merchant_id, each in badges.items()
            if any(badge.rule.kind is Kind.WEEKLY_STREAK for badge in each)
        ]
        facts = await repository.facts_of(connection, keys, with_streaks)
        holdings = await repository.holdings_of(connection, keys)
        zones = {merchant_id: ZoneInfo(timezone) for merchant_id, timezone in timezones.items()}
        changes = [
            Change(*key, badge, held)
            for key in keys
            for badge, held in rules.decide(badges[key[0]], facts[key], holdings[key], zones[key[0]])
        ]
        now = self._clock()
        await repository.store(connection, changes, now)
        await self._outbox.append(connection, [told(change, now) for change in changes])
        await repository.refresh_leaderboards(connection, keys, timezones)
        return keys

    async def timezones(self, connection: Connection, merchants: Iterable[str]) -> dict[str, str]:
        """The time zones of merchants, in a fixed order. Raises NotFound for one without rules."""
        known = await self._projection.load(connection, merchants)
        return {merchant_id: known[merchant_id].rules.rfm.timezone for merchant_id in sorted(known)}


def told(change: Change, now: datetime) -> Event:
    """The event that tells of a change."""
    awarded = BadgeAwarded(
        customer_id=change.customer_id,
        badge=change.badge.key,
        title=change.badge.title,
        revoked=not change.held,
        at=now,
    )
    return awarded.event(change.merchant_id, str(change.customer_id))
