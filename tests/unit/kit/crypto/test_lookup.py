"""Keyed hashes: equal people, equal hashes; nothing else in common."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.crypto.lookup import lookup_hash, normalise_email, normalise_phone, pseudonym

KEY, OTHER_KEY = bytes(32), bytes(31) + b"\1"


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("  Anna@Example.COM\n", "anna@example.com"),
        ("anna+shop@gmail.com", "anna+shop@gmail.com"),
        ("an.na@gmail.com", "an.na@gmail.com"),
        ("ａｎｎａ@example.com", "anna@example.com"),  # full-width letters
        ("jose\u0301@example.com", "jos\u00e9@example.com"),  # one accent, two ways to write it
        ("STRASSE@example.de", normalise_email("straße@example.de")),
        ("", ""),
    ],
)
def test_an_email_is_normalised(written: str, stored: str) -> None:
    assert normalise_email(written) == stored


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("+1 (555) 010-9999", "+15550109999"),
        ("001 555 010 9999", "+15550109999"),
        ("(555) 010-9999", "5550109999"),
        ("＋４９ 30 1234", "+49301234"),
        ("\u0661\u0662\u0663", "123"),
        ("00", "00"),
        ("+", ""),
        ("none", ""),
    ],
)
def test_a_phone_is_normalised(written: str, stored: str) -> None:
    assert normalise_phone(written) == stored


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise_email(normalise_email(text)) == normalise_email(text)
    assert normalise_phone(normalise_phone(text)) == normalise_phone(text)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_hashes_are_equal_exactly_for_the_same_kind_and_value(kind: str, value: str, kind2: str, value2: str) -> None:
    same = lookup_hash(KEY, kind, value) == lookup_hash(KEY, kind2, value2)
    assert same == ((kind, value) == (kind2, value2))


def test_two_merchants_have_nothing_in_common() -> None:
    assert lookup_hash(KEY, "email", "anna@example.com") != lookup_hash(OTHER_KEY, "email", "anna@example.com")


def test_stored_hashes_keep_their_meaning() -> None:
    """A change of this value orphans every stored hash: it needs a migration."""
    assert lookup_hash(KEY, "email", "anna@example.com").hex() == (
        "4292a8d90cbae2fb5c5feb7ac4466df306ffd4f47e05c458624fd2b0d93413e0"
    )


@given(request=st.uuids(), other=st.uuids(), customer_id=st.integers(1, 2**63 - 1), another=st.integers(1, 2**63 - 1))
def test_a_pseudonym_is_of_one_request_key_and_customer_and_never_an_id(
    request: UUID, other: UUID, customer_id: int, another: int
) -> None:
    stand_in = pseudonym(KEY, request, customer_id)
    assert -(2**63) <= stand_in < 0
    assert stand_in == pseudonym(KEY, request, customer_id)
    assert (stand_in == pseudonym(KEY, other, customer_id)) == (request == other)
    assert (stand_in == pseudonym(KEY, request, another)) == (customer_id == another)
    assert stand_in != pseudonym(OTHER_KEY, request, customer_id)
