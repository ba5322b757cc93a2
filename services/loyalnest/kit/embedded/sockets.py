"""Where a server of ours puts its Unix socket."""

import hashlib
import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from loyalnest.kit.errors import Unavailable

MOST_BYTES = 103
"""Longest socket path every platform takes: sun_path has 104 bytes on macOS, 108 on Linux, with the final zero."""


def socket_folder(data_dir: Path, socket_name: str, owner: int) -> Path:
    """A folder for `socket_name` that only user `owner` enters: `data_dir` itself, or, where that makes too long a
    path, a folder under the platform's temporary one whose name follows from `data_dir`.

    Raises Unavailable if somebody else has taken that folder.
    """
    if len(os.fsencode(data_dir / socket_name)) <= MOST_BYTES:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"loyalnest-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {owner, os.geteuid()}:
        raise Unavailable(f"{folder} belongs to somebody else; choose a shorter data folder than {data_dir}.")
    if status.st_uid != owner:
        os.chown(folder, owner, -1)
    folder.chmod(0o700)
    return folder


def leave_folder(folder: Path, data_dir: Path) -> None:
    """Remove what `socket_folder` made, after the server has stopped."""
    if folder != data_dir:
        with suppress(OSError):  # gone already, or not empty
            folder.rmdir()


def accepts(path: Path) -> bool:
    """Whether a server accepts connections on the socket at `path`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2.0)
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def log_tail(path: Path, lines: int = 12) -> str:
    """The last `lines` of a server's log, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(it wrote no log)"
