"""By what a person is recognised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.keys import KeyStore
from loyalnest.api_gateway.events import PersonalData
from loyalnest.kit.crypto.keyring import MerchantKeys, unwrap_keys
from loyalnest.referrals.identity import (
    ADDRESS,
    EMAIL,
    MAX_IDENTITIES,
    PHONE,
    identities,
    same_address,
    same_email,
    same_phone,
)


async def keys_of(merchant_id: str) -> MerchantKeys:
    store = KeyStore()
    return unwrap_keys(merchant_id, await store(merchant_id), store.keks)


@pytest.mark.parametrize(
    "address",
    ["anna.b@gmail.com", "AnnaB@Gmail.com", " annab@googlemail.com ", "a.n.n.a.b+shop@gmail.com", "annab+@gmail.com"],
)
def test_one_mailbox_at_gmail(address: str) -> None:
    assert same_email(address) == "annab@gmail.com"


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("Anna.B@Example.com", "anna.b@example.com"),
        ("anna.b+tag@example.com", "anna.b@example.com"),
        ("+tag@example.com", "+tag@example.com"),
        ("a@b@example.com", "a@b@example.com"),
        ("", ""),
        ("anna", ""),
        ("@example.com", ""),
        ("anna@", ""),
        ("...@gmail.com", ""),
    ],
)
def test_other_mailboxes(address: str, same: str) -> None:
    assert same_email(address) == same


@pytest.mark.parametrize(
    ("number", "same"),
    [
        ("+1 (217) 555-0123", "+12175550123"),
        ("001 217 555 0123", "+12175550123"),
        ("217-555-0123", "2175550123"),
        ("٢١٧٥٥٥٠١٢٣", "2175550123"),
        ("12345", ""),
        ("+", ""),
        ("none", ""),
    ],
)
def test_numbers(number: str, same: str) -> None:
    assert same_phone(number) == same


def test_addresses() -> None:
    same = same_address("Hauptstraße 5", "10 115")
    assert same_address(" HAUPTSTRASSE 5.", "10115") == same
    assert same_address("Hauptstraße 6", "10115") != same
    assert same_address("Hauptstraße 5", "10116") != same
    assert same_address("Rue de l'Église 3", "75001") == same_address("rue de l eglise, 3", "75001")
    assert same_address("1", "23") != same_address("12", "3")
    assert same_address("", "10115") == same_address("Hauptstraße 5", "-") == ""


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_is_normalised_stays(first: str, second: str) -> None:
    for text in (same_email(f"{first}@{second}"), same_email(f"{first}@gmail.com")):
        if text and "+" not in text:
            assert same_email(text) == text
    if place := same_address(first, second):
        assert same_address(*place.split("|")) == place
    if number := same_phone(first):
        assert same_phone(number) == number


async def test_a_persons_identities() -> None:
    keys = await keys_of("acme")
    home = {"address1": "Main St 1", "zip": "12345", "phone": "+1 217 555 0123"}
    found = identities(keys, PersonalData(email="A.B@gmail.com", addresses=[home, {"city": "Springfield"}]))
    assert sorted(kind for kind, _ in found) == [ADDRESS, EMAIL, PHONE]
    again = PersonalData(email="ab+x@gmail.com", phone="+12175550123", addresses=[{**home, "address1": "main st. 1"}])
    assert identities(keys, again) == found
    assert identities(keys, PersonalData(email="nobody", phone="1", addresses=[{}])) == frozenset()
    assert not identities(await keys_of("globex"), again) & found, "two merchants cannot tell that they share one"
    many = [{"address1": f"Main St {number}", "zip": "12345"} for number in range(20)]
    assert len(identities(keys, PersonalData(addresses=many))) == MAX_IDENTITIES
