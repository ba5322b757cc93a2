"""Events of others that campaign acts on."""

from collections.abc import Callable, Iterable, Sequence

from loyalnest.campaign import repository, rules_repository
from loyalnest.campaign.memberships import Memberships
from loyalnest.campaign.models import Earning
from loyalnest.campaign.tiers import TierRules
from loyalnest.core.events import CustomerCreated, SettingsChanged
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.events import GrantReversed, PointsClawedBack, PointsEarned

Source = tuple[str, str]
"""(merchant_id, business key of what gave points)."""


class Earnings:
    """The consumers of what moves customers between tiers. One transaction a batch."""

    def __init__(self, database: Database, memberships: Memberships) -> None:
        self._database = database
        self._memberships = memberships

    async def customer_created(self, events: Sequence[Event]) -> None:
        """Let customers join, in the first tier if they have not earned yet."""
        async with self._database.worker() as connection:
            new = await take_new(connection, "campaign", events)
            keys = {(event.merchant_id, CustomerCreated.read(event).customer_id) for event in new}
            await repository.lock_merchants(connection, (merchant_id for merchant_id, _ in keys))
            await self._memberships.evaluate(connection, keys, "joined")

    async def earned(self, events: Sequence[Event]) -> None:
        """Apply a batch of `points.earned`, for whatever reason they were."""
        await self._apply(events, earned, "earned")

    async def clawed_back(self, events: Sequence[Event]) -> None:
        """Apply a batch of `points.clawed_back`, also of orders that are not known yet."""
        await self._apply(events, clawed_back, "refunded")

    async def grant_reversed(self, events: Sequence[Event]) -> None:
        """Apply a batch of `points.grant_reversed`, also of grants that are not known yet."""
        await self._apply(events, grant_reversed, "refunded")

    async def _apply(self, events: Sequence[Event], read: Callable[[Event], tuple[str, Earning]], cause: str) -> None:
        async with self._database.worker() as connection:
            new = await take_new(connection, "campaign", events)
            earnings = combined((event.merchant_id, *read(event)) for event in new)
            if earnings:
                await repository.lock_merchants(connection, (merchant_id for merchant_id, _ in earnings))
                keys = await repository.combine_earnings(connection, earnings)
                await self._memberships.evaluate(connection, keys, cause)


def combined(said: Iterable[tuple[str, str, Earning]]) -> dict[Source, Earning]:
    """What is `said` (of a merchant's source) together."""
    known: dict[Source, Earning] = {}
    for merchant_id, source, earning in said:
        before = known.get((merchant_id, source))
        known[merchant_id, source] = before.combine(earning) if before else earning
    return known


def earned(event: Event) -> tuple[str, Earning]:
    """The business key of a `points.earned`, and what it says. An order counts when it was placed."""
    read = PointsEarned.read(event)
    if read.order_id is not None:
        return f"order:{read.order_id}", Earning(read.customer_id, read.placed_at or event.occurred_at, read.points)
    if read.transaction_id is None:
        raise ValueError("points.earned has neither an order_id nor a transaction_id")
    return f"transaction:{read.transaction_id}", Earning(read.customer_id, event.occurred_at, read.points)


def clawed_back(event: Event) -> tuple[str, Earning]:
    """The business key of a `points.clawed_back`, and what it says: the most that was taken back in all is the last."""
    read = PointsClawedBack.read(event)
    return f"order:{read.order_id}", Earning(read.customer_id, clawed_back=max(read.clawed_back, read.points))


def grant_reversed(event: Event) -> tuple[str, Earning]:
    """The business key of a `points.grant_reversed`, and what it says."""
    read = GrantReversed.read(event)
    return f"transaction:{read.transaction_id}", Earning(read.customer_id, clawed_back=read.points)


class Rules:
    """Keeps what campaign decides by."""

    def __init__(self, database: Database, rules: RulesProjection) -> None:
        self._database = database
        self._rules = rules

    async def settings_changed(self, events: Sequence[Event]) -> None:
        """Take in new versions of rules. Where they say something else about tiers, all members are evaluated.

        Versions make it idempotent and independent of order. The evaluation is `jobs.TierJobs.reevaluate`.
        """
        changes = [(event.merchant_id, SettingsChanged.read(event)) for event in events]
        merchants = {merchant_id for merchant_id, _ in changes}
        async with self._database.worker() as connection:
            await repository.lock_merchants(connection, merchants, exclusively=True)
            before = await self._known(connection, merchants)
            await self._rules.take(connection, [(merchant, each.version, each.rules) for merchant, each in changes])
            now = await self._known(connection, merchants)
            other = {merchant_id: rules for merchant_id, rules in now.items() if rules != before.get(merchant_id)}
            await rules_repository.replace_tiers(connection, other)
            await rules_repository.begin_evaluation(connection, sorted(other))

    async def _known(self, connection: Connection, merchants: Iterable[str]) -> dict[str, TierRules]:
        """The tiers' rules of those of `merchants` that have some."""
        known = await rules_repository.with_rules(connection, merchants)
        return {
            merchant_id: TierRules.of(versioned)
            for merchant_id, versioned in (await self._rules.load(connection, known)).items()
        }
