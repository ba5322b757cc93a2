"""The command line, as a person uses it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from e2e.platform import Platform

NOWHERE = "postgresql://me:open-sesame@127.0.0.1:1/x"


def loyalnest(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run the command without a platform; `environment` adds LOYALNEST_ variables."""
    return subprocess.run(
        [sys.executable, "-m", "loyalnest", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env=dict(os.environ) | {f"LOYALNEST_{name}": value for name, value in environment.items()},
    )


def one_clear_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed said, which must be one line, without a trace."""
    assert done.returncode == 1, done
    assert done.stderr.startswith("Error: "), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_services_lists_needs_topics_and_methods() -> None:
    done = loyalnest("services")
    assert done.returncode == 0, done.stderr
    for word in ("api_gateway", "auth", "core", "points", "rfm", "webhook.received", "GetPointsBalance"):
        assert word in done.stdout
    names = loyalnest("services", "--names").stdout.split()
    assert names.index("auth") < names.index("points") < len(names)


def test_a_wrong_program_is_refused_before_anything_starts(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        "apiVersion: loyalnest.io/v1alpha1\nkind: LoyaltyProgram\nmetadata: {name: x}\nspec: {currency: 7}\n"
    )
    done = loyalnest("up", "--data", str(tmp_path / "data"), "--programs", str(wrong))
    assert done.returncode == 1
    assert "wrong.yaml" in done.stderr
    assert "spec.shop" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_failures_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments in (
        ["token", "acme", "--data", f"{tmp_path}/nothing"],
        ["serve", "--services", "no-such"],
        ["replay", f"{tmp_path}/missing.txt", "--merchant", "acme", "--data", f"{tmp_path}/nothing"],
        ["up", "--no-demo", "--data", f"{tmp_path}/file/data"],
        ["deadletters", "list", "--service", "no-such", "--data", f"{tmp_path}/nothing"],
    ):
        one_clear_line(loyalnest(*arguments))


def test_a_command_that_finds_no_data_says_what_to_give(tmp_path: Path) -> None:
    assert "give --data DIR" in one_clear_line(loyalnest("token", "acme", cwd=tmp_path))


@pytest.mark.parametrize("command", ["serve", "migrate"])
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "set LOYALNEST_DATABASE_URL"),
        ({"DATABASE_URL": NOWHERE}, "postgresql://me@127.0.0.1:1/x cannot be reached"),
        ({"DATABASE_URL": "nonsense"}, "is not valid"),
        ({"BUS": "rabbit"}, "LOYALNEST_BUS: Input should be 'postgres' or 'kafka'"),
        ({"PEERS": "nonsense"}, "LOYALNEST_PEERS: Input should be JSON"),
        ({"PROGRAMS": "a.yaml"}, "LOYALNEST_PROGRAMS: Input should be JSON"),
    ],
    ids=["nothing", "away", "no address", "bus", "peers", "programs"],
)
def test_a_wrong_environment_is_named(command: str, environment: dict[str, str], words: str) -> None:
    assert words in one_clear_line(loyalnest(command, "--services", "points", environment=environment))


@pytest.mark.parametrize("command", [["token"], ["verify"], ["rfm", "refresh"]], ids=" ".join)
def test_an_unknown_merchant_is_named(platform: Platform, command: list[str]) -> None:
    assert "nobody" in one_clear_line(platform.command("acme", *command, "nobody"))


def test_refresh_and_dead_letters(platform: Platform) -> None:
    done = platform.command("acme", "rfm", "refresh", "acme")
    assert done.returncode == 0, done.stderr
    assert "customers scored" in done.stdout
    done = platform.command("acme", "deadletters", "list")
    assert done.returncode == 0, done.stderr
    assert "No dead letters." in done.stdout


def test_redactions_are_told_again(platform: Platform) -> None:
    done = platform.command("acme", "gdpr", "replay", "acme", "--since", "2026-01-01T00:00:00Z")
    assert done.returncode == 0, done.stderr
    assert "acme: 0 redactions told again" in done.stdout
    assert "time zone" in one_clear_line(platform.command("acme", "gdpr", "replay", "--since", "yesterday"))


def test_a_merchants_data_is_exported(platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = platform.command("acme", "export", "acme", str(folder))
    assert done.returncode == 0, done.stderr
    assert "acme-secret" not in (folder / "auth.merchants.jsonl").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"] > 0
    assert {"auth", "core", "points", "rfm"} <= {each["service"] for each in manifest["files"]}


def test_keys_rotate_and_everything_still_opens(platform: Platform) -> None:
    before = platform.get("acme", "/frontend/customers")
    done = platform.command("acme", "keys", "rotate")
    assert done.returncode == 0, done.stderr
    assert platform.get("acme", "/frontend/customers") == before
