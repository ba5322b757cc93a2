"""Events of others that points acts on, besides Shopify's deliveries (see `deliveries`)."""

from collections.abc import Sequence
from datetime import datetime

from loyalnest.campaign.events import CampaignChanged, TierChanged
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection, VersionedRules
from loyalnest.points import ledger
from loyalnest.points.campaign_repository import upsert_campaigns, upsert_segments
from loyalnest.points.events import PointsEarned
from loyalnest.points.models import Member, Origin
from loyalnest.points.repository import Book, posted_sources
from loyalnest.points.rules import lot_times
from loyalnest.points.tier_repository import upsert_tiers
from loyalnest.referrals.events import ReferralCompleted
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


class ReferralRewards:
    """Posts both sides' points of a completed referral, each once."""

    def __init__(self, database: Database, outbox: Outbox, rules: RulesProjection, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._rules = rules
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply a batch of `referral.completed`."""
        async with self._database.worker() as connection:
            new = await take_new(connection, "points", events)
            if not new:
                return
            grants = _grants(new)
            rules = await self._rules.load(connection, (event.merchant_id for event in new))
            book = Book()
            await book.lock_members(connection, ((key[0], customer_id) for key, (customer_id, _) in grants.items()))
            posted = await posted_sources(connection, grants)
            now = self._clock()
            told = [
                _grant(book.members[merchant_id, customer_id], points, source, rules[merchant_id], book, now)
                for (merchant_id, source), (customer_id, points) in grants.items()
                if (merchant_id, source) not in posted
            ]
            await book.store(connection)
            await self._outbox.append(connection, told)


def _grants(events: Sequence[Event]) -> dict[tuple[str, str], tuple[int, int]]:
    """Customer and points by merchant and business key, which is the same for a referral that is told twice."""
    grants: dict[tuple[str, str], tuple[int, int]] = {}
    for event in events:
        read = ReferralCompleted.read(event)
        for side, customer_id, points in (
            ("referrer", read.referrer_id, read.referrer_points),
            ("friend", read.friend_id, read.friend_points),
        ):
            if points > 0:
                grants.setdefault((event.merchant_id, f"referral:{read.referral_id}:{side}"), (customer_id, points))
    return grants


def _grant(member: Member, points: int, source: str, rules: VersionedRules, book: Book, now: datetime) -> Event:
    """Post one side's points; the event that tells of them."""
    available_at, expires_at = lot_times(rules.rules, now)
    origin = Origin(source=source, rule="referral", settings_version=rules.version)
    transaction = ledger.accrue(member, points, origin, now=now, available_at=available_at, expires_at=expires_at)
    book.transactions.append(transaction)
    earned = PointsEarned(
        customer_id=member.customer_id,
        points=points,
        reason="referral",
        transaction_id=transaction.transaction_id,
        available_at=available_at,
    )
    return earned.event(member.merchant_id, str(member.customer_id))
