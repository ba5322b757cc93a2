"""The data folder of the embedded packing has one owner at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loyalnest.kit.embedded.stores import EmbeddedStores
from loyalnest.kit.errors import Conflict

OWN = """
import sys
from pathlib import Path
from loyalnest.kit.embedded.stores import EmbeddedStores
stores = EmbeddedStores(Path(sys.argv[1]))
print(stores.own(), flush=True)
sys.stdin.read()
"""


def test_a_second_owner_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    first, second = EmbeddedStores(folder), EmbeddedStores(folder)
    assert first.own()
    assert not second.own()
    with pytest.raises(Conflict, match="choose another --data folder"):
        second.start()
    second.stop()  # of what it does not own, nothing is stopped
    assert not second.own()
    assert (folder / "owner").read_text() == f"{os.getpid()}\n"
    assert first._lock is not None
    first._lock.close()
    assert second.own()


def test_a_killed_owner_holds_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OWN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        stores = EmbeddedStores(tmp_path)
        assert not stores.own()
        assert (tmp_path / "owner").read_text() == f"{process.pid}\n"
    finally:
        process.kill()
        process.communicate()
    assert stores.own()


def test_settings_lead_to_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = EmbeddedStores(tmp_path)
    monkeypatch.setattr(stores.postgres, "_sockets", Path("/tmp/s"))  # noqa: S108 - only named
    monkeypatch.setattr(type(stores.redis), "url", "unix:///tmp/r")
    monkeypatch.setenv("LOYALNEST_BUS", "kafka")
    settings = stores.settings(http_port=1, bus="postgres")
    assert (settings.bus, settings.http_port, settings.encryption_keys_file) == ("postgres", 1, stores.keys_file)
    assert stores.settings().bus == "postgres"
    assert settings.placement().database_url == "postgresql://postgres@/loyalnest?host=%2Ftmp%2Fs"
