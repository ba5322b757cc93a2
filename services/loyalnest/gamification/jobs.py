"""What gamification does by the clock: customers are looked at anew when rules change, deleted badges go."""

from loyalnest.gamification import repository, sweep_repository
from loyalnest.gamification.cache import BadgeCache
from loyalnest.gamification.evaluation import Evaluator
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.gamification.models import Key
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.outbox import Outbox

CHUNK = 500
"""Customers that one transaction looks at."""


class BadgeJobs:
    """Each works in short transactions that note how far they are: killed anywhere, it goes on from there."""

    def __init__(
        self, database: Database, outbox: Outbox, evaluator: Evaluator, cache: BadgeCache, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._evaluator = evaluator
        self._cache = cache
        self._clock = clock

    async def sweep(self) -> int:
        """Evaluate all customers of the merchants that are asked for, a chunk of each in turn. Returns how many."""
        done = 0
        while True:
            async with self._database.worker() as connection:
                merchants = await sweep_repository.open_sweeps(connection)
            if not merchants:
                return done
            for merchant_id in merchants:
                done += await self._sweep_chunk(merchant_id)

    async def _sweep_chunk(self, merchant_id: str) -> int:
        async with self._database.worker() as connection:
            sweep = await sweep_repository.take(connection, merchant_id)
            if sweep is None:
                return 0
            customers = await sweep_repository.next_customers(connection, sweep, CHUNK)
            keys = await self._evaluator.evaluate(connection, [(merchant_id, each) for each in customers])
            if len(customers) < CHUNK:
                await sweep_repository.finish(connection, sweep)
            else:
                await sweep_repository.advance(connection, sweep, customers[-1])
        await self._cache.forget(keys)
        return len(keys)

    async def drop_deleted(self) -> int:
        """Take deleted badges from those who hold them, tell of it, and then forget them. Returns how many holders."""
        done = 0
        async with self._database.worker() as connection:
            badges = await sweep_repository.deleted_badges(connection)
        for merchant_id, badge_key in badges:
            while (dropped := await self._drop_chunk(merchant_id, badge_key)) is not None:
                done += dropped
        return done

    async def _drop_chunk(self, merchant_id: str, badge_key: str) -> int | None:
        """Returns how many held it, None once the badge is gone. A pseudonym loses it without a word."""
        async with self._database.worker() as connection:
            customers = await sweep_repository.next_holders(connection, merchant_id, badge_key, CHUNK)
            keys: list[Key] = await repository.lock_customers(
                connection, [(merchant_id, customer_id) for customer_id in customers]
            )
            title = await sweep_repository.deleted_badge_title(connection, merchant_id, badge_key)
            if title is None:
                return None
            held = await sweep_repository.drop_holdings(connection, merchant_id, badge_key, customers)
            now = self._clock()
            lost = [
                BadgeAwarded(customer_id=customer_id, badge=badge_key, title=title, revoked=True, at=now)
                for customer_id in held
                if customer_id > 0
            ]
            await self._outbox.append(connection, [each.event(merchant_id, str(each.customer_id)) for each in lost])
            if not customers:
                await sweep_repository.drop_badge(connection, merchant_id, badge_key)
        await self._cache.forget(keys)
        return len(held) if customers else None
