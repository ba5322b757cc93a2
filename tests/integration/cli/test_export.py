"""`loyalnest export` on a database of two merchants."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fixtures.machine import free_port
from loyalnest.kit.discovery import discover
from loyalnest.kit.export_folder import MANIFEST
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement

ROWS = 3000
MAIL = b"sealed e-mail of a customer\x00\xff\n\\"
NOTE = 'a "quoted" note\nwith\x01 every \\ trouble,\x02 ü 🙂'


@pytest.fixture
async def merchants(database_url: str) -> str:
    """The address of a database in which acme has many rows in several services' tables, and brew a few."""
    await migrate(Placement(database_url=database_url), discover().values())
    connection = await asyncpg.connect(database_url)
    try:
        for merchant, rows in (("acme", ROWS), ("brew", 3)):
            await connection.execute(
                "INSERT INTO core.customers (merchant_id, customer_id, email_sealed, source, first_seen_at, updated_at)"
                " SELECT $1, 9007199254740993 + n, $2, 'test', '2026-11-01T12:00:00+02', now()"
                " FROM generate_series(1, $3) n",
                merchant,
                MAIL,
                rows,
            )
            await connection.execute(
                "INSERT INTO points.order_awards (merchant_id, order_id, base)"
                " SELECT $1, n, 12345678901234567890.1234567890 FROM generate_series(1, $2) n",
                merchant,
                rows,
            )
            await connection.execute(
                "INSERT INTO points.points_transactions SELECT $1, gen_random_uuid(), n, 'adjustment', 1, n::text,"
                " null, '', 1, 'test', $2, now() FROM generate_series(1, $3) n",
                merchant,
                NOTE,
                rows,
            )
            await connection.execute(
                "INSERT INTO rfm.rfm_segment_counts SELECT $1, current_date + 40 * n, 'new', 1, 1.50"
                " FROM generate_series(0, 4) n",
                merchant,
            )
    finally:
        await connection.close()
    return database_url


def arguments(merchant: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "loyalnest", "export", merchant, str(folder)]


def environment(url: str) -> dict[str, str]:
    return dict(os.environ) | {"LOYALNEST_DATABASE_URL": url}


def export(url: str, merchant: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(merchant, folder),
        env=environment(url),
        cwd=next(parent for parent in folder.parents if parent.is_dir()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def begin(url: str, merchant: str, folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(arguments(merchant, folder), env=environment(url), cwd=folder.parent)


def inside(folder: Path) -> dict[str, int]:
    """Every file below `folder` with its bytes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def lines(folder: Path, table: str) -> list[dict[str, Any]]:
    text = (folder / f"{table}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


async def test_all_rows_of_the_merchant_and_of_nobody_else(merchants: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = export(merchants, "acme", folder)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["merchant"] == "acme"
    assert manifest["rows"] == 3 * ROWS + 5
    assert manifest["revisions"]["points"] >= "0001"
    for each in manifest["files"]:
        content = (folder / each["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each["sha256"]
        assert (len(content), content.count(b"\n")) == (each["bytes"], each["rows"])
        assert {row["merchant_id"] for row in lines(folder, f"{each['service']}.{each['table']}")} <= {"acme"}
    connection = await asyncpg.connect(merchants)
    try:
        tables = await connection.fetch(
            "SELECT DISTINCT table_schema || '.' || table_name FROM information_schema.columns c"
            " WHERE column_name = 'merchant_id' AND table_schema = ANY($1::text[])"
            " AND NOT (SELECT relispartition OR relkind = 'v' FROM pg_class"
            "          WHERE oid = (table_schema || '.' || table_name)::regclass)",
            list(discover()),
        )
    finally:
        await connection.close()
    assert {f"{each['service']}.{each['table']}" for each in manifest["files"]} == {row[0] for row in tables}
    assert {path.name for path in folder.iterdir()} == {each["file"] for each in manifest["files"]} | {MANIFEST}
    assert "key-encryption keys" in manifest["readme"]
    assert len(lines(folder, "rfm.rfm_segment_counts")) == 5, "rows of partitions come through their table, once"


async def test_values_are_whole(merchants: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert export(merchants, "brew", folder).returncode == 0
    customers = lines(folder, "core.customers")
    assert [each["customer_id"] for each in customers] == [9007199254740994, 9007199254740995, 9007199254740996]
    assert {each["email_sealed"] for each in customers} == {"\\x" + MAIL.hex()}
    assert {each["first_seen_at"] for each in customers} == {"2026-11-01T10:00:00+00:00"}
    assert {each["note"] for each in lines(folder, "points.points_transactions")} == {NOTE}
    assert '"base": 12345678901234567890.1234567890' in (folder / "points.order_awards.jsonl").read_text()
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if path.name != MANIFEST} == {"0o600"}


async def test_a_killed_export_is_no_export_and_the_next_one_is_whole(merchants: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    holder = await asyncpg.connect(merchants)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE points.points_transactions IN ACCESS EXCLUSIVE MODE")
            process = begin(merchants, "acme", folder)
            waiting = "SELECT count(*) FROM pg_locks WHERE relation = $1::regclass AND NOT granted"
            async with asyncio.timeout(60):
                while not await holder.fetchval(waiting, "points.points_transactions"):
                    assert process.poll() is None
                    await asyncio.sleep(0.05)
            assert any(inside(tmp_path).values()), "it was in the middle"
            busy = export(merchants, "acme", folder)
            assert (busy.returncode, "Another process is exporting" in busy.stderr) == (1, True)
            process.kill()
            process.wait()
    finally:
        await holder.close()
    assert not folder.exists()
    assert inside(tmp_path) and not [name for name in inside(tmp_path) if name.endswith(MANIFEST)]
    done = export(merchants, "acme", folder)
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / MANIFEST).read_text())["rows"] == 3 * ROWS + 5
    assert {Path(name).parts[0] for name in inside(tmp_path)} == {"out"}


async def test_a_complete_export_is_left_as_it_is(merchants: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(merchants, "acme", folder)
    before = (folder / MANIFEST).read_bytes()
    again = export(merchants, "acme", folder)
    assert (again.returncode, (folder / MANIFEST).read_bytes()) == (0, before)
    assert "complete export of acme already" in again.stdout
    other = export(merchants, "brew", folder)
    assert (other.returncode, "is no export of brew" in other.stderr) == (1, True)
    (tmp_path / "file").write_text("mine")
    assert export(merchants, "brew", tmp_path / "file").returncode == 1
    assert (tmp_path / "file").read_text() == "mine"


async def test_what_stands_in_the_way_is_one_line_and_leaves_nothing(
    merchants: str, database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    nowhere = f"postgresql://u:hidden@127.0.0.1:{free_port()}/x"
    cases = [
        (merchants, "acmee", folder, "nothing of the merchant acmee here"),
        (nowhere, "acme", folder, "cannot be reached"),
        ("", "acme", folder, "LOYALNEST_DATABASE_URL"),
        (merchants, "acme", tmp_path / "no" / "such", "No such file or directory"),
    ]
    for url, merchant, where, words in cases:
        done = export(url, merchant, where)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert words in done.stderr
        assert "hidden" not in done.stderr
        assert inside(tmp_path) == {}


@pytest.mark.parametrize("migrated", [False, True])
async def test_a_database_that_never_had_a_merchant_gives_an_export_without_rows(
    database_url: str, tmp_path: Path, *, migrated: bool
) -> None:
    if migrated:
        await migrate(Placement(database_url=database_url), discover().values())
    done = export(database_url, "acme", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["rows"] == 0
