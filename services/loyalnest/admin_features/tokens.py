"""The tokens in links to unsubscribe: who is meant, signed with the merchant's index key, which never changes.

A token names no address, only its keyed hash, and can do nothing but stop mails to it or let them come again.
"""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from typing import Final

import msgspec

from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.errors import NotFound

_SIGNATURE: Final = 16
_HASH: Final = 32
_MERCHANT: Final = re.compile(r"[a-z0-9-]{1,52}")
MOST: Final = 400
"""Characters of the longest token: a merchant's id has at most 52."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a token is about. customer_id: None for a friend who was invited. language: of the mail."""

    merchant_id: str
    customer_id: int | None
    address_hash: bytes
    language: str


def token_of(keys: MerchantKeys, subject: Subject) -> str:
    """The token for a link."""
    body = msgspec.msgpack.encode(
        (subject.merchant_id, subject.customer_id or 0, subject.address_hash, subject.language)
    )
    return base64.urlsafe_b64encode(_signature(keys, body) + body).rstrip(b"=").decode()


def claimed(token: str) -> Subject:
    """Whom a token says that it is about; `is_genuine` tells whether it is true. Raises NotFound for no token."""
    try:
        merchant_id, customer_id, address_hash, language = msgspec.msgpack.decode(
            _decoded(token)[_SIGNATURE:], type=tuple[str, int, bytes, str]
        )
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise invalid() from None
    if not _MERCHANT.fullmatch(merchant_id) or not 0 <= customer_id < 2**63 or len(address_hash) != _HASH:
        raise invalid()
    return Subject(merchant_id, customer_id or None, address_hash, language)


def is_genuine(keys: MerchantKeys, token: str) -> bool:
    """Whether the merchant whose keys these are made `token`."""
    whole = _decoded(token)
    return hmac.compare_digest(whole[:_SIGNATURE], _signature(keys, whole[_SIGNATURE:]))


def invalid() -> NotFound:
    """The error for a token that is none of ours, or not any more."""
    return NotFound("This link is not valid. Copy it whole from the e-mail, or answer the e-mail and ask the shop.")


def _decoded(token: str) -> bytes:
    if len(token) > MOST or not token.isascii():
        raise invalid()
    return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)


def _signature(keys: MerchantKeys, body: bytes) -> bytes:
    return keys.hash("admin_features.unsubscribe", base64.b64encode(body).decode())[:_SIGNATURE]
