"""`loyalnest migrate` and `loyalnest provision`, as a Job runs them."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fixtures.machine import free_port

KEYS = "k1:" + base64.b64encode(b"k" * 32).decode()
DOCUMENT = """
apiVersion: v1
kind: Secret
metadata: {name: acme-shopify}
stringData: {apiKey: key, apiSecret: %(secret)s}
---
apiVersion: loyalnest.io/v1alpha1
kind: LoyaltyProgram
metadata: {name: acme}
spec:
  shop: {domain: %(shop)s, credentialsSecret: {name: acme-shopify}}
  rulesManagedBy: %(owner)s
  suspend: %(suspend)s
  earning:
    rules: [{name: purchase, trigger: order, pointsPerUnit: %(points)s}]
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(database_url: str, redis_url: str, tmp_path: Path) -> Command:
    """Runs a command on this test's database with a program that says `what`."""

    def run(*arguments: str, env: dict[str, str] | None = None, **what: str) -> subprocess.CompletedProcess[str]:
        said = {"secret": "s", "shop": "acme.myshopify.com", "owner": "Resource", "suspend": "false", "points": "10"}
        document = tmp_path / "acme.yaml"
        document.write_text(DOCUMENT % (said | what))
        settings = {
            "LOYALNEST_DATABASE_URL": database_url,
            "LOYALNEST_REDIS_URL": redis_url,
            "LOYALNEST_ENCRYPTION_KEYS": KEYS,
            "LOYALNEST_PROGRAMS": json.dumps([str(document)]),
        }
        return subprocess.run(
            [sys.executable, "-m", "loyalnest", *arguments],
            env=dict(os.environ) | settings | (env or {}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
        )

    return run


def succeeds(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why, with which a Job's pod ends."""
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    return last


async def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


SETTINGS = "SELECT version, rules #>> '{earning,rules,0,pointsPerUnit}' FROM core.program_settings ORDER BY 1"


async def test_each_service_is_given_the_program_once(command: Command, database_url: str) -> None:
    succeeds(command("migrate"))
    assert "acme: provisioned" in succeeds(command("provision"))
    everything = [
        "SELECT merchant_id, shop_domain, status, updated_at FROM auth.merchants",
        "SELECT purpose, version FROM auth.data_keys ORDER BY 1",
        "SELECT version, changed_at FROM core.program_settings",
        "SELECT version FROM points.program_rules",
        "SELECT merchant_id, cron FROM rfm.schedules",
        "SELECT topic FROM core.outbox UNION ALL SELECT topic FROM auth.outbox ORDER BY 1",
    ]
    first = [await rows(database_url, query) for query in everything]
    assert [len(found) > 0 for found in first] == [True] * len(everything)
    succeeds(command("provision"))
    assert [await rows(database_url, query) for query in everything] == first


async def test_a_changed_document_becomes_a_new_version_where_the_resource_owns_the_rules(
    command: Command, database_url: str
) -> None:
    succeeds(command("migrate"))
    for points in ("10", "20", "20", "5"):
        succeeds(command("provision", points=points))
    found = [(version, float(points)) for version, points in await rows(database_url, SETTINGS)]
    assert found == [(1, 10.0), (2, 20.0), (3, 5.0)]
    told = await rows(database_url, "SELECT count(*) FROM core.outbox WHERE topic = 'settings.changed'")
    assert told == [(3,)]


async def test_a_changed_document_changes_no_rules_that_the_dashboard_owns(command: Command, database_url: str) -> None:
    succeeds(command("migrate"))
    for points in ("10", "20"):
        succeeds(command("provision", points=points, owner="Dashboard"))
    assert [(version, float(points)) for version, points in await rows(database_url, SETTINGS)] == [(1, 10.0)]


async def test_suspension_and_credentials_are_taken_over(command: Command, database_url: str) -> None:
    succeeds(command("migrate"))
    merchant = "SELECT status, api_secret FROM auth.merchants"
    succeeds(command("provision"))
    ((status, secret),) = await rows(database_url, merchant)
    assert status == "active"
    succeeds(command("provision", suspend="true", secret="another"))
    ((status, other),) = await rows(database_url, merchant)
    assert (status, other != secret) == ("suspended", True)


async def test_a_disabled_service_is_left_out(command: Command, database_url: str) -> None:
    succeeds(command("migrate"))
    succeeds(command("provision", env={"LOYALNEST_DISABLED_SERVICES": '["rfm"]'}))
    assert await rows(database_url, "SELECT * FROM rfm.schedules") == []
    assert len(await rows(database_url, "SELECT * FROM points.program_rules")) == 1


async def test_what_stands_in_the_way_is_the_last_line(command: Command, database_url: str) -> None:
    assert "run loyalnest migrate" in fails(command("provision"))
    succeeds(command("migrate"))
    assert "LOYALNEST_PROGRAMS" in fails(command("provision", env={"LOYALNEST_PROGRAMS": "[]"}))
    assert "spec.earning" in fails(command("provision", points="lots"))
    assert "LOYALNEST_REDIS_URL" in fails(command("provision", env={"LOYALNEST_REDIS_URL": ""}))
    assert "No service nothing" in fails(command("provision", "--services", "nothing"))
    nowhere = {"LOYALNEST_DATABASE_URL": f"postgresql://u:hidden@127.0.0.1:{free_port()}/x"}
    for name in ("migrate", "provision"):
        said = fails(command(name, env=nowhere))
        assert "cannot be reached" in said
        assert "hidden" not in said
    succeeds(command("provision"))
    assert "has the shop acme.myshopify.com" in fails(command("provision", shop="other.myshopify.com"))


async def test_a_migration_that_postgresql_refuses_is_the_last_line(command: Command, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("CREATE SCHEMA points CREATE TABLE points.lots (x int)")
    finally:
        await connection.close()
    said = fails(command("migrate"))
    assert "A migration of points failed" in said
    assert 'relation "lots" already exists' in said


async def test_commands_work_where_a_service_is_disabled(command: Command) -> None:
    off = {"LOYALNEST_DISABLED_SERVICES": '["gamification", "rfm"]'}
    assert command("migrate").returncode == 0
    assert command("provision", env=off).returncode == 0
    for words in (("token", "acme"), ("verify", "acme")):
        done = command(*words, env=off)
        assert done.returncode == 0, done.stderr
