"""Privacy requests: what every service does that keeps something about customers.

A request is done in steps, each a short transaction that notes how far it is: killed anywhere, it goes on from there.
The last step also writes the confirmation into the outbox. A request is done once, by its id, however often and under
however many events' ids it is told. After a restore from a backup, being told again does it again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.envelope import new_key
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.crypto.lookup import pseudonym
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import NotFound, PreconditionFailed
from loyalnest.kit.events import Event, Payload
from loyalnest.kit.outbox import Outbox

EXPORT_PART_BYTES = 512 * 1024
"""Most plaintext that one confirmation carries, so that no bus refuses it."""

Counts = dict[str, int]
"""Rows by what they are."""

_encoder = msgspec.json.Encoder(decimal_format="string")


class Request(Protocol):
    """What is asked: admin_core's `GdprRequestCreated`, of which the kit cannot know."""

    @property
    def request_id(self) -> UUID:
        """The identity of the request."""

    @property
    def kind(self) -> str:
        """`customer_redact`, `customer_data` or `shop_redact`."""

    @property
    def customer_id(self) -> int | None:
        """None for `shop_redact` only."""

    def confirmed(
        self, service: str, counts: Counts, at: datetime, *, sealed: bytes = b"", part: int = 1, parts: int = 1
    ) -> Payload:
        """The confirmation of one part."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """One step of a redaction. at: the moment of it; index_key: of the merchant, for pseudonyms."""

    request_id: UUID
    merchant_id: str
    at: datetime
    index_key: bytes

    def pseudonym(self, customer_id: int) -> int:
        """The number that stands for the customer from now on: see `loyalnest.kit.crypto.lookup.pseudonym`."""
        return pseudonym(self.index_key, self.request_id, customer_id)


class Keeper(Protocol):
    """What a service does with what it keeps about customers, in the worker's transaction that it is given.

    The transaction sees everything as of one moment, and is tried again if another changes what it changes.
    """

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Redact one customer; one who is unknown counts nothing."""

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """Redact some more of the merchant's customers. Returns nothing once none is left."""

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """Everything that is held about a customer, as rows that JSON can carry, by what they are."""


class PrivacyRequests:
    """The consumer of `gdpr_request.created`. `read` gives an event's request."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: KeyRing,
        clock: Clock,
        keeper: Keeper,
        read: Callable[[Event], Request],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._clock = clock
        self._keeper = keeper
        self._read = read

    async def handle(self, events: Sequence[Event]) -> None:
        """Do each request, in as many transactions as it takes; those that are done already do nothing."""
        for event in events:
            request = self._read(event)
            # Keys may have to be fetched from another process: not while a transaction holds rows and a connection.
            keys = await self._keys_of(event.merchant_id)
            # With destroyed keys nobody can tell a customer's number, so any key is as good.
            index_key = new_key() if keys is None else keys.index_key
            while not await self._step(event.merchant_id, request, keys, index_key):
                pass

    async def _keys_of(self, merchant_id: str) -> MerchantKeys | None:
        """The keys as they are stored now; None once they are destroyed. Raises Unavailable if they cannot be had."""
        try:
            return await self._keys.refresh(merchant_id)
        except NotFound:
            return None

    async def _step(self, merchant_id: str, request: Request, keys: MerchantKeys | None, index_key: bytes) -> bool:
        """Do one step. Returns whether the request is done."""
        schema = self._database.schema
        async with self._database.worker(snapshot=True) as connection:
            before = await _progress(connection, schema, merchant_id, request.request_id)
            if before is None:
                return True
            now = self._clock()
            if request.kind == "customer_data":
                did = await self._export(connection, merchant_id, request, keys)
            else:
                did = await self._redact(
                    connection, Redaction(request.request_id, merchant_id, now, index_key), request
                )
            counts = {name: before.get(name, 0) + did.counts.get(name, 0) for name in before | did.counts}
            await _note(connection, schema, merchant_id, request.request_id, counts, now if did.all else None)
            if did.all:
                parts = [
                    request.confirmed(schema, counts, now, sealed=sealed, part=part, parts=len(did.sealed))
                    for part, sealed in enumerate(did.sealed, 1)
                ]
                key = str(request.request_id)
                await self._outbox.append(connection, [part.event(merchant_id, key) for part in parts])
        return did.all

    async def _redact(self, connection: Connection, redaction: Redaction, request: Request) -> "_Did":
        if request.customer_id is not None:
            return _Did(await self._keeper.redact(connection, redaction, request.customer_id), all=True)
        counts = await self._keeper.redact_next(connection, redaction)
        return _Did(counts, all=not counts)

    async def _export(
        self, connection: Connection, merchant_id: str, request: Request, keys: MerchantKeys | None
    ) -> "_Did":
        assert request.customer_id is not None
        held = await self._keeper.held(connection, merchant_id, request.customer_id, keys)
        counts = {name: len(rows) for name, rows in held.items()}
        if not any(counts.values()):
            return _Did(counts, all=True)
        if keys is None:
            raise PreconditionFailed("This merchant's encryption keys were destroyed, so no export may leave here.")
        service = self._database.schema
        document = _encoder.encode({"service": service, "customer_id": str(request.customer_id), **held})
        pieces = [document[at : at + EXPORT_PART_BYTES] for at in range(0, len(document), EXPORT_PART_BYTES)]
        sealed = [keys.seal(_purpose(request.request_id, service, part), piece) for part, piece in enumerate(pieces, 1)]
        return _Did(counts, all=True, sealed=sealed)


@dataclass(frozen=True, slots=True)
class _Did:
    """What a step did. all: nothing is left to do; sealed: the parts of an export, one empty part for none."""

    counts: Counts
    all: bool
    sealed: Sequence[bytes] = (b"",)


def open_export(keys: MerchantKeys, request_id: UUID, service: str, parts: Sequence[bytes]) -> bytes:
    """The JSON document that a service exported, from the `sealed` of all its confirmations in their order.

    Raises SealError for a part that was damaged, or is of another request, service or place.
    """
    return b"".join(open_export_part(keys, request_id, service, part, each) for part, each in enumerate(parts, 1))


def open_export_part(keys: MerchantKeys, request_id: UUID, service: str, part: int, sealed: bytes) -> bytes:
    """The piece of such a document that one confirmation carried. Raises SealError as `open_export`."""
    return keys.open(_purpose(request_id, service, part), sealed)


def _purpose(request_id: UUID, service: str, part: int) -> str:
    return f"privacy.export:{request_id}:{service}:{part}"


async def _progress(connection: Connection, schema: str, merchant_id: str, request_id: UUID) -> Counts | None:
    """What was done of a request so far, locked until this step is over; None once all of it is."""
    await connection.execute(
        f"INSERT INTO {schema}.privacy_requests (merchant_id, request_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        merchant_id,
        request_id,
    )
    row = await connection.fetchrow(
        f"""
        SELECT counts, finished_at FROM {schema}.privacy_requests
        WHERE merchant_id = $1 AND request_id = $2 FOR UPDATE
        """,
        merchant_id,
        request_id,
    )
    assert row is not None
    return None if row["finished_at"] else msgspec.json.decode(row["counts"], type=Counts)


async def _note(
    connection: Connection,
    schema: str,
    merchant_id: str,
    request_id: UUID,
    counts: Counts,
    finished_at: datetime | None,
) -> None:
    await connection.execute(
        f"""
        UPDATE {schema}.privacy_requests SET counts = $3::jsonb, finished_at = $4
        WHERE merchant_id = $1 AND request_id = $2
        """,
        merchant_id,
        request_id,
        msgspec.json.encode(counts).decode(),
        finished_at,
    )
