"""Use cases about GDPR requests: an admin makes, lists and looks at them, and the platform tells them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from loyalnest.admin_core import request_repository as repository
from loyalnest.admin_core import saga, telling
from loyalnest.admin_core.details import Details, details_of, keys_of, sealed
from loyalnest.admin_core.events import GdprKind
from loyalnest.admin_core.models import Confirmation, GdprRequest, Source, Status
from loyalnest.admin_core.shops import InstalledAt
from loyalnest.admin_core.subjects import customer_hash
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.database import Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after

MAX_REASON = 500
MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A request as it is shown. details: None where it is of no customer, or of one who can be named no more."""

    request: GdprRequest
    details: Details | None
    confirmations: Sequence[Confirmation] = ()


class GdprRequests:
    """The GDPR requests of every merchant. participants: the services that have to confirm."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: KeyRing,
        installed_at: InstalledAt,
        clock: Clock,
        participants: Sequence[str],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._installed_at = installed_at
        self._clock = clock
        self._participants = participants

    async def create(self, merchant_id: str, kind: str, customer_id: int, reason: str, key: str) -> Shown:
        """Make a request, once per `key`, and tell the services.

        Raises InvalidInput, Conflict for a key that was used differently, PreconditionFailed for a shop that has the
        app installed, or is redacted already.
        """
        wanted, reason = _checked(kind, customer_id, reason, key)
        keys = (await keys_of(self._keys, [merchant_id]))[merchant_id]
        if wanted is GdprKind.SHOP_REDACT:
            return await self._create_of_shop(merchant_id, reason, key)
        if keys is None:
            raise PreconditionFailed("This shop was redacted: nothing about its customers is left.")
        request = self._new(merchant_id, wanted, key, "", keys, Details(customer_id=customer_id, reason=reason))
        async with self._database.request(merchant_id) as connection:
            if await repository.insert(connection, [request]):
                await self._outbox.append(connection, self._told(request, customer_id))
            stored = await repository.by_source_key(connection, merchant_id, request.source_key)
        assert stored is not None
        if (stored.kind, stored.customer_hash) != (wanted, request.customer_hash):
            raise _used(key)
        return await self.get(merchant_id, stored.request_id)

    async def _create_of_shop(self, merchant_id: str, reason: str, key: str) -> Shown:
        installed_at = await self._installed_at(merchant_id)
        request = self._new(merchant_id, GdprKind.SHOP_REDACT, key, reason)
        async with self._database.request(merchant_id) as connection:
            known = (await repository.lock_installations(connection, [merchant_id]))[merchant_id]
            known = saga.installed(known, installed_at)
            stored = await repository.by_source_key(connection, merchant_id, request.source_key)
            if stored is None:
                if known.uninstalled_at is None or saga.reinstalled(known, request.requested_at):
                    raise PreconditionFailed("The shop has the app installed: it must uninstall it first.")
                if saga.covers(await repository.of_shop(connection, merchant_id), known):
                    raise PreconditionFailed("The redaction of this shop is scheduled, under way or done already.")
                await repository.insert(connection, [request])
                await self._outbox.append(connection, self._told(request, None))
        if stored is not None and stored.kind is not GdprKind.SHOP_REDACT:
            raise _used(key)
        return await self.get(merchant_id, (stored or request).request_id)

    async def listed(
        self, merchant_id: str, status: str, kind: str, page_size: int, page_token: str
    ) -> tuple[list[Shown], str]:
        """A page of requests, newest first, and the next page's token. Empty words stand for any."""
        limit, before = page_limit(page_size), uuid_after(page_token)
        for word, words in ((status, Status), (kind, GdprKind)):
            if word and word not in list(words):
                raise InvalidInput(f"{word[:40]!r} is none of {', '.join(words)}.")
        keys = (await keys_of(self._keys, [merchant_id]))[merchant_id]
        async with self._database.request(merchant_id) as connection:
            found = await repository.listed(connection, merchant_id, status, kind, before, limit + 1)
        shown = [Shown(each, details_of(each, keys)) for each in found]
        return page_of(shown, limit, lambda each: each.request.request_id)

    async def get(self, merchant_id: str, request_id: UUID) -> Shown:
        """A request with what each service said, and those that have not said anything yet. Raises NotFound."""
        keys = (await keys_of(self._keys, [merchant_id]))[merchant_id]
        async with self._database.request(merchant_id) as connection:
            found = await repository.get(connection, merchant_id, request_id)
            if found is None:
                raise NotFound(f"No GDPR request {request_id} is known.")
            said = (await repository.confirmations(connection, [(merchant_id, request_id)]))[merchant_id, request_id]
        if found.status is Status.OPEN:
            nothing = {name: Confirmation(name, 0, (), {}, None) for name in self._participants}
            said = nothing | said
        return Shown(found, details_of(found, keys), [said[name] for name in sorted(said)])

    async def replay(self, merchant_id: str, since: datetime) -> int:
        """Tell of the merchant's redactions again that were told since a time. Returns how many.

        A service that did one already does nothing; one that was restored from a backup does it again. A shop that
        came back since is left alone: what its redaction left unreadable stays so.
        """
        keys = (await keys_of(self._keys, [merchant_id]))[merchant_id]
        installed_at = await self._installed_at(merchant_id)
        async with self._database.request(merchant_id) as connection:
            known = (await repository.lock_installations(connection, [merchant_id]))[merchant_id]
            known = saga.installed(known, installed_at)
            events = [
                event
                for each in await repository.told_since(connection, merchant_id, since)
                for event in self._again(each, details_of(each, keys), saga.covers([each], known) is not None)
            ]
            await self._outbox.append(connection, events)
        return sum(event.topic == "gdpr_request.created" for event in events)

    def _again(self, request: GdprRequest, details: Details | None, stands: bool) -> list[Event]:
        now = self._clock()
        of_shop = request.kind is GdprKind.SHOP_REDACT
        if (of_shop and not stands) or (not of_shop and details is None):
            return []
        customer_id = None if details is None else details.customer_id
        told = [telling.created(request, customer_id), telling.audited(request, "gdpr.replayed", now)]
        if of_shop and request.status is Status.COMPLETED:  # the merchant's keys may be back, too
            told.append(telling.completed(request, None, now))
        return told

    def _new(
        self,
        merchant_id: str,
        kind: GdprKind,
        key: str,
        reason: str,
        keys: MerchantKeys | None = None,
        details: Details | None = None,
    ) -> GdprRequest:
        """An admin's request, told as of now."""
        now = self._clock()
        request = GdprRequest(
            merchant_id=merchant_id,
            request_id=new_id(),
            kind=kind,
            source=Source.ADMIN,
            source_key=f"admin:{key}",
            status=Status.OPEN,
            reason=reason,
            customer_sealed=None if keys is None or details is None else sealed(keys, details),
            customer_hash=None
            if keys is None or details is None
            else customer_hash(keys.index_key, details.customer_id),
            requested_by=current().actor,
            requested_at=now,
            starts_at=now,
            due_at=now + saga.TIME_TO_DO,
        )
        return saga.told(request, now)

    def _told(self, request: GdprRequest, customer_id: int | None) -> list[Event]:
        return [
            telling.audited(request, "gdpr.requested", request.requested_at),
            telling.created(request, customer_id),
        ]


def _checked(kind: str, customer_id: int, reason: str, key: str) -> tuple[GdprKind, str]:
    try:
        wanted = GdprKind(kind)
    except ValueError:
        raise InvalidInput(f"A GDPR request is one of {', '.join(GdprKind)}.") from None
    if (wanted is GdprKind.SHOP_REDACT) != (customer_id == 0) or customer_id < 0:
        raise InvalidInput("A request of a customer needs Shopify's numeric customer id, one of a shop none.")
    if not reason.strip() or len(reason) > MAX_REASON:
        raise InvalidInput(f"A GDPR request needs a reason of 1 to {MAX_REASON} characters.")
    if not key or len(key) > MAX_KEY or "\0" in key:
        raise InvalidInput(f"A GDPR request needs an idempotency key of 1 to {MAX_KEY} characters.")
    return wanted, reason.strip().replace("\0", "")


def _used(key: str) -> Conflict:
    return Conflict(f"The idempotency key {key!r} was used for another request.")
