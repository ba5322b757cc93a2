"""Tells of requests whose time has come, tells those again that have not confirmed, and forgets what has served."""

from collections.abc import Sequence
from datetime import timedelta

from loyalnest.admin_core import export_repository, saga, telling
from loyalnest.admin_core import request_repository as repository
from loyalnest.admin_core.confirmations import Confirmations
from loyalnest.admin_core.deliveries import CAME_BACK
from loyalnest.admin_core.details import Keys, details_of, keys_of
from loyalnest.admin_core.events import GdprKind
from loyalnest.admin_core.metrics import GDPR_REQUESTS, GDPR_SECONDS_TO_DEADLINE
from loyalnest.admin_core.models import GdprRequest, Installation, Status
from loyalnest.admin_core.shops import InstalledAt
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox

BATCH = 200


class Advance:
    """The job that starts scheduled requests and reminds of open ones."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: KeyRing,
        installed_at: InstalledAt,
        clock: Clock,
        confirmations: Confirmations,
        participants: Sequence[str],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._installed_at = installed_at
        self._clock = clock
        self._confirmations = confirmations
        self._participants = participants

    async def run(self) -> int:
        """Do what is due. Returns for how many requests there was something to do."""
        now = self._clock()
        async with self._database.worker() as connection:
            due = await repository.unfinished(connection, now, now - saga.TELL_AGAIN, BATCH)
        if not due:
            return 0
        keys = await keys_of(self._keys, (each.merchant_id for each in due if each.kind is not GdprKind.SHOP_REDACT))
        shops = {each.merchant_id for each in due if each.status is Status.SCHEDULED}
        installed = {merchant_id: await self._installed_at(merchant_id) for merchant_id in sorted(shops)}
        async with self._database.worker() as connection:
            known = await repository.lock_installations(connection, installed)
            known = {shop: saga.installed(each, installed[shop]) for shop, each in known.items()}
            locked = await repository.lock(connection, [(each.merchant_id, each.request_id) for each in due])
            events, changed = await self._advance(connection, locked, keys, known)
            await self._outbox.append(connection, events)
        return changed

    async def _advance(
        self, connection: Connection, locked: list[GdprRequest], keys: Keys, known: dict[str, Installation]
    ) -> tuple[list[Event], int]:
        now = self._clock()
        said = await repository.confirmations(connection, [(each.merchant_id, each.request_id) for each in locked])
        events = await self._confirmations.complete(connection, locked, said, keys)
        changed: list[GdprRequest] = []
        for request in locked:
            waited_for = saga.missing(self._participants, said[request.merchant_id, request.request_id].values())
            if saga.next_step(request, waited_for, now) is not saga.Step.TELL:
                continue
            back = known.get(request.merchant_id, Installation())
            if request.status is Status.SCHEDULED and saga.covers([request], back) is None:
                changed.append(saga.ended(request, Status.CANCELLED, now, CAME_BACK))
                events.append(telling.audited(changed[-1], "gdpr.cancelled", now, actor="admin_core"))
                continue
            details = details_of(request, keys.get(request.merchant_id))
            if request.kind is not GdprKind.SHOP_REDACT and details is None:
                continue  # the shop's redaction is about to end it
            changed.append(saga.told(request, now))
            action = "gdpr.requested" if request.status is Status.SCHEDULED else "gdpr.told_again"
            missing = {} if request.status is Status.SCHEDULED else {"missing": ", ".join(waited_for)}
            events.append(telling.audited(changed[-1], action, now, actor="admin_core", **missing))
            events.append(telling.created(changed[-1], None if details is None else details.customer_id))
        await repository.update(connection, changed)
        return events, len(events)


class Forgetting:
    """The job that deletes exports after `EXPORT_KEPT`, and forgets whose the requests were after `REPLAYABLE`."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def run(self) -> int:
        """Returns how many requests there was something to forget of."""
        total = 0
        while done := await self._some():
            total += done
        return total

    async def _some(self) -> int:
        now = self._clock()
        async with self._database.worker() as connection:
            over = await export_repository.delete_expired(connection, now, BATCH)
            requests = await repository.lock(connection, over)
            told = [telling.audited(each, "gdpr.export_deleted", now, actor="admin_core") for each in requests]
            await self._outbox.append(connection, told)
            return len(over) + await export_repository.forget_customers(connection, now - saga.REPLAYABLE, BATCH)


class Deadlines:
    """Sets the gauges of requests that have not ended."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def observe(self) -> None:
        """Look at the table."""
        now = self._clock()
        async with self._database.worker() as connection:
            found = await repository.standing(connection)
        for kind in GdprKind:
            nearest = [due for (each, _), (_, due) in found.items() if each == kind]
            left = min((due - now for due in nearest), default=saga.TIME_TO_DO)
            GDPR_SECONDS_TO_DEADLINE.labels(kind).set(left / timedelta(seconds=1))
            for status in (Status.SCHEDULED, Status.OPEN):
                count, _ = found.get((kind, status), (0, now))
                GDPR_REQUESTS.labels(kind, status).set(count)
