"""Events of others that points acts on, besides Shopify's deliveries (see `deliveries`)."""

from collections.abc import Sequence

from loyalnest.campaign.events import TierChanged
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.points import ledger
from loyalnest.points.events import PointsEarned
from loyalnest.points.models import Origin
from loyalnest.points.repository import Book, posted_sources, upsert_tiers
from loyalnest.points.rules import RulesProjection
from loyalnest.referrals.events import ReferralCompleted


class Projections:
    """Keeps what points decides by: the merchants' rules and the customers' tiers."""

    def __init__(self, database: Database, rules: RulesProjection) -> None:
        self._database = database
        self._rules = rules

    async def settings_changed(self, events: Sequence[Event]) -> None:
        """Take in new versions of rules. Versions make it idempotent and independent of order."""
        async with self._database.worker() as connection:
            read = [(event.merchant_id, SettingsChanged.read(event)) for event in events]
            await self._rules.advance(
                connection,
                [(merchant_id, change.version, bytes(change.rules).decode()) for merchant_id, change in read],
            )

    async def tier_changed(self, events: Sequence[Event]) -> None:
        """Take in customers' tiers; the latest `changed_at` wins in any order."""
        async with self._database.worker() as connection:
            await upsert_tiers(connection, [(event.merchant_id, TierChanged.read(event)) for event in events])


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
            grants = {
                (event.merchant_id, f"referral:{read.referral_id}:{side}"): (customer_id, points)
                for event in new
                for read in [ReferralCompleted.read(event)]
                for side, customer_id, points in (
                    ("referrer", read.referrer_id, read.referrer_points),
                    ("friend", read.friend_id, read.friend_points),
                )
                if points > 0
            }
            rules = await self._rules.load(connection, (event.merchant_id for event in new))
            book = Book()
            await book.lock_members(connection, ((key[0], customer_id) for key, (customer_id, _) in grants.items()))
            posted = await posted_sources(connection, grants)
            told: list[Event] = []
            now = self._clock()
            for (merchant_id, source), (customer_id, points) in grants.items():
                if (merchant_id, source) in posted:
                    continue
                versioned = rules[merchant_id]
                available_at, expires_at = versioned.lot_times(now)
                origin = Origin(source=source, rule="referral", settings_version=versioned.version)
                transaction = ledger.accrue(
                    book.members[merchant_id, customer_id],
                    points,
                    origin,
                    now=now,
                    available_at=available_at,
                    expires_at=expires_at,
                )
                book.transactions.append(transaction)
                earned = PointsEarned(
                    customer_id=customer_id,
                    points=points,
                    reason="referral",
                    transaction_id=transaction.transaction_id,
                    available_at=available_at,
                )
                told.append(earned.event(merchant_id, str(customer_id)))
            await book.store(connection)
            await self._outbox.append(connection, told)
