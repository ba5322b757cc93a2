"""The audit log: fed by what every service tells, read by admins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from loyalnest.admin_core import audit_repository as repository
from loyalnest.admin_core import subjects
from loyalnest.admin_core.audit_repository import CustomerKey, Filter
from loyalnest.admin_core.chain import Check, Head, Problem, Row, hash_of
from loyalnest.admin_core.events import AuditLog
from loyalnest.admin_core.subjects import Personal, Subject
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import NotFound
from loyalnest.kit.events import Event
from loyalnest.kit.paging import number_after, page_limit, page_of

GONE = "customer:redacted"
"""Stands where a customer was named who had been redacted when the entry came."""

Keys = Mapping[str, MerchantKeys | None]
"""The keys of merchants; None once they are destroyed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is shown. redacted: what it said of customers can be read no more."""

    row: Row
    hash: bytes
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    """An event to be entered, and the customers that it names."""

    event: Event
    said: AuditLog
    personal: Personal
    customers: Sequence[CustomerKey]


class AuditTrail:
    """The audit log of every merchant."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    async def handle(self, events: Sequence[Event]) -> None:
        """Enter a batch of `audit_log` events, each once, in the order in which they come."""
        read = [(event, AuditLog.read(event)) for event in events]
        naming = {event.merchant_id for event, said in read if subjects.customers_named(_personal(said))}
        keys = {merchant_id: await self._keys_of(merchant_id) for merchant_id in sorted(naming)}
        told = [_told(event, said, keys) for event, said in read]
        async with self._database.worker() as connection:
            heads = await repository.lock_heads(connection, (each.event.merchant_id for each in told))
            new = await self._new(connection, told)
            if not new:
                return
            # Of whom an entry is about the time before the redaction, nothing is written down any more.
            gone = await repository.redacted_at(connection, _customers(new))
            late = {each.event.id for each in new if any(each.said.at <= gone[c] for c in each.customers if c in gone)}
            kept = [each for each in new if each.event.id not in late]
            salted = await repository.subjects_of(connection, _customers(kept))
            rows: list[tuple[Row, bytes]] = []
            for each in new:
                merchant_id = each.event.merchant_id
                named = [salted[customer] for customer in each.customers if customer in salted]
                row = _row(each, heads[merchant_id].sequence + 1, named, keys.get(merchant_id), each.event.id in late)
                hashed = hash_of(row, heads[merchant_id].hash)
                heads[merchant_id] = Head(row.sequence, hashed)
                rows.append((row, hashed))
            await repository.insert(connection, rows, heads)

    async def _new(self, connection: Connection, told: Sequence[_Told]) -> list[_Told]:
        """Those that have no entry yet, each once. An entry's event id stays in the log, so no inbox is needed."""
        known = await repository.known_events(connection, [(each.event.merchant_id, each.event.id) for each in told])
        by_id = {(each.event.merchant_id, each.event.id): each for each in reversed(told)}
        return [
            each
            for each in told
            if (each.event.merchant_id, each.event.id) not in known
            and by_id[each.event.merchant_id, each.event.id] is each
        ]

    async def listed(
        self, merchant_id: str, wanted: Filter, customer_id: int, page_size: int, page_token: str
    ) -> tuple[list[Entry], str]:
        """A page of entries, newest first, and the next page's token. customer_id: whom they name; 0 for anybody."""
        limit, before = page_limit(page_size), number_after(page_token)
        keys = await self._keys_of(merchant_id)
        async with self._database.request(merchant_id) as connection:
            if customer_id:
                subject = keys and await repository.subject_of(
                    connection, merchant_id, subjects.customer_hash(keys.index_key, customer_id)
                )
                if not subject:
                    return [], ""
                wanted = replace(wanted, customer=subject.subject_id)
            rows = await repository.listed(connection, merchant_id, wanted, before, limit + 1)
            entries = await opened(connection, merchant_id, rows, keys)
        return page_of(entries, limit, lambda entry: entry.row.sequence)

    async def verify(self, merchant_id: str, anchor: Head | None = None) -> tuple[Head, list[Problem]]:
        """Prove the merchant's chain. Returns where it ends, and what is wrong with it.

        anchor: where it ended when it was proven before.
        """
        check = Check(anchor)
        async with self._database.request(merchant_id, snapshot=True) as connection:
            head = await repository.head(connection, merchant_id)
            while rows := await repository.page(connection, merchant_id, check.end.sequence):
                check.follow(rows)
        check.finish(head)
        return check.end, check.problems

    async def _keys_of(self, merchant_id: str) -> MerchantKeys | None:
        try:
            return await self._keys.for_merchant(merchant_id)
        except NotFound:
            return None


async def opened(
    connection: Connection, merchant_id: str, rows: Sequence[tuple[Row, bytes]], keys: MerchantKeys | None
) -> list[Entry]:
    """Stored rows as they are shown: with what is sealed, as far as it can be read still."""
    ids = sorted({subject_id for row, _ in rows for subject_id in row.subjects})
    salted = await repository.subjects_named(connection, merchant_id, ids) if ids else {}
    return [_entry(row, hashed, salted, keys) for row, hashed in rows]


def _entry(row: Row, hashed: bytes, salted: Mapping[UUID, Subject], keys: MerchantKeys | None) -> Entry:
    if not row.subjects:
        return Entry(row, hashed, redacted=row.subject == GONE)
    named = [salted[subject_id] for subject_id in row.subjects if subject_id in salted]
    personal = None
    if keys is not None and len(named) == len(row.subjects):
        personal = subjects.open_personal(keys, named, row.event_id, row.sealed)
    if personal is None:
        return Entry(row, hashed, redacted=True)
    shown = replace(row, actor=personal.actor, subject=personal.subject, before=personal.before, after=personal.after)
    return Entry(shown, hashed)


def _personal(said: AuditLog) -> Personal:
    return Personal(_clean(said.actor), _clean(said.subject), _fields(said.before), _fields(said.after))


def _told(event: Event, said: AuditLog, keys: Keys) -> _Told:
    personal, merchant = _personal(said), keys.get(event.merchant_id)
    named = subjects.customers_named(personal)
    hashes = (
        [] if merchant is None else [subjects.customer_hash(merchant.index_key, customer_id) for customer_id in named]
    )
    return _Told(event, said, personal, [(event.merchant_id, each) for each in hashes])


def _row(told: _Told, sequence: int, named: Sequence[Subject], keys: MerchantKeys | None, late: bool) -> Row:
    """The row of an event. What names customers is sealed; or left out, if they or the shop are redacted already."""
    said, personal, merchant_id = told.said, told.personal, told.event.merchant_id
    row = Row(
        merchant_id=merchant_id,
        sequence=sequence,
        event_id=told.event.id,
        at=said.at,
        actor=personal.actor,
        role=_clean(said.role),
        action=_clean(said.action),
        subject=personal.subject,
        before=personal.before,
        after=personal.after,
    )
    if not subjects.customers_named(personal):
        return row
    if late or keys is None:
        return replace(row, actor=_without(personal.actor, GONE), subject=GONE, before={}, after={})
    stand_in = subjects.hidden(named[0])
    return replace(
        row,
        actor=_without(personal.actor, stand_in),
        subject=_without(personal.subject, stand_in),
        before={},
        after={},
        subjects=tuple(subject.subject_id for subject in named),
        sealed=subjects.seal_personal(keys, named, told.event.id, personal),
    )


def _without(text: str, stand_in: str) -> str:
    """The text, unless it names a customer."""
    return stand_in if subjects.customers_named(Personal("", text, {}, {})) else text


def _customers(told: Iterable[_Told]) -> list[CustomerKey]:
    return [customer for each in told for customer in each.customers]


def _clean(text: str) -> str:
    """Text that PostgreSQL can hold."""
    return text.replace("\0", "\ufffd")


def _fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {_clean(name): _clean(text) for name, text in fields.items()}
