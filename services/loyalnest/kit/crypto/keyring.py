"""A merchant's keys: fetched from where they are kept wrapped, unwrapped, and kept in memory for a short while.

Each merchant has data keys (versions; the highest seals) and one index key for keyed hashes. Destroying them makes
everything sealed under them unreadable, backups included: that is how a redacted shop is forgotten.
"""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog

from loyalnest.kit.crypto import envelope, lookup
from loyalnest.kit.crypto.envelope import DataKey, SealError, UnknownKeyVersion
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.errors import NotFound, Unavailable

log = structlog.get_logger(__name__)

TTL_SECONDS = 60.0
STALE_SECONDS = 3600.0
RETRY_SECONDS = 5.0
"""While the source is down, it is asked again this often per merchant."""

_NORMALISE: Mapping[str, Callable[[str], str]] = {"email": lookup.normalise_email, "phone": lookup.normalise_phone}


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One stored key. (merchant_id, purpose, version) is its identity and is bound into `wrapped`."""

    merchant_id: str
    purpose: Literal["data", "index"]
    version: int
    kek_id: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MerchantKeys:
    """The unwrapped keys of one merchant. `current` seals; `by_version` opens; `index_key` hashes."""

    merchant_id: str
    current: DataKey
    by_version: Mapping[int, DataKey]
    index_key: bytes = field(repr=False)

    def seal(self, purpose: str, plaintext: bytes) -> bytes:
        """`plaintext` sealed for this merchant and `purpose` (the column it is for: "core.customers.email")."""
        return envelope.seal(self.current, plaintext, context=envelope.binding(self.merchant_id, purpose))

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """What `seal` sealed for the same `purpose`.

        Raises UnknownKeyVersion if its key is newer than these (`KeyRing.open` fetches it) or destroyed, SealError
        if it was tampered with or belongs elsewhere.
        """
        return envelope.open_sealed(self.by_version, sealed, context=envelope.binding(self.merchant_id, purpose))

    def hash(self, kind: str, value: str) -> bytes:
        """The 32-byte keyed hash by which `value` is found. Kinds "email" and "phone" are normalised first."""
        normalise = _NORMALISE.get(kind)
        return lookup.lookup_hash(self.index_key, kind, normalise(value) if normalise else value)


Source = Callable[[str], Awaitable[Sequence[WrappedKey]]]
"""Gives a merchant's stored keys, none if they were destroyed. Raises Unavailable if it cannot tell.

It runs outside the caller's context (no merchant, no deadline): it limits its own time."""


@dataclass(slots=True)
class _Entry:
    keys: MerchantKeys
    fetched: float  # on the monotonic clock, as is the next
    ask_again: float


class KeyRing:
    """Keys by merchant, for one process and one event loop."""

    def __init__(
        self,
        source: Source,
        keks: KeyEncryptionKeys,
        ttl: float = TTL_SECONDS,
        *,
        stale: float = STALE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keys are fetched again after `ttl` seconds, and used for up to `stale` seconds while that fails."""
        self._source = source
        self._keks = keks
        self._ttl = ttl
        self._stale = stale
        self._monotonic = monotonic
        self._entries: dict[str, _Entry] = {}
        self._fetches: dict[str, asyncio.Task[MerchantKeys]] = {}

    async def for_merchant(self, merchant_id: str) -> MerchantKeys:
        """The merchant's keys, at most `ttl` seconds old unless the source is down.

        Raises NotFound if the merchant has none (unknown, or destroyed by a redaction), Unavailable if they cannot
        be had and are not at hand.
        """
        entry = self._entries.get(merchant_id)
        if entry is not None and self._monotonic() < entry.ask_again:
            return entry.keys
        try:
            return await self._fetch(merchant_id)
        except Unavailable:
            now = self._monotonic()
            entry = self._entries.get(merchant_id)  # a redaction may have forgotten it meanwhile
            if entry is None or now - entry.fetched > self._stale:
                raise
            entry.ask_again = now + min(RETRY_SECONDS, self._ttl)
            return entry.keys

    async def refresh(self, merchant_id: str) -> MerchantKeys:
        """The merchant's keys as they are stored now: by a fetch that began after this call.

        Raises as `for_merchant`, but never falls back on older keys.
        """
        if (under_way := self._fetches.get(merchant_id)) is not None:
            with suppress(Exception):  # it may have read the keys before the newest was stored
                await asyncio.shield(under_way)
        return await self._fetch(merchant_id)

    async def open(self, merchant_id: str, purpose: str, sealed: bytes) -> bytes:
        """`MerchantKeys.open`, fetching the keys once more for a version that is not at hand.

        Raises SealError, and as `for_merchant`.
        """
        keys = await self.for_merchant(merchant_id)
        try:
            return keys.open(purpose, sealed)
        except UnknownKeyVersion:
            return (await self.refresh(merchant_id)).open(purpose, sealed)

    async def open_if_kept(self, merchant_id: str, purpose: str, sealed: bytes) -> bytes | None:
        """As `open`; None if the key was destroyed, or if nothing was sealed. Raises SealError, Unavailable."""
        if not sealed:
            return None
        try:
            return await self.open(merchant_id, purpose, sealed)
        except (NotFound, UnknownKeyVersion) as error:
            log.warning("keys.unreadable", merchant_id=merchant_id, purpose=purpose, reason=type(error).__name__)
            return None

    def forget(self, merchant_id: str) -> None:
        """Drop the merchant's keys from memory: after a rotation, or when they were destroyed."""
        self._entries.pop(merchant_id, None)
        self._fetches.pop(merchant_id, None)  # one under way still answers its callers, but is not kept

    async def _fetch(self, merchant_id: str) -> MerchantKeys:
        fetch = self._fetches.get(merchant_id)
        if fetch is None:
            # in a context of its own: the first caller's deadline is not that of the others
            load = asyncio.create_task(self._load(merchant_id), context=contextvars.Context())
            fetch = self._fetches[merchant_id] = load
            fetch.add_done_callback(lambda done: self._store(merchant_id, done))
        return await asyncio.shield(fetch)  # one impatient caller must not take it from the others

    async def _load(self, merchant_id: str) -> MerchantKeys:
        rows = await self._source(merchant_id)
        if not rows:
            raise NotFound(
                f"Merchant {merchant_id!r} has no encryption keys: it is unknown here, or it was redacted and its "
                "personal data can no longer be read."
            )
        return unwrap_keys(merchant_id, rows, self._keks)

    def _store(self, merchant_id: str, done: "asyncio.Task[MerchantKeys]") -> None:
        error = None if done.cancelled() else done.exception()
        if self._fetches.get(merchant_id) is not done:
            return
        del self._fetches[merchant_id]
        if isinstance(error, NotFound):
            self._entries.pop(merchant_id, None)
        elif error is None and not done.cancelled():
            now = self._monotonic()
            self._entries[merchant_id] = _Entry(done.result(), now, now + self._ttl)


def new_merchant_keys(merchant_id: str, keks: KeyEncryptionKeys) -> list[WrappedKey]:
    """Fresh keys of a new merchant, wrapped: data version 1 and index version 1."""
    return [
        wrap_key(merchant_id, "data", 1, envelope.new_key(), keks),
        wrap_key(merchant_id, "index", 1, envelope.new_key(), keks),
    ]


def next_data_key(merchant_id: str, stored: Sequence[WrappedKey], keks: KeyEncryptionKeys) -> WrappedKey:
    """A fresh data key one version above those `stored`, for a rotation. Index keys are never rotated: hashes would
    have to be made anew from the plaintext.
    """
    version = max((row.version for row in stored if row.purpose == "data"), default=0) + 1
    return wrap_key(merchant_id, "data", version, envelope.new_key(), keks)


def next_keys(merchant_id: str, stored: Sequence[WrappedKey], keks: KeyEncryptionKeys) -> list[WrappedKey]:
    """Fresh keys of a merchant whose `stored` ones are destroyed, each a version above: what was sealed under the old
    ones then names a version that there is no more.
    """
    data, index = (max((row.version for row in stored if row.purpose == each), default=0) for each in ("data", "index"))
    return [
        wrap_key(merchant_id, "data", data + 1, envelope.new_key(), keks),
        wrap_key(merchant_id, "index", index + 1, envelope.new_key(), keks),
    ]


def rewrap(row: WrappedKey, keks: KeyEncryptionKeys, under: KeyEncryptionKeys | None = None) -> WrappedKey:
    """The same key wrapped under the newest of `under`, which are other key-encryption keys or, without them, `keks`.

    Raises Unavailable if the old one is not among `keks`.
    """
    kek_id, wrapped = (under or keks).wrap(_unwrap(row, keks), _context(row.merchant_id, row.purpose, row.version))
    return replace(row, kek_id=kek_id, wrapped=wrapped)


def wrap_key(
    merchant_id: str, purpose: Literal["data", "index"], version: int, key: bytes, keks: KeyEncryptionKeys
) -> WrappedKey:
    """`key` wrapped for storage."""
    kek_id, wrapped = keks.wrap(key, _context(merchant_id, purpose, version))
    return WrappedKey(merchant_id, purpose, version, kek_id, wrapped)


def unwrap_keys(merchant_id: str, rows: Sequence[WrappedKey], keks: KeyEncryptionKeys) -> MerchantKeys:
    """The keys that `rows` hold. Raises SealError if they are damaged, incomplete or another merchant's."""
    if any(row.merchant_id != merchant_id for row in rows):
        raise SealError(f"The source gave keys of another merchant than {merchant_id!r}.")
    data = {row.version: DataKey(row.version, _unwrap(row, keks)) for row in rows if row.purpose == "data"}
    index = max((row for row in rows if row.purpose == "index"), key=lambda row: row.version, default=None)
    if not data or index is None:
        raise SealError(f"The keys of merchant {merchant_id!r} are incomplete: a data key and an index key are needed.")
    return MerchantKeys(merchant_id, data[max(data)], data, _unwrap(index, keks))


def _unwrap(row: WrappedKey, keks: KeyEncryptionKeys) -> bytes:
    return keks.unwrap(row.kek_id, row.wrapped, _context(row.merchant_id, row.purpose, row.version))


def _context(merchant_id: str, purpose: str, version: int) -> bytes:
    return envelope.binding(merchant_id, purpose, str(version))
