"""Customers in the audit log: named only in sealed parts, whose keys go when a customer is redacted.

An entry that names customers has its subject, before and after sealed. Its key is made of the merchant's index key and
a random salt of each customer that it names; the salts are in `audit_subjects`. Deleting a customer's salt makes every
such entry unreadable for good, and leaves the log, which is hashed as it is stored, as it was.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from loyalnest.kit.crypto.envelope import DataKey, SealError, binding, open_sealed, seal
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.crypto.lookup import lookup_hash

_CUSTOMER = re.compile(r"(?:customer|shopper):(-?[0-9]{1,19})(?![0-9])")
_FIELD = re.compile(r"(?:.+_)?(?:customer|referrer|friend)_id")
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_PURPOSE = "admin_core.audit_logs.sealed"


class Personal(msgspec.Struct, frozen=True):
    """What is sealed of an entry."""

    actor: str
    subject: str
    before: dict[str, str]
    after: dict[str, str]


@dataclass(frozen=True, slots=True)
class Subject:
    """A customer in the audit log. The id says nothing to whoever has no salt and no key."""

    subject_id: UUID
    salt: bytes


def customers_named(said: Personal) -> list[int]:
    """The customers that an entry names, the first one first.

    They are named by `customer:<id>` in the subject, by `shopper:<id>` as the actor, and by fields of before and after
    whose name is or ends in `customer_id` (or referrer_id, friend_id). Pseudonyms, which are negative, name nobody.
    """
    found = [int(match[1]) for text in (said.subject, said.actor) for match in _CUSTOMER.finditer(text)]
    for fields in (said.before, said.after):
        found += [int(text) for name, text in fields.items() if _FIELD.fullmatch(name) and _NUMBER.fullmatch(text)]
    return list(dict.fromkeys(each for each in found if each > 0))


def hidden(subject: Subject) -> str:
    """What stands for the customer in what is not sealed."""
    return f"customer:~{subject.subject_id}"


def customer_hash(index_key: bytes, customer_id: int) -> bytes:
    """What finds a customer's rows in this service's tables."""
    return lookup_hash(index_key, "admin_core.customer", str(customer_id))


def seal_personal(keys: MerchantKeys, subjects: Sequence[Subject], event_id: UUID, said: Personal) -> bytes:
    """The sealed part of the entry made from an event."""
    return seal(_key(keys, subjects), msgspec.json.encode(said), context=_context(keys, event_id))


def open_personal(keys: MerchantKeys, subjects: Sequence[Subject], event_id: UUID, sealed: bytes) -> Personal | None:
    """What `seal_personal` sealed; None if it cannot be read, because the shop was redacted since."""
    key = _key(keys, subjects)
    try:
        plain = open_sealed({key.version: key}, sealed, context=_context(keys, event_id))
    except SealError:
        return None
    return msgspec.json.decode(plain, type=Personal)


def _key(keys: MerchantKeys, subjects: Sequence[Subject]) -> DataKey:
    salts = ".".join(subject.salt.hex() for subject in subjects)
    return DataKey(0, keys.hash("admin_core.audit_key", salts))


def _context(keys: MerchantKeys, event_id: UUID) -> bytes:
    return binding(keys.merchant_id, _PURPOSE, str(event_id))
