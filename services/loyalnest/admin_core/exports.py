"""The file that a request for data brings together: read piece by piece, by an admin who says why.

It is one JSON document with what each service holds. The pieces stay sealed as the services sent them, and are put
together only on their way out, so that a large one never stands in memory, and nothing is ever stored in the clear.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid5

from loyalnest.admin_core import export_repository, request_repository
from loyalnest.admin_core.details import details_of, keys_of
from loyalnest.admin_core.events import AuditLog
from loyalnest.admin_core.models import GdprRequest
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.database import Database
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import number_after
from loyalnest.kit.privacy import open_export_part

MAX_REASON = 500
_READINGS = UUID("8a6f1b52-5d0c-5a34-9a0e-2a1c7f7f9d11")


class Exports:
    """Gives out what requests for data have brought together."""

    def __init__(self, database: Database, outbox: Outbox, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._clock = clock

    async def read(self, merchant_id: str, request_id: UUID, reason: str, page_token: str) -> tuple[bytes, str]:
        """A piece of the file, and the token of the next one (empty at the end).

        Every piece is audited under one event's id for an hour, so the log has one entry and no piece goes without.
        Raises NotFound, and PreconditionFailed before the file is complete and once its time is over.
        """
        number = number_after(page_token)
        if not reason.strip() or len(reason) > MAX_REASON:
            raise InvalidInput(f"Say why you read this, in 1 to {MAX_REASON} characters: it stands in the audit log.")
        keys = (await keys_of(self._keys, [merchant_id]))[merchant_id]
        async with self._database.request(merchant_id) as connection:
            request = await request_repository.get(connection, merchant_id, request_id)
            if request is None:
                raise NotFound(f"No GDPR request {request_id} is known.")
            now = self._clock()
            _check_readable(request, now)
            if keys is None or (details := details_of(request, keys)) is None:
                raise PreconditionFailed("This shop was redacted: its exports cannot be read any more.")
            names = await export_repository.names(connection, merchant_id, request_id)
            if number > max(len(names) - 1, 0):
                raise InvalidInput("page_token is not one that this export gave out.")
            sealed = b""
            if names:
                sealed = await export_repository.part(connection, merchant_id, request_id, *names[number]) or b""
            await self._outbox.append(connection, [self._audited(request, reason.strip(), details.customer_id, now)])
        data = _frame(request, details.customer_id, names, number, _opened(keys, request_id, names, number, sealed))
        return data, str(number + 1) if number + 1 < len(names) else ""

    def _audited(self, request: GdprRequest, reason: str, customer_id: int, now: datetime) -> Event:
        context = current()
        said = AuditLog(
            actor=context.actor,
            role=context.role,
            action="gdpr.export_read",
            subject=f"gdpr_request:{request.request_id}",
            before={},
            after={"reason": reason, "customer_id": str(customer_id)},
            at=now,
        )
        name = f"{request.merchant_id}:{request.request_id}:{context.actor}:{now:%Y-%m-%dT%H}:{reason}"
        return said.event(request.merchant_id, str(request.request_id), id=uuid5(_READINGS, name))


def _check_readable(request: GdprRequest, now: datetime) -> None:
    if request.kind != "customer_data":
        raise PreconditionFailed("Only a request for a customer's data brings a file together.")
    if request.ended_at is None:
        raise PreconditionFailed("Not every service has confirmed yet: the file is not complete.")
    if request.export_until is None or request.export_until <= now:
        raise PreconditionFailed("There is no file any more; make another request for this customer's data.")


def _opened(keys: MerchantKeys, request_id: UUID, names: list[tuple[str, int]], number: int, sealed: bytes) -> bytes:
    return open_export_part(keys, request_id, *names[number], sealed) if names else b""


def _frame(request: GdprRequest, customer_id: int, names: list[tuple[str, int]], number: int, part: bytes) -> bytes:
    """A part with what stands around it in the document: the beginning before the first, and so on."""
    before = after = b""
    if number == 0:
        about = {
            "merchant": request.merchant_id,
            "request_id": str(request.request_id),
            "customer_id": str(customer_id),
            "requested_at": request.requested_at.isoformat(),
        }
        before = msgspec.json.encode(about)[:-1] + b',"services":{'
    if names:
        service, piece = names[number]
        if piece == 1:
            before += (b"," if number else b"") + msgspec.json.encode(service) + b":"
    if number + 1 >= len(names):
        after = b"}}"
    return before + part + after
