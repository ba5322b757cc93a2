"""What a GDPR request says of a person, which is kept sealed; and merchants' keys, as far as there are any."""

from collections.abc import Iterable, Mapping

import msgspec

from loyalnest.admin_core.models import GdprRequest
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.errors import NotFound

PURPOSE = "admin_core.gdpr_requests.customer"

Keys = Mapping[str, MerchantKeys | None]
"""The keys of merchants; None once they are destroyed."""


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """Whose request it is, and what an admin wrote about it."""

    customer_id: int
    reason: str = ""


async def keys_of(ring: KeyRing, merchants: Iterable[str]) -> dict[str, MerchantKeys | None]:
    """The keys of these merchants. Ask before a transaction: they may be in another process. Raises Unavailable."""
    found: dict[str, MerchantKeys | None] = {}
    for merchant_id in sorted(set(merchants)):
        try:
            found[merchant_id] = await ring.for_merchant(merchant_id)
        except NotFound:
            found[merchant_id] = None
    return found


def sealed(keys: MerchantKeys, details: Details) -> bytes:
    """As it is stored."""
    return keys.seal(PURPOSE, msgspec.json.encode(details))


def details_of(request: GdprRequest, keys: MerchantKeys | None) -> Details | None:
    """Whose request it is; None for a shop, and for a customer who can be named no more."""
    if request.customer_sealed is None or keys is None:
        return None
    try:
        return msgspec.json.decode(keys.open(PURPOSE, request.customer_sealed), type=Details)
    except SealError:  # the shop was redacted, and came back with other keys
        return None
