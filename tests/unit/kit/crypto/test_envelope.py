"""Sealed values: they open only where they belong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.crypto.envelope import (
    OVERHEAD_BYTES,
    DataKey,
    SealError,
    UnknownKeyVersion,
    binding,
    new_key,
    open_sealed,
    seal,
    sealed_version,
)

OLD, NEW = DataKey(1, new_key()), DataKey(2, new_key())
KEYS = {1: OLD, 2: NEW}


@given(plaintext=st.binary(max_size=300), context=st.binary(max_size=60), version=st.integers(0, 2**32 - 1))
def test_what_is_sealed_opens_again(plaintext: bytes, context: bytes, version: int) -> None:
    key = DataKey(version, new_key())
    sealed = seal(key, plaintext, context=context)
    assert sealed_version(sealed) == version
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert open_sealed({version: key}, sealed, context=context) == plaintext


@given(plaintext=st.binary(min_size=8, max_size=50), context=st.binary(max_size=20))
def test_no_plaintext_and_no_repetition_shows(plaintext: bytes, context: bytes) -> None:
    first, second = (seal(NEW, plaintext, context=context) for _ in range(2))
    assert first != second
    assert plaintext not in first


@given(st.binary(max_size=40), st.data())
def test_any_changed_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(NEW, plaintext, context=b"here"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealError):
        open_sealed(KEYS, bytes(sealed), context=b"here")


@given(st.binary(max_size=40), st.data())
def test_a_truncated_value_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    sealed = seal(NEW, plaintext, context=b"here")
    with pytest.raises(SealError):
        open_sealed(KEYS, sealed[: data.draw(st.integers(0, len(sealed) - 1))], context=b"here")


@given(ours=st.binary(max_size=20), theirs=st.binary(max_size=20))
def test_a_value_opens_in_its_own_context_only(ours: bytes, theirs: bytes) -> None:
    sealed = seal(NEW, b"anna@example.com", context=ours)
    if ours == theirs:
        assert open_sealed(KEYS, sealed, context=theirs) == b"anna@example.com"
    else:
        with pytest.raises(SealError):
            open_sealed(KEYS, sealed, context=theirs)


def test_a_value_relabelled_with_a_version_of_the_same_key_does_not_open() -> None:
    same = new_key()
    sealed = seal(DataKey(1, same), b"x", context=b"")
    relabelled = sealed[:1] + (2).to_bytes(4, "big") + sealed[5:]
    with pytest.raises(SealError):
        open_sealed({1: DataKey(1, same), 2: DataKey(2, same)}, relabelled, context=b"")


def test_an_unknown_version_is_named() -> None:
    sealed = seal(DataKey(7, new_key()), b"x", context=b"")
    with pytest.raises(UnknownKeyVersion, match="version 7") as caught:
        open_sealed(KEYS, sealed, context=b"")
    assert caught.value.version == 7


def test_a_value_that_was_never_sealed_is_refused() -> None:
    with pytest.raises(SealError, match="format 97"):
        sealed_version(b"anna@example.com, Anna Example, Main Street 1")


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_bindings_differ_unless_their_parts_are_equal(first: list[str], second: list[str]) -> None:
    assert (binding(*first) == binding(*second)) == (first == second)


@pytest.mark.parametrize(("version", "length"), [(-1, 32), (2**32, 32), (1, 16), (1, 0)])
def test_a_wrong_key_is_refused(version: int, length: int) -> None:
    with pytest.raises(ValueError, match="key"):
        DataKey(version, bytes(length))


def test_a_key_does_not_show_itself() -> None:
    assert "key=" not in repr(OLD)
    assert repr(OLD.key) not in repr(OLD)
