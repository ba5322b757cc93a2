"""Points of referrals: both sides' points are posted once, and taken back once if the referral is reversed.

Completion and reversal may come in any order and at once. Both take the referral's own row first, so that one of them
sees the other: a reversal takes back what the ledger says was given, and what is reversed is not given any more.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.errors import RaceLost
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection, VersionedRules
from loyalnest.points import ledger
from loyalnest.points.events import GrantReversed, PointsEarned
from loyalnest.points.models import Member, Origin, Transaction
from loyalnest.points.referral_repository import Given, given, lock_referrals
from loyalnest.points.repository import Book, posted_sources
from loyalnest.points.rules import lot_times
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed

SIDES = ("referrer", "friend")

Source = tuple[str, str]
"""(merchant_id, business key)."""


class ReferralRewards:
    """The consumers of `referral.completed` and `referral.reversed`."""

    def __init__(self, database: Database, outbox: Outbox, rules: RulesProjection, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._rules = rules
        self._clock = clock

    async def completed(self, events: Sequence[Event]) -> None:
        """Grant both sides their points, unless the referral was reversed already."""
        async with self._database.worker() as connection:
            new = await take_new(connection, "points", events)
            if not new:
                return
            told = [(event.merchant_id, ReferralCompleted.read(event)) for event in new]
            rules = await self._rules.load(connection, (merchant_id for merchant_id, _ in told))
            reversed_ones = await lock_referrals(
                connection, ((merchant_id, each.referral_id) for merchant_id, each in told)
            )
            grants = _grants(each for each in told if (each[0], each[1].referral_id) not in reversed_ones)
            book = Book()
            await book.lock_members(connection, ((key[0], customer_id) for key, (customer_id, _) in grants.items()))
            posted = await posted_sources(connection, grants)
            now = self._clock()
            earned = [
                _grant(book.members[merchant_id, customer_id], points, source, rules[merchant_id], book, now)
                for (merchant_id, source), (customer_id, points) in grants.items()
                if (merchant_id, source) not in posted
            ]
            await book.store(connection)
            await self._outbox.append(connection, earned)

    async def reversed(self, events: Sequence[Event]) -> None:
        """Take back what each referral gave, whoever has it now: a redacted customer's points are under a pseudonym.

        Raises RaceLost if that changed meanwhile.
        """
        async with self._database.worker() as connection:
            new = await take_new(connection, "points", events)
            if not new:
                return
            keys = {(event.merchant_id, ReferralReversed.read(event).referral_id) for event in new}
            rules = await self._rules.load(connection, (merchant_id for merchant_id, _ in keys))
            now = self._clock()
            await lock_referrals(connection, keys, reversed_at=now)
            sources = [(merchant_id, _source(referral_id, side)) for merchant_id, referral_id in keys for side in SIDES]
            found = await given(connection, sources)
            book = Book()
            await book.lock_members(connection, ((each.merchant_id, each.customer_id) for each in found))
            if await given(connection, sources) != found:
                raise RaceLost("A customer of a referral was redacted just now.")
            taken = await posted_sources(connection, ((each.merchant_id, _clawback(each.source)) for each in found))
            left = [each for each in found if (each.merchant_id, _clawback(each.source)) not in taken]
            await book.load_lots(
                connection,
                ((each.merchant_id, each.customer_id) for each in left),
                ((each.merchant_id, each.lot_id) for each in left),
            )
            book.transactions += [
                _take_back(book.members[each.merchant_id, each.customer_id], each, rules[each.merchant_id], now)
                for each in left
            ]
            await book.store(connection)
            await self._outbox.append(connection, [_taken_back(each) for each in left])


def _source(referral_id: str, side: str) -> str:
    return f"referral:{referral_id}:{side}"


def _clawback(source: str) -> str:
    return f"{source}:clawback"


def _grants(told: Iterable[tuple[str, ReferralCompleted]]) -> dict[Source, tuple[int, int]]:
    """Customer and points by merchant and business key, which is the same for a referral that is told twice."""
    grants: dict[Source, tuple[int, int]] = {}
    for merchant_id, read in told:
        for side, customer_id, points in zip(
            SIDES, (read.referrer_id, read.friend_id), (read.referrer_points, read.friend_points), strict=True
        ):
            if points > 0:
                grants.setdefault((merchant_id, _source(read.referral_id, side)), (customer_id, points))
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


def _taken_back(gift: Given) -> Event:
    """The event that tells of it."""
    reversed_grant = GrantReversed(
        customer_id=gift.customer_id,
        transaction_id=gift.lot_id,
        points=gift.points,
    )
    return reversed_grant.event(gift.merchant_id, str(gift.customer_id))


def _take_back(member: Member, gift: Given, rules: VersionedRules, now: datetime) -> Transaction:
    """Take one side's points back: of their own lot first, then of others; the rest is a debt or let go."""
    origin = Origin(source=_clawback(gift.source), rule="referral", settings_version=rules.version)
    floor = rules.rules.earning.debt == "Floor"
    return ledger.claw_back(member, gift.points, gift.lot_id, origin, now=now, floor=floor)
