"""Our bearer tokens: JWT, HS256 under a key of the merchant.

The key is derived from the merchant's index key (HKDF-SHA256, RFC 5869, with a purpose of its own), which no rotation
changes: tokens survive restarts and rotations, and end with the merchant's keys when those are destroyed. `kid` names
the merchant, so that nothing but the header is read before the signature is checked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from loyalnest.auth.models import AdminSession, Role
from loyalnest.kit.crypto.envelope import KEY_BYTES, binding
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.errors import Unauthenticated
from loyalnest.kit.events import new_id

ISSUER = "loyalnest"
NOT_OURS = "The bearer token is not one that LoyalNest gave out: log in again."
EXPIRED = "The bearer token has expired: log in again."

_ALGORITHM = "HS256"
_CLAIMS = ("iss", "sub", "merchant", "role", "sid", "iat", "exp", "jti")
# The last of the signature's 43 characters carries 4 bits: of the others that mean the same, none is let in.
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]{1,2048}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_MERCHANT = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_GARBAGE = (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. Whether its session still holds is for the database to say."""

    merchant_id: str
    actor: str
    role: Role
    session_id: UUID
    expires_at: datetime


def signing_key(keys: MerchantKeys) -> bytes:
    """The key that signs the merchant's tokens."""
    info = binding("loyalnest.auth.bearer.v1", keys.merchant_id)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(keys.index_key)


def sign(key: bytes, session: AdminSession) -> str:
    """The bearer token of `session`."""
    claims = {
        "iss": ISSUER,
        "sub": session.actor,
        "merchant": session.merchant_id,
        "role": session.role.value,
        "sid": str(session.session_id),
        "iat": int(session.created_at.timestamp()),
        "exp": int(session.expires_at.timestamp()),
        "jti": str(new_id()),
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": session.merchant_id})


def merchant_of(token: str) -> str:
    """The merchant whose key must have signed `token`; nothing is proven yet. Raises Unauthenticated."""
    if not _SHAPE.fullmatch(token):
        raise Unauthenticated(NOT_OURS)
    try:
        header = jwt.get_unverified_header(token)
    except _GARBAGE:
        raise Unauthenticated(NOT_OURS) from None
    merchant_id = header.get("kid")
    if header.get("alg") != _ALGORITHM or not isinstance(merchant_id, str) or not _MERCHANT.fullmatch(merchant_id):
        raise Unauthenticated(NOT_OURS)
    return merchant_id


def verify(token: str, merchant_id: str, key: bytes, now: datetime) -> Claims:
    """What `token` says, if `key` signed it for `merchant_id` and it has not expired. Raises Unauthenticated."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            issuer=ISSUER,
            options={  # times are checked here, by the clock that was given
                "require": list(_CLAIMS),
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
            },
        )
        read = _read(claims)
    except _GARBAGE:
        raise Unauthenticated(NOT_OURS) from None
    if read.merchant_id != merchant_id:
        raise Unauthenticated(NOT_OURS)
    if now >= read.expires_at:
        raise Unauthenticated(EXPIRED)
    return read


def _read(claims: Mapping[str, Any]) -> Claims:
    return Claims(
        merchant_id=str(claims["merchant"]),
        actor=str(claims["sub"]),
        role=Role(claims["role"]),
        session_id=UUID(str(claims["sid"])),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )
