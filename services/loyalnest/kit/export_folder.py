"""The folder of an export: a file per table and a manifest, under its name only when all of it is on disk."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import loyalnest
from loyalnest.kit.errors import Conflict, InvalidInput

MANIFEST = "manifest.json"
FORMAT = 1
README = (
    "One JSON object a line and row, times in UTC, bytea as \\x and hexadecimal digits. Personal data and secrets are "
    "sealed as they were stored: open them with loyalnest.kit.crypto, under the data keys in auth.data_keys.jsonl, "
    "which are wrapped by the key-encryption keys named there in kek_id. Those keys (LOYALNEST_ENCRYPTION_KEYS) are "
    "not part of this export: keep them as long as you keep it, and apart from it."
)


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """One file of an export: its name and what is in it."""

    file: str
    service: str
    table: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Export:
    """A complete export. made: whether this call made it; otherwise it was in `folder` already."""

    folder: Path
    exported_at: str
    tables: list[ExportedTable]
    made: bool

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)


class TableFile:
    """A file that counts and hashes what is written, and is on disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = self.bytes = 0
        self._hash = hashlib.sha256()
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    async def write(self, data: bytes) -> None:
        """Append `data`; each row of it ends with a line break."""
        self.rows += data.count(b"\n")
        self.bytes += len(data)
        self._hash.update(data)
        await asyncio.to_thread(self._file.write, data)

    def close(self) -> None:
        """Flush to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    @property
    def digest(self) -> str:
        """SHA-256 of the whole, in hexadecimal digits."""
        return self._hash.hexdigest()


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, for this process only, which becomes `folder` if the block succeeds.

    After a failure it is gone; after a kill it stays, and is emptied by the next call. Raises Conflict, InvalidInput.
    """
    draft = folder.with_name(f".{folder.name}.partial")
    try:
        draft.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be made: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"Another process is exporting to {folder}: wait for it.") from None
        for left in draft.iterdir():  # of a process that was killed
            left.unlink()
        try:
            yield draft
            draft.rename(folder)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if isinstance(error, OSError) and folder.exists():
                raise Conflict(f"{folder} was made by another process meanwhile.") from error
            raise
        _sync(folder.parent)
    finally:
        os.close(descriptor)


def write_manifest(
    folder: Path, merchant_id: str, exported_at: str, revisions: Mapping[str, str], tables: list[ExportedTable]
) -> None:
    """Write the manifest of `tables`, which makes the folder complete. revisions: of the services' schemas."""
    manifest = {
        "format": FORMAT,
        "readme": README,
        "merchant": merchant_id,
        "exported_at": exported_at,
        "loyalnest": loyalnest.__version__,
        "revisions": dict(revisions),
        "rows": sum(table.rows for table in tables),
        "files": [asdict(table) for table in tables],
    }
    with (folder / MANIFEST).open("x", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    _sync(folder)


def complete_export(folder: Path, merchant_id: str) -> Export | None:
    """The export that `folder` holds, or None if it is not there. Raises Conflict if it holds anything else."""
    if not folder.exists():
        return None
    try:
        found: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if found["merchant"] == merchant_id:
            return Export(folder, found["exported_at"], [ExportedTable(**each) for each in found["files"]], made=False)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise Conflict(f"{folder} is there and is no export of {merchant_id}: name a folder that is not there yet.")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
