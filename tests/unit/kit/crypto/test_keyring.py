"""A merchant's keys: bound to it, cached, shared, refreshed, forgotten."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.crypto.envelope import DataKey, SealError, UnknownKeyVersion, new_key
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import (
    KeyRing,
    MerchantKeys,
    WrappedKey,
    new_merchant_keys,
    next_data_key,
    rewrap,
    unwrap_keys,
)
from loyalnest.kit.errors import NotFound, Unavailable

KEKS = KeyEncryptionKeys([("new", new_key()), ("old", new_key())])


class Store:
    """Where keys are kept: rows in memory, which can be away or slow."""

    def __init__(self) -> None:
        self.rows: dict[str, list[WrappedKey]] = {"m1": new_merchant_keys("m1", KEKS)}
        self.fetches = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, merchant_id: str) -> Sequence[WrappedKey]:
        self.fetches += 1
        rows = list(self.rows.get(merchant_id, []))
        await self.gate.wait()
        if self.down:
            raise Unavailable("The store is away.")
        return rows

    def rotate(self) -> None:
        self.rows["m1"].append(next_data_key("m1", self.rows["m1"], KEKS))


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def keys_of(merchant_id: str) -> MerchantKeys:
    return unwrap_keys(merchant_id, new_merchant_keys(merchant_id, KEKS), KEKS)


@given(st.text(max_size=20), st.binary(max_size=100))
def test_what_a_merchant_seals_it_opens(purpose: str, plaintext: bytes) -> None:
    keys = keys_of("m1")
    assert keys.open(purpose, keys.seal(purpose, plaintext)) == plaintext


def test_a_value_cannot_be_moved_to_another_column_or_merchant() -> None:
    ours = keys_of("m1")
    theirs = replace(ours, merchant_id="m2")  # even if it held the same key
    sealed = ours.seal("core.customers.email", b"anna@example.com")
    for keys, purpose in ((ours, "core.customers.phone"), (theirs, "core.customers.email")):
        with pytest.raises(SealError):
            keys.open(purpose, sealed)


def test_a_hash_forgives_spelling_and_tells_kinds_and_merchants_apart() -> None:
    keys = keys_of("m1")
    assert keys.hash("email", " Anna@Example.com") == keys.hash("email", "anna@example.com")
    assert keys.hash("phone", "+1 555-0100") == keys.hash("phone", "0015550100")
    assert keys.hash("name", "A") != keys.hash("name", "a")
    assert keys.hash("email", "1") != keys.hash("phone", "1")
    assert keys.hash("email", "a@b.c") != keys_of("m2").hash("email", "a@b.c")


def test_stored_keys_are_bound_to_their_merchant_purpose_and_version() -> None:
    data, index = new_merchant_keys("m1", KEKS)
    for moved in (
        [replace(data, version=2), index],
        [replace(data, purpose="index", version=2), data, index],
        [data, replace(index, wrapped=data.wrapped)],
        [data, replace(index, merchant_id="m2")],
    ):
        with pytest.raises(SealError):
            unwrap_keys("m1", moved, KEKS)
    with pytest.raises(SealError):
        unwrap_keys("m2", [replace(row, merchant_id="m2") for row in (data, index)], KEKS)
    with pytest.raises(SealError, match="incomplete"):
        unwrap_keys("m1", [data], KEKS)
    assert "wrapped" not in repr(data)


def test_rewrapping_keeps_the_key_and_moves_it_to_the_newest() -> None:
    old = KeyEncryptionKeys([("k1", new_key())])
    rows = new_merchant_keys("m1", old)
    sealed = unwrap_keys("m1", rows, old).seal("p", b"x")
    both = KeyEncryptionKeys([("k2", new_key()), ("k1", old._keys["k1"])])
    moved = [rewrap(row, both) for row in rows]
    assert {row.kek_id for row in moved} == {"k2"}
    only_new = KeyEncryptionKeys([("k2", both._keys["k2"])])
    assert unwrap_keys("m1", moved, only_new).open("p", sealed) == b"x"
    with pytest.raises(Unavailable, match="'k1'"):
        unwrap_keys("m1", rows, only_new)


async def test_keys_are_cached_for_their_time() -> None:
    store, time = Store(), Time()
    ring = KeyRing(store, KEKS, ttl=60, monotonic=time)
    first = await ring.for_merchant("m1")
    time.now += 59
    assert await ring.for_merchant("m1") is first
    time.now += 2
    assert await ring.for_merchant("m1") is not first
    assert store.fetches == 2


async def test_concurrent_misses_share_one_fetch_and_survive_an_impatient_caller() -> None:
    store = Store()
    store.gate.clear()
    ring = KeyRing(store, KEKS)
    callers = [asyncio.create_task(ring.for_merchant("m1")) for _ in range(50)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    store.gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(isinstance(answer, MerchantKeys) for answer in answers[1:])
    assert store.fetches == 1


async def test_a_rotation_elsewhere_is_found_by_its_unknown_version() -> None:
    store = Store()
    ring, writer = KeyRing(store, KEKS), KeyRing(store, KEKS)
    old = (await ring.for_merchant("m1")).seal("p", b"old")
    store.rotate()
    new = (await writer.for_merchant("m1")).seal("p", b"new")
    with pytest.raises(UnknownKeyVersion):
        (await ring.for_merchant("m1")).open("p", new)
    assert await ring.open("m1", "p", new) == b"new"
    assert await ring.open("m1", "p", old) == b"old"
    assert (await ring.for_merchant("m1")).current.version == 2
    assert store.fetches == 3


async def test_a_version_that_exists_nowhere_is_an_error() -> None:
    store = Store()
    ring = KeyRing(store, KEKS)
    keys = await ring.for_merchant("m1")
    stranger = replace(keys, current=DataKey(9, new_key())).seal("p", b"x")
    with pytest.raises(UnknownKeyVersion, match="9"):
        await ring.open("m1", "p", stranger)


async def test_a_refresh_does_not_take_the_answer_of_a_fetch_that_began_before_it() -> None:
    store = Store()
    store.gate.clear()
    ring = KeyRing(store, KEKS)
    early = asyncio.create_task(ring.for_merchant("m1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.fetches == 1
    store.rotate()
    refreshers = [asyncio.create_task(ring.refresh("m1")) for _ in range(5)]
    await asyncio.sleep(0)
    store.gate.set()
    assert (await early).current.version == 1
    assert [(await refresher).current.version for refresher in refreshers] == [2] * 5
    assert store.fetches == 2


async def test_stale_keys_serve_while_the_source_is_down_and_not_for_ever() -> None:
    store, time = Store(), Time()
    ring = KeyRing(store, KEKS, ttl=60, stale=3600, monotonic=time)
    first = await ring.for_merchant("m1")
    store.down = True
    time.now += 61
    assert await ring.for_merchant("m1") is first
    assert await ring.for_merchant("m1") is first
    assert store.fetches == 2, "a source that is down is not asked at every call"
    time.now += 6
    assert await ring.for_merchant("m1") is first
    assert store.fetches == 3
    with pytest.raises(Unavailable):
        await ring.refresh("m1")
    time.now += 3600
    with pytest.raises(Unavailable):
        await ring.for_merchant("m1")
    store.down = False
    assert await ring.for_merchant("m1") is not first


async def test_a_destroyed_merchant_is_not_found_and_not_remembered() -> None:
    store, time = Store(), Time()
    ring = KeyRing(store, KEKS, monotonic=time)
    await ring.for_merchant("m1")
    store.rows.clear()
    time.now += 61
    with pytest.raises(NotFound, match="redacted"):
        await ring.for_merchant("m1")
    store.down = True
    with pytest.raises(Unavailable):  # the stale keys are gone, too
        await ring.for_merchant("m1")


async def test_forgetting_drops_the_keys_and_what_is_being_fetched() -> None:
    store = Store()
    ring = KeyRing(store, KEKS)
    await ring.for_merchant("m1")
    ring.forget("m1")
    store.gate.clear()
    waiting = asyncio.create_task(ring.for_merchant("m1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ring.forget("m1")
    store.rows.clear()
    store.gate.set()
    with suppress(NotFound):
        await waiting
    with pytest.raises(NotFound):
        await ring.for_merchant("m1")
