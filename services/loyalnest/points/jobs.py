"""Approval and expiry of lots: the passage of time, posted in batches."""

from collections.abc import Callable
from datetime import datetime

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.points import ledger
from loyalnest.points.events import PointsExpired
from loyalnest.points.models import Lot, Member, Transaction
from loyalnest.points.repository import Book, Key

BATCH = 1000


class LotJobs:
    """Approves pending lots whose time has come, and expires available ones whose time is over."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def approve(self) -> int:
        """Make every due pending lot available. Returns how many lots."""
        return await self._all_due(
            "SELECT merchant_id, customer_id FROM points.lots "
            "WHERE pending AND remaining > 0 AND available_at <= $1 ORDER BY available_at LIMIT $2",
            due=lambda lot, now: lot.pending and lot.available_at <= now,
            act=ledger.approve,
        )

    async def expire(self) -> int:
        """Take what remains of every lot past its expiry out of circulation. Returns how many lots."""
        return await self._all_due(
            "SELECT merchant_id, customer_id FROM points.lots "
            "WHERE NOT pending AND remaining > 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
            due=lambda lot, now: not lot.pending and lot.expires_at is not None and lot.expires_at <= now,
            act=ledger.expire,
        )

    async def _all_due(self, query: str, due: Callable[[Lot, datetime], bool], act: Callable[..., Transaction]) -> int:
        total = 0
        while True:
            async with self._database.worker() as connection:
                now = self._clock()
                found = {(row["merchant_id"], row["customer_id"]) for row in await connection.fetch(query, now, BATCH)}
                if not found:
                    return total
                total += await self._act(connection, found, now, due, act)

    async def _act(
        self,
        connection: Connection,
        keys: set[Key],
        now: datetime,
        due: Callable[[Lot, datetime], bool],
        act: Callable[..., Transaction],
    ) -> int:
        """Act on every lot of these members that is still due once they are locked."""
        book = Book()
        await book.lock_members(connection, keys)
        await book.load_lots(connection, keys)
        events: list[Event] = []
        for member in book.members.values():
            for lot in list(member.lots.values()):
                if lot.remaining and due(lot, now):
                    transaction = act(member, lot, now=now)
                    book.transactions.append(transaction)
                    events.extend(_told(member, lot, transaction))
        await book.store(connection)
        await self._outbox.append(connection, events)
        return len(book.transactions)


def _told(member: Member, lot: Lot, transaction: Transaction) -> list[Event]:
    if not transaction.points:  # an approval: the points were told of when they were earned
        return []
    payload = PointsExpired(customer_id=member.customer_id, lot_id=lot.lot_id, points=-transaction.points)
    return [payload.event(member.merchant_id, str(member.customer_id))]
