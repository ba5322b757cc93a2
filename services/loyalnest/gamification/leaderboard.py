"""The leaderboard: who earned the most points, among those customers who asked to be shown.

The rule: points are those of `lifetime_points`, less what was taken back since; an order's belong to the month in which
it was placed, in the merchant's time zone. Equal points have an equal rank, and the next one is as many places below
(1, 1, 3). Among equals, who earned the latest of them earlier stands first, and then the lower customer id. Who has no
points in a period does not stand in it.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from loyalnest.admin_core.events import AuditLog
from loyalnest.gamification import leaderboard_repository, repository
from loyalnest.gamification.evaluation import Evaluator
from loyalnest.gamification.models import Place
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Forbidden, InvalidInput
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit

NAME_PURPOSE: Final = "gamification.leaderboard_entries.name"
ALL: Final = "all"
RESEAL_BATCH: Final = 500

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_NAME = re.compile(r"[\w .'’-]{2,30}")


@dataclass(frozen=True, slots=True)
class Standing:
    """A place with its name in the clear."""

    place: Place
    name: str


@dataclass(frozen=True, slots=True)
class Board:
    """The first places of a period, and one customer's own. name: that customer's, empty without an entry."""

    period: str
    top: list[Standing]
    own: Standing | None
    name: str


class Leaderboard:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(self, database: Database, outbox: Outbox, keys: KeyRing, evaluator: Evaluator, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._evaluator = evaluator
        self._clock = clock

    async def board(self, merchant_id: str, period: str, size: int, customer_id: int = 0) -> Board:
        """The leaderboard of `all` time, of a month such as `2026-11`, or, if empty, of this month.

        Raises InvalidInput for another period.
        """
        limit = page_limit(size)
        async with self._database.request(merchant_id, snapshot=True) as connection:
            timezone = (await self._evaluator.timezones(connection, [merchant_id]))[merchant_id]
            meant = period_of(period, f"{self._clock().astimezone(ZoneInfo(timezone)):%Y-%m}")
            top = await leaderboard_repository.top(connection, merchant_id, meant, limit)
            own = await leaderboard_repository.place_of(connection, merchant_id, meant, customer_id)
            name = await leaderboard_repository.name_of(connection, merchant_id, customer_id)
        return Board(
            meant,
            [Standing(place, await self._name(merchant_id, place.name_sealed)) for place in top],
            Standing(own, await self._name(merchant_id, own.name_sealed)) if own else None,
            await self._name(merchant_id, name) if name else "",
        )

    async def join(self, merchant_id: str, customer_id: int, name: str) -> None:
        """Show a customer under the name of their choice from now on. Only the customer may ask for it.

        Raises InvalidInput for a name that cannot be shown, Forbidden.
        """
        if current().actor != f"shopper:{customer_id}" and current().role != "system":
            raise Forbidden("Only customers themselves may ask to be shown in the leaderboard.")
        name = display_name(name)
        keys = await self._keys.for_merchant(merchant_id)
        sealed, now = keys.seal(NAME_PURPOSE, name.encode()), self._clock()
        async with self._database.request(merchant_id) as connection:
            key = merchant_id, customer_id
            await repository.lock_customers(connection, [key])
            await leaderboard_repository.put_entry(connection, *key, sealed, keys.current.version, now)
            timezones = await self._evaluator.timezones(connection, [merchant_id])
            await repository.refresh_leaderboards(connection, [key], timezones)
            await self._audit(connection, merchant_id, "leaderboard.joined", customer_id)

    async def leave(self, merchant_id: str, customer_id: int) -> None:
        """Show a customer no longer, at once. One who is not shown may leave too."""
        async with self._database.request(merchant_id) as connection:
            await repository.lock_customers(connection, [(merchant_id, customer_id)])
            if await leaderboard_repository.drop_entry(connection, merchant_id, customer_id):
                await self._audit(connection, merchant_id, "leaderboard.left", customer_id)

    async def reseal(self) -> int:
        """Seal the names anew that need an older data key than their merchant's current. Returns how many."""
        done = 0
        async with self._database.worker() as connection:
            merchants = await leaderboard_repository.merchants(connection)
        for merchant_id in merchants:
            while resealed := await self._reseal_chunk(merchant_id):
                done += resealed
        return done

    async def _reseal_chunk(self, merchant_id: str) -> int:
        keys = await self._keys.for_merchant(merchant_id)
        version = keys.current.version
        async with self._database.worker() as connection:
            rows = await leaderboard_repository.sealed_before(connection, merchant_id, version, RESEAL_BATCH)
            names = [(each, keys.seal(NAME_PURPOSE, keys.open(NAME_PURPOSE, sealed))) for each, sealed in rows]
            await leaderboard_repository.reseal(connection, merchant_id, version, names)
        return len(rows)

    async def _name(self, merchant_id: str, sealed: bytes) -> str:
        return (await self._keys.open(merchant_id, NAME_PURPOSE, sealed)).decode()

    async def _audit(self, connection: Connection, merchant_id: str, action: str, customer_id: int) -> None:
        context, subject = current(), f"customer:{customer_id}"
        entry = AuditLog(
            actor=context.actor,
            role=context.role,
            action=action,
            subject=subject,
            before={},
            after={},
            at=self._clock(),
        )
        await self._outbox.append(connection, [entry.event(merchant_id, str(customer_id))])


def period_of(text: str, this_month: str) -> str:
    """The period that is meant. Raises InvalidInput."""
    if not text:
        return this_month
    if text != ALL and not (text.isascii() and _MONTH.fullmatch(text)):
        raise InvalidInput("period must be `all`, a month such as 2026-11, or empty for this month.")
    return text


def display_name(text: str) -> str:
    """A name as it is shown. Raises InvalidInput; addresses and links are no names."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not _NAME.fullmatch(name) or not any(char.isalnum() for char in name):
        raise InvalidInput("A display name has 2 to 30 letters, digits, spaces and . ' - _")
    return name
