"""Announcing points that will run out, so that nobody loses them unawares."""

from typing import Final

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.outbox import Outbox
from loyalnest.points import notice_repository
from loyalnest.points.events import PointsExpiring

DAYS_AHEAD: Final = 14
"""Two weeks: time for one more purchase with its delivery, and near enough to be remembered. Points that live for less
than four weeks are announced at half of their life, in whole days."""
HOUR: Final = 9
"""What is to be announced on a day is, from this hour on in the merchant's time zone: whoever mails it wakes nobody."""
CUSTOMERS: Final = 1000
"""Most customers' days that one transaction announces."""


class ExpiryNotices:
    """Tells once of each lot that it will expire; of one customer and day all at once, so that one mail says it."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def run(self) -> int:
        """Announce everything that is due. Returns how many customers' days."""
        total = 0
        while True:
            async with self._database.worker() as connection:
                found = await notice_repository.announce(connection, self._clock(), DAYS_AHEAD, HOUR, CUSTOMERS)
                told = [
                    PointsExpiring(customer_id=each.customer_id, points=each.points, expires_at=each.expires_at).event(
                        each.merchant_id, str(each.customer_id)
                    )
                    for each in found
                ]
                await self._outbox.append(connection, told)
            total += len(found)
            if len(found) < CUSTOMERS:
                return total
