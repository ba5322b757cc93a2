"""Sealed values: AES-256-GCM (NIST SP 800-38D) under a numbered data key.

A sealed value is: format (1 byte, 1), key version (4 bytes, big endian), nonce (12 random bytes), ciphertext with
its 16-byte tag. Format, version and the caller's context are authenticated with it, so a value that was moved to
another merchant or column, or relabelled, does not open. Random nonces are safe for 2^32 values a key; rotation
comes long before.
"""

import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_FORMAT = 1
_HEADER = struct.Struct(">BI")
_NONCE_BYTES = 12
_TAG_BYTES = 16
OVERHEAD_BYTES = _HEADER.size + _NONCE_BYTES + _TAG_BYTES
"""How much longer a sealed value is than its plaintext."""


class SealError(Exception):
    """A sealed value that does not open: damaged, moved, of another key, or not sealed at all."""


class UnknownKeyVersion(SealError):
    """A value sealed under a version that is not at hand: newer keys may have to be fetched, or it was destroyed."""

    def __init__(self, version: int) -> None:
        super().__init__(f"The value is sealed under key version {version}, which is not at hand.")
        self.version = version


@dataclass(frozen=True, slots=True)
class DataKey:
    """A 32-byte AES key and its version, which is from 0 to 2^32 - 1 and never used for another key."""

    version: int
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"A data key has {KEY_BYTES} bytes, not {len(self.key)}.")
        if not 0 <= self.version < 1 << 32:
            raise ValueError(f"A key version is from 0 to 4294967295, not {self.version}.")


def new_key() -> bytes:
    """32 bytes from the system's generator of secrets."""
    return secrets.token_bytes(KEY_BYTES)


def binding(*parts: str) -> bytes:
    """The context that binds a sealed value to `parts` (merchant, purpose), each with its length, so that
    ("ab", "c") and ("a", "bc") differ.
    """
    encoded = [part.encode() for part in parts]
    return b"".join(struct.pack(">I", len(part)) + part for part in encoded)


def seal(key: DataKey, plaintext: bytes, *, context: bytes) -> bytes:
    """`plaintext` sealed under `key`; it opens only with the same `context`."""
    header = _HEADER.pack(_FORMAT, key.version)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return header + nonce + AESGCM(key.key).encrypt(nonce, plaintext, header + context)


def sealed_version(sealed: bytes) -> int:
    """The key version a value was sealed under. Raises SealError if it is no sealed value."""
    if len(sealed) < OVERHEAD_BYTES:
        raise SealError(f"A sealed value has at least {OVERHEAD_BYTES} bytes; this one has {len(sealed)}.")
    kind, version = _HEADER.unpack_from(sealed)
    if kind != _FORMAT:
        raise SealError(f"The value is sealed in format {kind}; this release knows format {_FORMAT}.")
    return int(version)


def open_sealed(keys_by_version: Mapping[int, DataKey], sealed: bytes, *, context: bytes) -> bytes:
    """The plaintext of a sealed value.

    Raises UnknownKeyVersion if its key is not among `keys_by_version`, SealError if it was tampered with,
    damaged, or sealed for another `context`.
    """
    version = sealed_version(sealed)
    key = keys_by_version.get(version)
    if key is None:
        raise UnknownKeyVersion(version)
    header, nonce = sealed[: _HEADER.size], sealed[_HEADER.size : _HEADER.size + _NONCE_BYTES]
    try:
        return AESGCM(key.key).decrypt(nonce, sealed[_HEADER.size + _NONCE_BYTES :], header + context)
    except InvalidTag:
        raise SealError("The sealed value was damaged, or belongs to another merchant, purpose or key.") from None
