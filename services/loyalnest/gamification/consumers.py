"""Events of others that gamification acts on."""

from collections.abc import Awaitable, Callable, Sequence

from loyalnest.core.events import SettingsChanged
from loyalnest.gamification import facts_repository, sweep_repository
from loyalnest.gamification.cache import BadgeCache
from loyalnest.gamification.evaluation import Evaluator
from loyalnest.gamification.facts import (
    Grant,
    OrderEarned,
    combined,
    newest,
    read_clawed_back,
    read_earned,
    read_product,
    read_referral,
)
from loyalnest.gamification.models import Key
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.rules_projection import RulesProjection


class FactBatches:
    """The consumers of what customers did: it is noted, and the customers are evaluated in the same transaction."""

    def __init__(self, database: Database, evaluator: Evaluator, cache: BadgeCache) -> None:
        self._database = database
        self._evaluator = evaluator
        self._cache = cache

    async def earned(self, events: Sequence[Event]) -> None:
        """Apply a batch of `points.earned`."""
        await self._apply(events, _note_earned)

    async def clawed_back(self, events: Sequence[Event]) -> None:
        """Apply a batch of `points.clawed_back`, also of orders that are not known yet."""
        await self._apply(events, _note_clawed_back)

    async def referrals(self, events: Sequence[Event]) -> None:
        """Apply a batch of `referral.completed` or `referral.reversed`, which may come first."""
        await self._apply(events, _note_referrals)

    async def _apply(
        self, events: Sequence[Event], note: Callable[[Connection, Sequence[Event]], Awaitable[set[Key]]]
    ) -> None:
        async with self._database.worker() as connection:
            new = await take_new(connection, self._database.schema, events)
            touched = await note(connection, new) if new else set()
            keys = await self._evaluator.evaluate(connection, touched)
        await self._cache.forget(keys)


async def _note_earned(connection: Connection, events: Sequence[Event]) -> set[Key]:
    read = [read_earned(event) for event in events]
    orders = [each for each in read if isinstance(each, OrderEarned)]
    touched = await facts_repository.add_earned(connection, orders)
    touched |= await facts_repository.add_grants(connection, [each for each in read if isinstance(each, Grant)])
    products = [(order.merchant_id, product_id) for order in orders for product_id, _ in order.products]
    await facts_repository.hold_products(connection, products)
    return touched


async def _note_clawed_back(connection: Connection, events: Sequence[Event]) -> set[Key]:
    return await facts_repository.add_lessened(connection, [read_clawed_back(event) for event in events])


async def _note_referrals(connection: Connection, events: Sequence[Event]) -> set[Key]:
    return await facts_repository.add_referrals(connection, combined(read_referral(event) for event in events))


class Projections:
    """Keeps what badges depend on besides customers: products' types, and the merchants' time zones."""

    def __init__(self, database: Database, rules: RulesProjection, evaluator: Evaluator) -> None:
        self._database = database
        self._rules = rules
        self._evaluator = evaluator

    async def delivered(self, events: Sequence[Event]) -> None:
        """Take in the products of a batch of `webhook.received`; the newest type of each wins in any order."""
        products = newest(each for event in events for each in [read_product(event)] if each is not None)
        if products:
            async with self._database.worker() as connection:
                merchants = await facts_repository.add_products(connection, products)
                await sweep_repository.request(connection, merchants)

    async def settings_changed(self, events: Sequence[Event]) -> None:
        """Take in new versions of rules; in another time zone, weeks and months are other ones.

        Raises InvalidInput for rules that this code cannot read: those before them stay in force.
        """
        changes = [(event.merchant_id, SettingsChanged.read(event)) for event in events]
        async with self._database.worker() as connection:
            merchants = await sweep_repository.known_rules(connection, {merchant_id for merchant_id, _ in changes})
            before = await self._evaluator.timezones(connection, merchants)
            await self._rules.take(connection, [(merchant, each.version, each.rules) for merchant, each in changes])
            after = await self._evaluator.timezones(connection, merchants)
            moved = [merchant_id for merchant_id in merchants if before[merchant_id] != after[merchant_id]]
            await sweep_repository.request(connection, moved)
