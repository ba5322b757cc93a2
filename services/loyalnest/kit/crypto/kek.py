"""Key-encryption keys: they wrap the merchants' data keys and nothing else.

They are written `id:base64,id:base64`, newest first, in LOYALNEST_ENCRYPTION_KEYS or in a file (line breaks do for
commas). The newest wraps; every one of them unwraps. A KMS would take this module's place.
"""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from loyalnest.kit.crypto.envelope import KEY_BYTES, DataKey, binding, new_key, open_sealed, seal
from loyalnest.kit.errors import InvalidInput, Unavailable
from loyalnest.kit.settings import Settings

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VERSION = 0  # of the envelope: the id says which key it is
_HOW = "write it as id:base64 of 32 bytes, several separated by commas, newest first"


class KeyEncryptionKeys:
    """The keys, newest first. Their bytes never appear in a message or representation."""

    def __init__(self, keys: Sequence[tuple[str, bytes]], path: Path | None = None) -> None:
        """Raises InvalidInput for no key, a malformed id, a repeated id, or a key that has not 32 bytes."""
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._use(keys)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `id:base64,...`. Raises InvalidInput that names the entry, never its key."""
        return cls(_parse(text, "LOYALNEST_ENCRYPTION_KEYS"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file with the same content. Raises InvalidInput if it cannot be read or is malformed."""
        stamp = _stamp(path)
        keys = cls(_parse(_text(path), str(path)), path)
        keys._stamp = stamp
        return keys

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """From the file if one is named, else from the variable. Raises InvalidInput if there is neither."""
        if settings.encryption_keys_file is not None:
            return cls.read(settings.encryption_keys_file)
        if text := settings.encryption_keys.get_secret_value().strip():
            return cls.parse(text)
        raise InvalidInput(
            f"No key-encryption key: set LOYALNEST_ENCRYPTION_KEYS ({_HOW}) or LOYALNEST_ENCRYPTION_KEYS_FILE."
        )

    @classmethod
    def create_file(cls, path: Path) -> Self:
        """A new file (mode 0600) with a first key. Raises InvalidInput if the file is there already."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(path, first_key())
        try:
            path.hardlink_to(draft)  # whole or not at all, and never over a file that is there
        except FileExistsError:
            raise InvalidInput(f"{path} is there already: rotate it instead of making it again.") from None
        finally:
            draft.unlink()
        _sync(path.parent)
        return cls.read(path)

    def add_key(self) -> str:
        """Put a new key before the others and replace the file at once. Returns the new key's id.

        What is wrapped from now on is wrapped under it; older keys stay until nothing is wrapped under them.
        Rotate in one process at a time. Raises InvalidInput if the keys came from a variable.
        """
        if self._path is None:
            raise InvalidInput(f"The key-encryption keys come from LOYALNEST_ENCRYPTION_KEYS: add a key there; {_HOW}.")
        self.reload()
        key_id, others = _new_id(), self._keys
        lines = _line(key_id, new_key()) + "".join(_line(other, key) for other, key in others.items())
        try:
            _draft(self._path, lines).replace(self._path)
            _sync(self._path.parent)
        except OSError as error:
            raise InvalidInput(f"{self._path} cannot be replaced: {error.strerror}.") from error
        self.reload()
        return key_id

    def reload(self) -> None:
        """Read the file again if it has changed; nothing if there is none, or while it cannot be read."""
        if self._path is None or (stamp := _stamp(self._path)) == self._stamp:
            return
        with suppress(InvalidInput):  # the keys at hand are good; a half-mounted Secret must not take them away
            self._use(_parse(_text(self._path), str(self._path)))
            self._stamp = stamp

    @property
    def newest(self) -> str:
        """The id of the key that wraps."""
        return next(iter(self._keys))

    @property
    def ids(self) -> list[str]:
        """Every key's id, newest first."""
        return list(self._keys)

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """(id of the key that wrapped it, `data_key` wrapped); it unwraps only with the same `context`."""
        key_id = self.newest
        return key_id, seal(DataKey(_VERSION, self._keys[key_id]), data_key, context=_context(key_id, context))

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """The data key that `wrap` wrapped.

        Raises Unavailable, naming the id, if that key is not configured here (the file is read again before), and
        SealError if `wrapped` was damaged or moved.
        """
        if key_id not in self._keys:
            self.reload()
        if key_id not in self._keys:
            raise Unavailable(
                f"The key-encryption key {key_id!r} is not configured here (there are: {', '.join(self._keys)}); "
                "put it back, at the end of the list, until everything has been wrapped anew."
            )
        keys = {_VERSION: DataKey(_VERSION, self._keys[key_id])}
        return open_sealed(keys, wrapped, context=_context(key_id, context))

    def __repr__(self) -> str:
        return f"KeyEncryptionKeys({', '.join(self._keys)})"

    def _use(self, keys: Sequence[tuple[str, bytes]]) -> None:
        if not keys:
            raise InvalidInput(f"No key-encryption key: {_HOW}.")
        for key_id, key in keys:
            if not _ID.fullmatch(key_id):
                raise InvalidInput("A key-encryption key's id is 1 to 64 letters, digits, dots, dashes or underscores.")
            if len(key) != KEY_BYTES:
                raise InvalidInput(f"The key-encryption key {key_id!r} has {len(key)} bytes; it needs {KEY_BYTES}.")
        self._keys = dict(keys)
        if len(self._keys) != len(keys):
            raise InvalidInput("Two key-encryption keys have the same id.")


def first_key() -> str:
    """The text of a new set of keys, with one key in it."""
    return _line(_new_id(), new_key())


def _context(key_id: str, context: bytes) -> bytes:
    return binding("loyalnest.kek.v1", key_id) + context


def _parse(text: str, where: str) -> list[tuple[str, bytes]]:
    keys: list[tuple[str, bytes]] = []
    entries = [entry.strip() for entry in re.split(r"[,\n]", text) if entry.strip()]
    for number, entry in enumerate(entries, start=1):
        key_id, colon, encoded = entry.partition(":")
        if not colon or not _ID.fullmatch(key_id):  # an id that is none may be a key: do not show it
            raise InvalidInput(f"{where}: entry {number} is no key: {_HOW}.")
        try:
            keys.append((key_id, base64.b64decode(encoded, validate=True)))
        except (binascii.Error, ValueError):
            raise InvalidInput(f"{where}: the key {key_id!r} is not base64.") from None
    return keys


def _line(key_id: str, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}\n"


def _new_id() -> str:
    return f"k{secrets.token_hex(4)}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The key-encryption keys in {path} cannot be read: {error}.") from error


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino


def _draft(path: Path, text: str) -> Path:
    """A new file beside `path` with `text` in it, on disk, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync(folder: Path) -> None:
    """See the folder's entries on disk: a key that is lost takes what it wrapped with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
