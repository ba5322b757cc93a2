"""What is made once for a program: its key-encryption key and the passwords of its database logins.

It is kept in the Secret `names.secrets(program)` of the operator's namespace. Whoever loses the key loses the
merchant's personal data, so nothing here ever replaces it.
"""

import base64
import binascii
import secrets
from collections.abc import Iterable, Mapping

from loyalnest.kit.crypto.kek import KeyEncryptionKeys, first_key
from loyalnest.kit.errors import InvalidInput
from loyalnest_operator.facts import Generated

OWNER = "owner"
"""Purpose of the login that owns a program's database, and migrates."""
APP = "app"
"""Purpose of the login that serves the Compact tier, provisions and exports."""

_KEYS = "encryption-keys"
_ROTATED = "passwords-rotated"
_PASSWORD = "password-"  # noqa: S105 - the beginning of a key's name
_PASSWORD_BYTES = 32


def purposes(services: Iterable[str]) -> list[str]:
    """The logins that a program has: `owner`, `app`, and one for each service."""
    return [OWNER, APP, *sorted(services)]


def new_data(services: Iterable[str], rotation: str = "") -> dict[str, str]:
    """`data` of the Secret of a program that never had one. See `complete` for `rotation`.

    Before this is stored, make sure that the program has no database yet: another key cannot open what is there.
    """
    return complete({_KEYS: _encoded(first_key()), _ROTATED: _encoded(rotation)}, services, rotation)


def complete(data: Mapping[str, str], services: Iterable[str], rotation: str = "") -> dict[str, str]:
    """`data` with what is missing; equal to `data` if nothing is.

    rotation: value of the program's annotation `names.ROTATE`, empty if it has none. One that the Secret does not
    know yet gives every login a new password, once, since the Secret keeps it. Keys are never touched.
    Raises InvalidInput for a Secret without a usable key: it has to be restored.
    """
    _encryption_keys(data)
    rotate = bool(rotation) and rotation != _decoded(data, _ROTATED)
    found = dict(data)
    for purpose in purposes(services):
        if rotate or not _decoded(data, _PASSWORD + purpose):
            found[_PASSWORD + purpose] = _encoded(secrets.token_urlsafe(_PASSWORD_BYTES))
    if rotate:
        found[_ROTATED] = _encoded(rotation)
    return found


def read(data: Mapping[str, str]) -> Generated:
    """What the Secret holds. Raises InvalidInput for one without a usable key, or with a value that is no base64."""
    names = [name for name in data if name.startswith(_PASSWORD)]
    passwords = {name.removeprefix(_PASSWORD): _decoded(data, name) for name in names}
    return Generated(encryption_keys=_encryption_keys(data), passwords=passwords)


def _encryption_keys(data: Mapping[str, str]) -> str:
    text = _decoded(data, _KEYS)
    try:
        KeyEncryptionKeys.parse(text)
    except InvalidInput:  # its words are about a variable
        raise InvalidInput(
            f"The program's Secret has no usable {_KEYS}: restore it from a backup. They open the merchant's personal "
            "data, so no new ones are made in their place; only for a program without data, delete the whole Secret."
        ) from None
    return text


def _decoded(data: Mapping[str, str], name: str) -> str:
    try:
        return base64.b64decode(data.get(name, ""), validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidInput(f"The program's Secret has {name} that is no base64 of text: restore it.") from None


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
