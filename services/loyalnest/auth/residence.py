"""A merchant that moves between places: whether it is open in one, and its keys under another's key-encryption keys."""

from loyalnest.auth import repository
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import rewrap as rewrap_key
from loyalnest.kit.database import Connection


async def is_open(connection: Connection, merchant_id: str) -> bool:
    """See `loyalnest.kit.service.Residence`."""
    merchant = await repository.merchant(connection, merchant_id)
    return merchant is not None and not merchant.closed


async def rewrap(connection: Connection, merchant_id: str, old: KeyEncryptionKeys, new: KeyEncryptionKeys) -> int:
    """See `loyalnest.kit.service.Residence`."""
    keys = await repository.keys(connection, merchant_id)
    await repository.update_wrapped(connection, [rewrap_key(each, old, new) for each in keys])
    return len(keys)
