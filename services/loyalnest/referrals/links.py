"""Customers' codes and links."""

from typing import Final, Protocol

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import PreconditionFailed, Unavailable
from loyalnest.kit.program import ProgramRules
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.referrals import codes, request_repository
from loyalnest.referrals.models import Channel, Link

TRIES: Final = 8
"""How many codes are tried for one customer. Two in a row that are taken are a billion to one among a million."""


class ShopAddress(Protocol):
    """Gives addresses in merchants' shops."""

    async def url(self, merchant_id: str, path: str) -> str:
        """The address of `path` in the shop. Raises Unavailable if it cannot be had."""


class Links:
    """Use cases of one merchant at a time."""

    def __init__(self, database: Database, projection: RulesProjection, shops: ShopAddress, clock: Clock) -> None:
        self._database = database
        self._projection = projection
        self._shops = shops
        self._clock = clock

    async def create(self, merchant_id: str, customer_id: int) -> Link:
        """A customer's code, made if there is none. Raises PreconditionFailed where the shop offers no referrals."""
        async with self._database.request(merchant_id) as connection:
            if (await self.rules(connection, merchant_id)).referrals is None:
                raise PreconditionFailed("This shop offers no referrals: set `referrals` in its program.")
            for _ in range(TRIES):
                link = await request_repository.link_of(connection, merchant_id, customer_id)
                if link is not None:
                    return link
                await request_repository.make_link(
                    connection, merchant_id, customer_id, codes.new_code(), self._clock()
                )
            link = await request_repository.link_of(connection, merchant_id, customer_id)
        if link is None:
            raise Unavailable("No free code was found; try again.")
        return link

    async def url(self, merchant_id: str, code: str, channel: str = Channel.LINK) -> str:
        """The link of a code, which tells the channel."""
        return await self._shops.url(merchant_id, codes.path_of(code, channel))

    async def click(self, merchant_id: str, written: str, channel: str) -> bool:
        """Count a click on a code, written as in a link. Returns whether there is such a code."""
        code, by = codes.parse(written, channel)
        if not code:
            return False
        async with self._database.request(merchant_id) as connection:
            return await request_repository.count_click(connection, merchant_id, code, by, self._clock())

    async def rules(self, connection: Connection, merchant_id: str) -> ProgramRules:
        """The merchant's rules. Raises NotFound for a merchant without any."""
        return (await self._projection.load(connection, [merchant_id]))[merchant_id].rules
