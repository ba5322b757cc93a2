"""What the services answer: noted one by one, and the request completed with the last of them."""

from collections.abc import Mapping, Sequence

import structlog

from loyalnest.admin_core import export_repository, saga, telling
from loyalnest.admin_core import request_repository as repository
from loyalnest.admin_core.details import Keys, details_of, keys_of
from loyalnest.admin_core.events import GdprKind, GdprRequestConfirmed
from loyalnest.admin_core.models import Confirmation, GdprRequest, Status
from loyalnest.admin_core.privacy_repository import SHOP_REDACTED
from loyalnest.admin_core.request_repository import Key
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox

log = structlog.get_logger(__name__)


class Confirmations:
    """The consumer of `gdpr_request.confirmed`. participants: who has to confirm."""

    def __init__(
        self, database: Database, outbox: Outbox, keys: KeyRing, clock: Clock, participants: Sequence[str]
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._clock = clock
        self._participants = participants

    async def handle(self, events: Sequence[Event]) -> None:
        """Note a batch of confirmations, and complete the requests that nobody is missing from."""
        said = {event.id: GdprRequestConfirmed.read(event) for event in events}
        keys = await keys_of(
            self._keys,
            (event.merchant_id for event in events if said[event.id].kind is not GdprKind.SHOP_REDACT),
        )
        async with self._database.worker() as connection:
            new = await take_new(connection, self._database.schema, events)
            asked = [((event.merchant_id, said[event.id].request_id), said[event.id]) for event in new]
            requests = {_key(each): each for each in await repository.lock(connection, (key for key, _ in asked))}
            known = await repository.confirmations(connection, requests)
            changed: dict[tuple[Key, str], Confirmation] = {}
            for key, each in asked:
                if key not in requests:
                    log.warning("gdpr.unknown_request", merchant_id=key[0], service=each.service)
                    continue
                before = known[key].get(each.service)
                after = saga.confirmed(before, each)
                if after != before:
                    known[key][each.service] = changed[key, each.service] = after
            await repository.store_confirmations(connection, [(key, each) for (key, _), each in changed.items()])
            parts = [(key, each) for key, each in asked if _is_wanted(requests.get(key), each)]
            await export_repository.insert(connection, parts)
            # A redaction that looks at an earlier moment would not see these parts: changing the row, even to what it
            # is, makes PostgreSQL begin the redaction again.
            await repository.update(connection, [requests[key] for key in {key for key, _ in parts}])
            told = self._told(requests, changed)
            told += await self.complete(connection, list(requests.values()), known, keys)
            await self._outbox.append(connection, told)

    def _told(
        self, requests: Mapping[Key, GdprRequest], changed: Mapping[tuple[Key, str], Confirmation]
    ) -> list[Event]:
        now = self._clock()
        return [
            telling.audited(
                requests[key],
                "gdpr.confirmed",
                now,
                actor=service,
                **{f"count.{name}": str(count) for name, count in each.counts.items()},
            )
            for (key, service), each in changed.items()
            if each.confirmed_at is not None
        ]

    async def complete(
        self,
        connection: Connection,
        requests: Sequence[GdprRequest],
        known: Mapping[Key, Mapping[str, Confirmation]],
        keys: Keys,
    ) -> list[Event]:
        """End those of these locked requests that everybody has confirmed; the events that say so."""
        now, done, told = self._clock(), list[GdprRequest](), list[Event]()
        for request in requests:
            waited_for = saga.missing(self._participants, known[_key(request)].values())
            if saga.next_step(request, waited_for, now) is not saga.Step.COMPLETE:
                continue
            ended = saga.ended(request, Status.COMPLETED, now)
            details = details_of(request, keys.get(request.merchant_id))
            done.append(ended)
            told.append(telling.completed(ended, None if details is None else details.customer_id, now))
            told.append(telling.audited(ended, "gdpr.completed", now, actor="admin_core"))
        await repository.update(connection, done)
        shops = [each.merchant_id for each in done if each.kind is GdprKind.SHOP_REDACT]
        for covered in await repository.cancel_customers(connection, shops, SHOP_REDACTED, now):
            told.append(telling.audited(covered, "gdpr.cancelled", now, actor="admin_core"))
        return told


def _key(request: GdprRequest) -> Key:
    return request.merchant_id, request.request_id


def _is_wanted(request: GdprRequest | None, said: GdprRequestConfirmed) -> bool:
    """Whether the part of an export is kept: its request waits for it, and there is something in it."""
    return (
        request is not None
        and request.status is Status.OPEN
        and request.kind is GdprKind.CUSTOMER_DATA
        and bool(said.sealed)
    )
