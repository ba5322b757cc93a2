"""The command line, as a person uses it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.platform import Platform

COMMANDS = [
    ["up"],
    ["serve"],
    ["migrate"],
    ["provision"],
    ["services"],
    ["token"],
    ["replay"],
    ["verify"],
    ["export"],
    ["rfm", "refresh"],
    ["deadletters", "list"],
    ["deadletters", "replay"],
    ["keys", "rotate"],
]


def loyalnest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a platform."""
    return subprocess.run(
        [sys.executable, "-m", "loyalnest", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    done = loyalnest(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: loyalnest" in done.stdout
    assert len(done.stdout.splitlines()) > 5


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
    for arguments in (
        ["token", "acme", "--data", f"{tmp_path}/nothing"],
        ["serve", "--services", "no-such"],
        ["replay", f"{tmp_path}/missing.txt", "--merchant", "acme", "--data", f"{tmp_path}/nothing"],
    ):
        done = loyalnest(*arguments)
        assert done.returncode == 1, arguments
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("Error: ")


def test_an_unknown_merchant_is_named(platform: Platform) -> None:
    done = platform.command("acme", "token", "nobody")
    assert done.returncode == 1
    assert "nobody" in done.stderr


def test_refresh_and_dead_letters(platform: Platform) -> None:
    done = platform.command("acme", "rfm", "refresh", "acme")
    assert done.returncode == 0, done.stderr
    assert "customers scored" in done.stdout
    done = platform.command("acme", "deadletters", "list")
    assert done.returncode == 0, done.stderr
    assert "No dead letters." in done.stdout


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
