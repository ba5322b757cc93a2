"""The embedded servers: real starts, real kills."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.embedded.redis import EmbeddedRedis
from loyalnest.kit.errors import InvalidInput, Unavailable


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ln-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "pg", shared_buffers="32MB")
    server.start()
    yield server
    server.stop()


async def ask(server: EmbeddedPostgres, statement: str, database: str = "postgres") -> object:
    connection = await asyncpg.connect(server.url(database))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postmaster.pid").read_text().splitlines()[0])


async def test_a_new_server_is_durable_private_and_keeps_its_data(postgres: EmbeddedPostgres, folder: Path) -> None:
    postgres.create_database_if_missing("loyalnest")
    postgres.create_database_if_missing("loyalnest")
    for setting, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "max_connections": "200",
        "shared_buffers": "32MB",
        "jit": "off",
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "max_wal_size": "2GB",
    }.items():
        assert await ask(postgres, f"SHOW {setting}") == value, setting
    assert await ask(postgres, "SELECT current_user::text") == "postgres"
    await ask(postgres, "CREATE TABLE kept AS SELECT 42 AS x", "loyalnest")
    assert stat.S_IMODE((folder / "pg").stat().st_mode) == 0o700
    postgres.stop()
    postgres.stop()
    postgres.start()
    assert await ask(postgres, "SELECT x FROM kept", "loyalnest") == 42


def test_a_name_that_is_no_identifier_is_refused(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(InvalidInput):
        postgres.create_database_if_missing('x"; DROP DATABASE postgres; --')


async def test_a_server_whose_owner_was_killed_is_adopted(folder: Path) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.embedded.redis import EmbeddedRedis
EmbeddedPostgres(Path({str(folder)!r}) / "pg", durable=False, shared_buffers="32MB").start()
EmbeddedRedis(Path({str(folder)!r}) / "redis").start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    owner = subprocess.run([sys.executable, "-c", program], check=False, cwd=Path.cwd())  # noqa: ASYNC221
    assert owner.returncode == -signal.SIGKILL
    before = postmaster(folder / "pg")
    postgres, cache = EmbeddedPostgres(folder / "pg", shared_buffers="32MB"), EmbeddedRedis(folder / "redis")
    try:
        postgres.start()
        assert postmaster(folder / "pg") == before
        assert await ask(postgres, "SELECT 1") == 1
        await asyncio.sleep(0.3)  # a reload is asynchronous
        assert await ask(postgres, "SHOW fsync") == "on"  # the new owner's settings
        cache.start()
        with redis.Redis.from_url(cache.url) as client:
            run = client.info("server")["run_id"]
            EmbeddedRedis(folder / "redis").start()
            assert client.info("server")["run_id"] == run
    finally:
        postgres.stop()
        cache.stop()
    assert not (folder / "pg" / "postmaster.pid").exists()


async def test_a_killed_server_recovers_what_it_committed(postgres: EmbeddedPostgres, folder: Path) -> None:
    await ask(postgres, "CREATE TABLE kept AS SELECT 42 AS x")
    os.kill(postmaster(folder / "pg"), signal.SIGKILL)
    postgres.start()
    assert await ask(postgres, "SELECT x FROM kept") == 42


async def test_a_stale_pid_file_whose_number_lives_on_does_not_block_the_start(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    pid_file = folder / "pg" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    sleeper = subprocess.Popen(["sleep", "60"], user=(folder / "pg").stat().st_uid if os.geteuid() == 0 else None)  # noqa: ASYNC220
    try:
        pid_file.write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, (folder / "pg").stat().st_uid, -1)
        postgres.start()
        assert await ask(postgres, "SELECT 1") == 1
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


async def test_an_interrupted_initdb_is_begun_again(folder: Path) -> None:
    half = folder / ".pg.initdb"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(folder / "pg", durable=False, shared_buffers="32MB")
    server.start()
    try:
        assert await ask(server, "SELECT 1") == 1
    finally:
        server.stop()


async def test_a_long_path_gets_its_sockets_elsewhere(folder: Path) -> None:
    deep = folder / ("a long folder's name " * 5) / "data"
    postgres, cache = EmbeddedPostgres(deep / "pg", durable=False, shared_buffers="32MB"), EmbeddedRedis(deep / "redis")
    try:
        postgres.start()
        assert await ask(postgres, "SELECT 1") == 1
        cache.start()
        with redis.Redis.from_url(cache.url) as client:
            assert client.ping()
            sockets = Path(client.connection_pool.connection_kwargs["path"])
            assert len(str(sockets)) < 104
    finally:
        postgres.stop()
        cache.stop()
    assert not sockets.parent.exists()


def test_a_broken_data_folder_is_named_with_the_servers_log(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", durable=False, shared_buffers="32MB")
    server.start()
    server.stop()
    (folder / "pg" / "global" / "pg_control").unlink()
    with pytest.raises(Unavailable, match="pg_control"):
        server.start()


def test_redis_keeps_its_data_over_a_stop_and_a_kill(folder: Path) -> None:
    server = EmbeddedRedis(folder / "redis")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    server.stop()
    server.stop()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("a") == b"1"
        client.set("b", "2")
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("b") == b"2"  # the kernel has what the process wrote
    server.stop()


def test_a_redis_that_cannot_start_says_why(folder: Path) -> None:
    (folder / "redis").mkdir()
    (folder / "redis" / "appendonly.aof").write_bytes(b"this is no log of commands\r\n" * 10)
    server = EmbeddedRedis(folder / "redis")
    with pytest.raises(Unavailable, match="append only file"):
        server.start()


def test_the_servers_survive_the_terminals_ctrl_c(postgres: EmbeddedPostgres, folder: Path) -> None:
    assert os.getsid(postmaster(folder / "pg")) != os.getsid(0)
    server = EmbeddedRedis(folder / "redis")
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            assert os.getsid(int(client.info("server")["process_id"])) != os.getsid(0)
    finally:
        server.stop()
