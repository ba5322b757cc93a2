"""By what a person is recognised: keyed hashes of the e-mail address, the phone number, the postal address.

The rules of normalising are part of what is stored and must never change without hashing everything anew. They are
stricter than those for looking customers up: a false match here costs a review or a reward, none is ever merged.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from loyalnest.api_gateway.events import PersonalData
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.crypto.lookup import normalise_email, normalise_phone

EMAIL: Final = "email"
PHONE: Final = "phone"
ADDRESS: Final = "address"

PERSONS: Final = frozenset({EMAIL, PHONE})
"""Kinds of which two people rarely share one. Those who share an address may be a household."""

MIN_PHONE_DIGITS: Final = 7
MAX_IDENTITIES: Final = 8
"""Of one delivery: it has one e-mail address, one phone number of the person, and few addresses."""

_GMAIL: Final = frozenset({"gmail.com", "googlemail.com"})
_NOT_LETTERS = re.compile(r"[\W_]+")

Identity = tuple[str, bytes]
"""Kind and keyed hash."""


def same_email(address: str) -> str:
    """One text for all spellings of a mailbox: case, `+tag` (RFC 5233), and for Gmail dots. Empty for no address."""
    local, at, domain = normalise_email(address).rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _GMAIL:
        domain, local = "gmail.com", local.replace(".", "")
    return f"{local}@{domain}" if at and local and domain else ""


def same_phone(number: str) -> str:
    """The digits with a leading + where the country is told; empty for too few to be anybody's."""
    digits = normalise_phone(number)
    return digits if len(digits.lstrip("+")) >= MIN_PHONE_DIGITS else ""


def same_address(street: str, postal_code: str) -> str:
    """Street and postal code without case, accents, punctuation and spaces; empty if one of them is missing.

    The second line is left out: another flat number is the cheapest of disguises, and a match is only held for review.
    """
    parts = [_letters(street), _letters(postal_code)]
    return "|".join(parts) if all(parts) else ""


def _letters(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return _NOT_LETTERS.sub("", "".join(char for char in decomposed if not unicodedata.combining(char))).casefold()


def identities(keys: MerchantKeys, personal: PersonalData) -> frozenset[Identity]:
    """What the person is recognised by."""
    found = dict.fromkeys(_named(personal))
    return frozenset((kind, hash_of(keys, kind, text)) for kind, text in list(found)[:MAX_IDENTITIES])


def hash_of(keys: MerchantKeys, kind: str, text: str) -> bytes:
    """The keyed hash of normalised `text`. Its kinds are referrals' own: core's hashes are of other texts."""
    return keys.hash(f"referrals.{kind}", text)


def _named(personal: PersonalData) -> Iterator[tuple[str, str]]:
    phones: Iterable[str | None] = (personal.phone, *(address.get("phone") for address in personal.addresses))
    if personal.email and (email := same_email(personal.email)):
        yield EMAIL, email
    for number in phones:
        if number and (phone := same_phone(number)):
            yield PHONE, phone
            break
    for address in personal.addresses:
        if place := same_address(address.get("address1", ""), address.get("zip", "")):
            yield ADDRESS, place
