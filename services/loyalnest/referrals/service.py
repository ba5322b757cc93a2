"""What referrals does on request: statuses, lists, reviews, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.database import Database
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after
from loyalnest.kit.program import Program
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.referrals import request_repository, rules
from loyalnest.referrals.cache import StatusCache
from loyalnest.referrals.models import Channel, ChannelCounts, Link, Reason, Referral, Status
from loyalnest.referrals.outgoing import told_of

MAX_DAYS: Final = 3660
MAX_NOTE: Final = 500


@dataclass(frozen=True, slots=True)
class Fares:
    """How a customer's link fares, or all links. came_by: the referral that the customer came by."""

    channels: Sequence[ChannelCounts]
    statuses: Mapping[str, int]
    link: Link | None = None
    came_by: Referral | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What both sides get; None for a shop that offers no referrals."""

    referrer_points: int
    friend_points: int
    minimum_spend: Decimal
    currency: str


class ReferralsService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(
        self, database: Database, outbox: Outbox, projection: RulesProjection, cache: StatusCache, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._projection = projection
        self._cache = cache
        self._clock = clock

    async def provision(self, program: Program) -> None:
        """Give a new merchant's rules to the projection; those it has stay."""
        async with self._database.request(program.merchant_id) as connection:
            await self._projection.seed(connection, program.merchant_id, program.spec.rules)

    async def offer(self, merchant_id: str) -> Offer | None:
        """What both sides get now. Raises NotFound for a merchant without rules."""
        async with self._database.request(merchant_id) as connection:
            found = (await self._projection.load(connection, [merchant_id]))[merchant_id].rules
        terms = found.referrals
        if terms is None:
            return None
        return Offer(terms.referrer_points, terms.friend_points, terms.minimum_spend, found.currency)

    async def referral(self, merchant_id: str, referral_id: UUID) -> Referral:
        """One referral, from the cache if it is there. Raises NotFound for one that is unknown."""
        found = await self._cache.get(merchant_id, referral_id)
        if found is not None:
            return found
        async with self._database.request(merchant_id) as connection:
            found = await request_repository.referral(connection, merchant_id, referral_id)
        await self._cache.put([_known(found, referral_id)])
        return _known(found, referral_id)

    async def fares(self, merchant_id: str, customer_id: int) -> Fares:
        """How a customer's link fares; zeros for one who has none."""
        async with self._database.request(merchant_id, snapshot=True) as connection:
            return Fares(
                await request_repository.channel_counts(connection, merchant_id, customer_id, None),
                await request_repository.status_counts(connection, merchant_id, customer_id, None),
                await request_repository.link_of(connection, merchant_id, customer_id),
                await request_repository.referral_of_friend(connection, merchant_id, customer_id),
            )

    async def stats(self, merchant_id: str, days: int) -> Fares:
        """How all links fared in the last `days` days; 0 for all time."""
        if not 0 <= days <= MAX_DAYS:
            raise InvalidInput(f"days: must be between 0 and {MAX_DAYS}")
        since = self._clock() - timedelta(days=days) if days else None
        async with self._database.request(merchant_id, snapshot=True) as connection:
            return Fares(
                await request_repository.channel_counts(connection, merchant_id, 0, since),
                await request_repository.status_counts(connection, merchant_id, 0, since),
            )

    async def listed(
        self, merchant_id: str, status: str, referrer_id: int, page_size: int, page_token: str
    ) -> tuple[list[Referral], str]:
        """A page of referrals, newest first, and the next page's token (empty at the end)."""
        if status and status not in set(Status):
            raise InvalidInput(f"status: must be one of {', '.join(Status)}, or empty for all")
        limit, before = page_limit(page_size), uuid_after(page_token)
        async with self._database.request(merchant_id) as connection:
            rows = await request_repository.referrals(connection, merchant_id, status, referrer_id, before, limit + 1)
        return page_of(rows, limit, lambda row: row.referral_id)

    async def review(self, merchant_id: str, referral_id: UUID, *, approve: bool, note: str) -> Referral:
        """Complete or refuse a referral that is held for review. The same decision again changes nothing.

        Raises PreconditionFailed for a referral that is not held.
        """
        if not note.strip():
            raise InvalidInput("A review needs a note: it stands with the referral and in the audit log.")
        async with self._database.request(merchant_id) as connection:
            found = await request_repository.referral(connection, merchant_id, referral_id, lock=True)
            referral = _known(found, referral_id)
            wanted = Status.COMPLETED if approve else Status.REFUSED
            if referral.status == wanted and referral.reason == Reason.REVIEW:
                return referral
            if referral.status != Status.HELD:
                raise PreconditionFailed(f"The referral is {referral.status}, so there is nothing to review.")
            events = self._reviewed(referral, wanted, note.strip()[:MAX_NOTE])
            await request_repository.update_review(connection, referral)
            await self._outbox.append(connection, events)
        await self._cache.put([referral])
        return referral

    def _reviewed(self, referral: Referral, status: Status, note: str) -> list[Event]:
        """Decide a held referral; the events that tell of it."""
        context, now = current(), self._clock()
        before = {"status": referral.status, "reason": referral.reason}
        rules.settle(referral, status, Reason.REVIEW, now)
        referral.reviewed_by, referral.note = context.actor, note
        referral.version += 1
        referral.updated_at = now
        audit = AuditLog(
            actor=context.actor,
            role=context.role,
            action="referral.approved" if status is Status.COMPLETED else "referral.refused",
            subject=f"referral:{referral.referral_id}",
            before=before,
            after={"status": referral.status, "note": note},
            at=now,
        )
        told = [audit.event(referral.merchant_id, str(referral.referral_id))]
        if status is Status.COMPLETED:
            told.append(told_of(referral, now))
        return told


def every_channel(counts: Sequence[ChannelCounts]) -> list[ChannelCounts]:
    """The counts of all channels, those that were left out with zeros."""
    known = {each.channel: each for each in counts}
    return [known.get(channel, ChannelCounts(channel, 0, 0, 0)) for channel in Channel]


def _known(found: Referral | None, referral_id: UUID) -> Referral:
    if found is None:
        raise NotFound(f"No referral {referral_id} is known.")
    return found
