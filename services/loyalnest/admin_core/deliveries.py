"""Shopify's deliveries that ask for something: the compliance topics, and that the app was uninstalled.

See "Privacy law compliance" on shopify.dev for the topics and their bodies. Every other topic is passed over unread.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
import structlog

from loyalnest.admin_core import request_repository as repository
from loyalnest.admin_core import saga, telling
from loyalnest.admin_core.details import Details, Keys, keys_of, sealed
from loyalnest.admin_core.events import GdprKind
from loyalnest.admin_core.models import GdprRequest, Installation, Source, Status
from loyalnest.admin_core.shops import InstalledAt
from loyalnest.admin_core.subjects import customer_hash
from loyalnest.api_gateway.events import BODY_PURPOSE, WebhookReceived
from loyalnest.auth.events import MerchantInstalled
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox

log = structlog.get_logger(__name__)

CUSTOMER_TOPICS = {
    "customers/data_request": GdprKind.CUSTOMER_DATA,
    "customers/redact": GdprKind.CUSTOMER_REDACT,
}
SHOP_REDACT = "shop/redact"
UNINSTALLED = "app/uninstalled"
_TOPICS = {*CUSTOMER_TOPICS, SHOP_REDACT, UNINSTALLED}

SHOPIFY = "shopify"
"""The actor of what a delivery brings about."""
CAME_BACK = "The shop installed the app again after the uninstallation that this redaction is of."


class _Customer(msgspec.Struct, frozen=True):
    id: int


class _DataRequest(msgspec.Struct, frozen=True):
    id: int


class _Body(msgspec.Struct, frozen=True):
    """What is read of a customer's delivery; Shopify's ids are positive numbers."""

    customer: _Customer
    data_request: _DataRequest | None = None


_body_decoder = msgspec.json.Decoder(_Body, strict=False)


class Deliveries:
    """The consumers of `webhook.received` and `merchant.installed`."""

    def __init__(
        self, database: Database, outbox: Outbox, keys: KeyRing, installed_at: InstalledAt, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._installed_at = installed_at
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Record what a batch of deliveries asks for, once, and tell the services."""
        read = {event.id: WebhookReceived.read(event) for event in events}
        asking = [event for event in events if read[event.id].shopify_topic in _TOPICS]
        if not asking:
            return
        of_customers = [event for event in asking if read[event.id].shopify_topic in CUSTOMER_TOPICS]
        keys = await keys_of(self._keys, (event.merchant_id for event in of_customers))
        bodies = {event.id: await self._body(event, read[event.id], keys) for event in of_customers}
        of_shops = {event.merchant_id for event in asking if event.id not in bodies}
        installed = {merchant_id: await self._installed_at(merchant_id) for merchant_id in sorted(of_shops)}
        async with self._database.worker() as connection:
            new = await take_new(connection, self._database.schema, asking)
            customers, told = [], list[Event]()
            known = await repository.lock_installations(connection, installed)
            known = {shop: saga.installed(each, installed[shop]) for shop, each in known.items()}
            for event in new:
                said, body = read[event.id], bodies.get(event.id)
                at = said.triggered_at or event.occurred_at
                if event.id in bodies:
                    customers.append((_of_customer(event, said, body, keys[event.merchant_id], at), body))
                elif said.shopify_topic == UNINSTALLED:
                    told += await self._uninstalled(connection, event, said, at, known)
                else:
                    told += await self._shop(connection, event, said, at, known[event.merchant_id])
            await repository.store_installations(connection, known)
            told += await self._tell_of_customers(connection, customers)
            await self._outbox.append(connection, told)

    async def _body(self, event: Event, said: WebhookReceived, keys: Keys) -> _Body | None:
        """What a customer's delivery says; None once nobody can read it. Raises InvalidInput if it names no customer.

        A body that is not as Shopify writes it becomes a dead letter, which raises an alert: a person has to look.
        """
        if keys[event.merchant_id] is None:
            return None
        plain = await self._keys.open(event.merchant_id, BODY_PURPOSE, said.sealed)
        try:
            body = _body_decoder.decode(plain)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"{said.shopify_topic} {said.delivery_id}: {error}") from None
        if body.customer.id <= 0:
            raise InvalidInput(f"{said.shopify_topic} {said.delivery_id} names no customer.")
        return body

    async def _tell_of_customers(
        self, connection: Connection, asked: Sequence[tuple[GdprRequest, _Body | None]]
    ) -> list[Event]:
        """Write customers' requests; the events of those that are new."""
        now = self._clock()
        requests = [
            (saga.told(each, now) if body else saga.ended(each, Status.REFUSED, now), body) for each, body in asked
        ]
        made = await repository.insert(connection, [request for request, _ in requests])
        told: list[Event] = []
        for request, body in requests:
            if (request.merchant_id, request.request_id) in made:
                told.append(telling.audited(request, "gdpr.requested", now, actor=SHOPIFY))
                told += [telling.created(request, body.customer.id)] if body else []
        return told

    async def _uninstalled(
        self, connection: Connection, event: Event, said: WebhookReceived, at: datetime, known: dict[str, Installation]
    ) -> list[Event]:
        """Schedule the shop's redaction, unless this is about an installation that another has followed."""
        before = known[event.merchant_id]
        if before.installed_at is not None and at <= before.installed_at:
            return []
        known[event.merchant_id] = replace(before, uninstalled_at=max(at, before.uninstalled_at or at))
        if saga.covers(await repository.of_shop(connection, event.merchant_id), before):
            return []
        request = _of_shop(event, said, at, Source.UNINSTALL, starts_at=at + saga.GRACE)
        return await self._insert(connection, request, "gdpr.scheduled")

    async def _shop(
        self, connection: Connection, event: Event, said: WebhookReceived, at: datetime, known: Installation
    ) -> list[Event]:
        """Redact the shop now: the scheduled request, if there is one, else a new one."""
        now = self._clock()
        if saga.reinstalled(known, at):
            log.warning("gdpr.refused", merchant_id=event.merchant_id, why=CAME_BACK)
            refused = saga.ended(
                _of_shop(event, said, at, Source.SHOPIFY, starts_at=at), Status.REFUSED, now, CAME_BACK
            )
            return await self._insert(connection, refused, "gdpr.refused")
        same = saga.covers(await repository.of_shop(connection, event.merchant_id), known)
        if same is None:
            request = saga.told(_of_shop(event, said, at, Source.SHOPIFY, starts_at=at), now)
            made = await self._insert(connection, request, "gdpr.requested")
            return [*made, telling.created(request, None)] if made else []
        if same.status is not Status.SCHEDULED:
            return []
        begun = saga.told(replace(same, starts_at=at, due_at=at + saga.TIME_TO_DO), now)
        await repository.update(connection, [begun])
        return [telling.audited(begun, "gdpr.requested", now, actor=SHOPIFY), telling.created(begun, None)]

    async def _insert(self, connection: Connection, request: GdprRequest, action: str) -> list[Event]:
        made = await repository.insert(connection, [request])
        return [telling.audited(request, action, self._clock(), actor=SHOPIFY)] if made else []

    async def installed(self, events: Sequence[Event]) -> None:
        """Cancel the redactions that were scheduled when these shops left. What has begun goes on to its end."""
        async with self._database.worker() as connection:
            new = await take_new(connection, self._database.schema, events)
            known = await repository.lock_installations(connection, (event.merchant_id for event in new))
            now, told = self._clock(), list[Event]()
            for event in new:
                at = MerchantInstalled.read(event).installed_at
                before = known[event.merchant_id]
                known[event.merchant_id] = saga.installed(before, at)
                for request in await repository.of_shop(connection, event.merchant_id):
                    if request.status is Status.SCHEDULED and request.requested_at < at:
                        cancelled = saga.ended(request, Status.CANCELLED, now, CAME_BACK)
                        await repository.update(connection, [cancelled])
                        told.append(telling.audited(cancelled, "gdpr.cancelled", now, actor=SHOPIFY))
            await repository.store_installations(connection, known)
            await self._outbox.append(connection, told)


def _of_customer(
    event: Event, said: WebhookReceived, body: _Body | None, keys: MerchantKeys | None, at: datetime
) -> GdprRequest:
    """The request that a customer's delivery makes. Shopify numbers requests for data, so those keep their number."""
    key = f"shopify:{said.delivery_id}"
    if body is not None and body.data_request is not None:
        key = f"data_request:{body.data_request.id}"
    request = _request(event, CUSTOMER_TOPICS[said.shopify_topic], Source.SHOPIFY, key, at, at)
    if body is None or keys is None:
        return replace(request, reason="This shop was redacted: of whom this was, nothing is left.")
    return replace(
        request,
        customer_sealed=sealed(keys, Details(customer_id=body.customer.id)),
        customer_hash=customer_hash(keys.index_key, body.customer.id),
    )


def _of_shop(event: Event, said: WebhookReceived, at: datetime, source: Source, starts_at: datetime) -> GdprRequest:
    return _request(event, GdprKind.SHOP_REDACT, source, f"shopify:{said.delivery_id}", at, starts_at)


def _request(
    event: Event, kind: GdprKind, source: Source, source_key: str, at: datetime, starts_at: datetime
) -> GdprRequest:
    return GdprRequest(
        merchant_id=event.merchant_id,
        request_id=new_id(),
        kind=kind,
        source=source,
        source_key=source_key,
        status=Status.SCHEDULED,
        reason="",
        customer_sealed=None,
        customer_hash=None,
        requested_by=SHOPIFY,
        requested_at=at,
        starts_at=starts_at,
        due_at=starts_at + saga.TIME_TO_DO,
    )
