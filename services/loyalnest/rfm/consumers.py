"""Events of others that rfm acts on.

`referral.completed` and `customer.updated` are not among them: neither changes an order, which is all that scores
depend on. (A redaction leaves numbers under a pseudonymous id, and arrives as `gdpr_request.created`: see
`privacy_repository`.)
"""

from collections.abc import Callable, Iterable, Sequence

from loyalnest.core.events import SettingsChanged
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database, after_commit
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.program import ProgramRules
from loyalnest.points.events import PointsClawedBack, PointsEarned
from loyalnest.rfm import repository
from loyalnest.rfm.models import OrderState, Schedule
from loyalnest.rfm.refresh import Refresher
from loyalnest.rfm.repository import Key
from loyalnest.rfm.schedule import schedule_of


class OrderBatches:
    """The consumers of `points.earned` and `points.clawed_back`: an order moves its own customer.

    A merchant whose population has doubled since its last refresh, or that never had one, is refreshed after the
    batch. If that does not come to be, the job `refresh_due` finds it.
    """

    def __init__(self, database: Database, outbox: Outbox, refresher: Refresher, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._refresher = refresher
        self._clock = clock

    async def earned(self, events: Sequence[Event]) -> None:
        """Apply a batch of `points.earned`; what was earned by other things than orders changes nothing."""
        await self._apply(events, _earned)

    async def clawed_back(self, events: Sequence[Event]) -> None:
        """Apply a batch of `points.clawed_back`, also of orders that are not known yet."""
        await self._apply(events, _clawed_back)

    async def _apply(self, events: Sequence[Event], read: Callable[[Event], OrderState | None]) -> None:
        due: list[str] = []
        async with self._database.worker() as connection:
            new = await take_new(connection, "rfm", events)
            states = combined(state for event in new for state in [read(event)] if state is not None)
            if not states:
                return
            await repository.lock_merchants(connection, (merchant_id for merchant_id, _ in states))
            customers = await repository.combine_orders(connection, states)
            await repository.lock_customers(connection, customers, self._clock())
            now = self._clock()  # once they are locked, so that a customer's moments go up with its changes
            due = await repository.grow(connection, await repository.rescore(connection, customers, now))
            after_commit(self._outbox.written.set)
        for merchant_id in due:
            await self._refresher.refresh(merchant_id)


class Schedules:
    """The consumer of `settings.changed`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def settings_changed(self, events: Sequence[Event]) -> None:
        """Take in when merchants are refreshed. Versions make it idempotent and independent of order."""
        now = self._clock()
        newest: dict[str, Schedule] = {}
        for event in events:
            change = SettingsChanged.read(event)
            known = newest.get(event.merchant_id)
            if known is None or known.settings_version < change.version:
                rules = ProgramRules.from_json(bytes(change.rules))
                newest[event.merchant_id] = schedule_of(event.merchant_id, rules.rfm, change.version, now)
        async with self._database.worker() as connection:
            await repository.upsert_schedules(connection, list(newest.values()), now)


def combined(states: Iterable[OrderState]) -> dict[Key, OrderState]:
    """What `states` say together, by merchant and order."""
    known: dict[Key, OrderState] = {}
    for state in states:
        key = state.merchant_id, state.order_id
        known[key] = known[key].combine(state) if key in known else state
    return known


def _earned(event: Event) -> OrderState | None:
    read = PointsEarned.read(event)
    if read.reason != "order":
        return None
    if read.order_id is None or read.base is None or read.placed_at is None:
        raise ValueError("points.earned by an order lacks its order_id, base or placed_at")
    return OrderState(event.merchant_id, read.order_id, read.customer_id, read.placed_at, read.base, cancelled=False)


def _clawed_back(event: Event) -> OrderState | None:
    read = PointsClawedBack.read(event)
    return OrderState(event.merchant_id, read.order_id, read.customer_id, None, read.net_base, cancelled=read.cancelled)
