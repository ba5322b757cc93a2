"""The embedded packing's own PostgreSQL, Redis and keys, all in one data folder."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from pydantic import SecretStr

from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.embedded.redis import EmbeddedRedis
from loyalnest.kit.errors import Conflict, InvalidInput
from loyalnest.kit.settings import Settings

DATABASE = "loyalnest"
PATIENCE_SECONDS = 10.0


class EmbeddedStores:
    """Starts and stops the servers of a data folder. One process owns the folder; others may attach while it runs.

    data_dir: made if missing. It holds every merchant's data and the keys that encrypt it: keep both together.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.postgres = EmbeddedPostgres(self.data_dir / "postgres")
        self.redis = EmbeddedRedis(self.data_dir / "redis")
        self._lock: IO[str] | None = None

    @property
    def keys_file(self) -> Path:
        """The key-encryption keys. Without it the personal data in the folder can't be read by anyone."""
        return self.data_dir / "keys" / "encryption-keys"

    def own(self) -> bool:
        """Take the folder for this process. False if another process has it. Raises InvalidInput if it cannot be."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = (self.data_dir / "owner").open("a+")
        except OSError as error:
            raise InvalidInput(f"{self.data_dir} cannot be a data folder: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        return True

    def start(self) -> None:
        """Start the servers of an owned folder, and make its database and keys where they are missing.

        A command that has the folder for a moment is waited for. Raises Conflict if another process keeps it.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._lock is None and not self.own():
            if time.monotonic() > deadline:
                raise Conflict(f"Another loyalnest runs on {self.data_dir}: stop it, or choose another --data folder.")
            time.sleep(0.1)
        if not self.keys_file.exists():
            KeyEncryptionKeys.create_file(self.keys_file)
        self.postgres.start()
        self.redis.start()
        self.postgres.create_database_if_missing(DATABASE)

    def attach(self) -> None:
        """Use the servers of a folder that another process owns, without owning them."""
        self.postgres.start()
        self.redis.start()

    def stop(self) -> None:
        """Stop the servers and let the folder go. Does nothing to a folder that is not owned."""
        if self._lock is None:
            return
        self.redis.stop()
        self.postgres.stop()
        self._lock.close()
        self._lock = None

    def settings(self, **more: object) -> Settings:
        """The settings of a process on these stores; `more` sets others."""
        fixed: dict[str, object] = {
            "bus": "postgres",
            "database_url": SecretStr(self.postgres.url(DATABASE)),
            "redis_url": SecretStr(self.redis.url),
            "encryption_keys_file": self.keys_file,
            "host": "127.0.0.1",
            "message_folder": self.data_dir / "messages",
        }
        return Settings(**(fixed | more))  # type: ignore[arg-type]
