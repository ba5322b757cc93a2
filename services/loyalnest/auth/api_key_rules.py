"""What an API key is made of, free of I/O: its secret, its scopes, its name and bounds."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Final

from loyalnest.kit.errors import InvalidInput, Unauthenticated

PREFIX: Final = "lnk_"
"""What every secret begins with, so that scanners for leaked secrets know it."""
DEFAULT_PER_MINUTE: Final = 600
MOST_PER_MINUTE: Final = 60_000
MOST_DAYS: Final = 3650
DEFAULT_OVERLAP_HOURS: Final = 24
MOST_OVERLAP_HOURS: Final = 30 * 24
NOT_OURS: Final = "The API key is not valid: it was mistyped, revoked or has been rotated."

_SECRET = re.compile(r"lnk_(?P<merchant>[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.[A-Za-z0-9_-]{43}")
_SCOPE = re.compile(r"[a-z][a-z_]{0,39}:(?:read|write)")
_NAME = re.compile(r"\S(?:.{0,98}\S)?")


def merchant_of(secret: str) -> str:
    """The merchant that `secret` says it is of; nothing is proven yet. Raises Unauthenticated if it is no secret."""
    shape = _SECRET.fullmatch(secret)
    if shape is None:
        raise Unauthenticated(NOT_OURS)
    return shape["merchant"]


def new_secret(merchant_id: str) -> str:
    """A new secret of 256 random bits. It names its merchant, so that it is looked up among that merchant's only."""
    return f"{PREFIX}{merchant_id}.{secrets.token_urlsafe(32)}"


def digest(secret: str) -> bytes:
    """What is kept of a secret. Random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def scopes_of(given: Sequence[str]) -> tuple[str, ...]:
    """The scopes, each once and in order. Raises InvalidInput for none, or one that is none."""
    for scope in given:
        if not _SCOPE.fullmatch(scope):
            raise InvalidInput("A scope is what it is for, a colon, and read or write: points:read, customers:write.")
    if not 0 < len(given) <= 100:
        raise InvalidInput("An API key has between 1 and 100 scopes.")
    return tuple(sorted(set(given)))


def name_of(given: str) -> str:
    """The name. Raises InvalidInput if it is none."""
    name = given.strip()
    if not (_NAME.fullmatch(name) and name.isprintable()):
        raise InvalidInput("An API key's name has 1 to 100 printable characters.")
    return name


def bounded(what: str, value: int, least: int, most: int) -> int:
    """`value`. Raises InvalidInput outside the bounds."""
    if not least <= value <= most:
        raise InvalidInput(f"{what} is between {least} and {most}.")
    return value
