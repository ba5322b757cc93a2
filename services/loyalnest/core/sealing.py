"""Personal data under the merchants' keys: sealing and hashing fields, opening what deliveries carry."""

from collections.abc import Iterable, Mapping

import msgspec

from loyalnest.api_gateway.events import SEALED_PURPOSE, PersonalData
from loyalnest.core.models import PERSONAL, Customer
from loyalnest.kit.crypto.envelope import SealError, UnknownKeyVersion, sealed_version
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.errors import NotFound

_SEARCHED = ("email", "phone")
_personal_decoder = msgspec.json.Decoder(PersonalData)


def purpose(name: str) -> str:
    """What a field of a customer is sealed for."""
    return f"core.customers.{name}"


def sealed_for(keys: MerchantKeys, name: str, text: str) -> bytes:
    """`text` sealed as the field `name`."""
    return keys.seal(purpose(name), text.encode())


def hash_of(keys: MerchantKeys, customer_id: int, name: str, text: str) -> bytes:
    """The keyed hash of a field. E-mail and phone are found by it; the others' is of one customer only, so that
    the table does not even tell who shares a first name.
    """
    return keys.hash(name, text) if name in _SEARCHED else keys.hash(purpose(name), f"{customer_id}:{text}")


class Vault:
    """The merchants' keys as core needs them: a merchant whose keys were destroyed has None, which is no error."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def keys_of(self, merchants: Iterable[str]) -> dict[str, MerchantKeys | None]:
        """The keys of each merchant. Raises Unavailable if they cannot be had."""
        return {merchant_id: await self.keys(merchant_id) for merchant_id in set(merchants)}

    async def keys(self, merchant_id: str, *, fresh: bool = False) -> MerchantKeys | None:
        """The keys of one merchant, as they are stored now if `fresh`."""
        try:
            return await (self._keys.refresh(merchant_id) if fresh else self._keys.for_merchant(merchant_id))
        except NotFound:
            return None

    async def open_delivery(self, merchant_id: str, sealed: bytes) -> PersonalData | None:
        """What a delivery says about the person; None if its key was destroyed.

        Raises SealError for a delivery that was damaged or forged, Unavailable if keys cannot be had.
        """
        opened = await self._keys.open_if_kept(merchant_id, SEALED_PURPOSE, sealed)
        return None if opened is None else _personal_decoder.decode(opened)

    async def reveal(self, merchant_id: str, customers: Iterable[Customer]) -> list[Mapping[str, str]]:
        """The personal fields of each customer in the clear; those whose key was destroyed are left out."""
        rows = list(customers)
        keys = await self.keys(merchant_id)
        newest = max((each.newest_key_version for each in rows), default=0)
        if keys is not None and newest > keys.current.version:  # sealed a moment ago, by a process that knows more
            keys = await self.keys(merchant_id, fresh=True)
        return [_revealed(keys, each) for each in rows]


def _revealed(keys: MerchantKeys | None, customer: Customer) -> dict[str, str]:
    sealed = ((name, customer.personal[name].sealed) for name in PERSONAL)
    opened = ((name, open_field(keys, name, each)) for name, each in sealed if each is not None)
    return {name: text for name, text in opened if text is not None}


def open_field(keys: MerchantKeys | None, name: str, sealed: bytes) -> str | None:
    """A field in the clear, or None if its key was destroyed. Raises SealError if it was damaged."""
    try:
        return keys.open(purpose(name), sealed).decode() if keys is not None else None
    except UnknownKeyVersion:
        return None


def reseal(keys: MerchantKeys, customer: Customer) -> int:
    """Seal anew whatever of `customer` is sealed under an older key than the current. Returns how many fields stayed
    as they were because they no longer open.
    """
    lost = 0
    for name, field in customer.personal.items():
        if field.sealed is None or sealed_version(field.sealed) >= keys.current.version:
            continue
        try:
            text = open_field(keys, name, field.sealed)
        except SealError:
            text = None
        if text is None:
            lost += 1
        else:
            field.sealed = sealed_for(keys, name, text)
    return lost
