"""The demo, as `make run` starts it: interrupted in its first minute, it goes on and comes out as it must."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.platform import eventually
from e2e.processes import COMMAND, Process
from fixtures.machine import free_port
from loyalnest.kit.discovery import discover

MINUTES = 8 * 60.0
"""Patience with a machine that has other things to do."""
CUSTOMERS = 2357 + 5
ORDERS = 6919 + 8
"""CDNOW's, and those of clusters/demo/recent.jsonl."""
RECENT = 12 + 5 + 8 + 1
"""Its deliveries: products, customers, orders and a refund."""
MESSAGES = 17
"""An invitation and a reward; three to each of the five recent customers, of whom nobody gets more in a day."""
EXPECTED = {
    "admin_core": "0 broken; data requests: 1 completed",
    "admin_features": f"{MESSAGES} sent",
    "api_gateway": f"{9276 + RECENT:,} signed deliveries",
    "auth": "2 shops",
    "campaign": "Vinyl fortnight gave 1,541 points",  # floor(10 × 49.80), of 54.40, 22.00 and 27.90
    "core": f"{CUSTOMERS:,} customers",
    "event_tracking": f"{MESSAGES} email done",
    "frontend": "(200, ",
    "gamification": "2 in the leaderboard, led by Nora L.",
    "points": " 500 redeemed",
    "products": "12 products to search; “lp” finds 4",
    "referrals": "1 clicks, 1 invitations, referrals: 1 completed",
    "rfm": f"{CUSTOMERS:,} customers scored",
}


@pytest.fixture
def demo(server_folder: Path) -> Iterator[Process]:
    folder = server_folder / "demo"
    folder.mkdir()
    arguments = ["up", "--data", str(folder / "data"), "--port", str(free_port())]
    process = Process("up", arguments, {"PYTHONUNBUFFERED": "1"}, folder)
    yield process
    process.stop()


def data_of(process: Process) -> Path:
    return process.log.parent / "data"


def position(process: Process) -> int:
    """How many deliveries of the purchases' replay are behind its mark."""
    marks = list(data_of(process).glob("cdnow*.replay"))
    return json.loads(marks[0].read_text())["position"] if marks else 0


def interrupt(process: Process) -> int:
    """Ctrl-C, which reaches the whole group as from a terminal; the exit code once it has drained."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait()


def command(process: Process, *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments, "--data", str(data_of(process))],
        capture_output=True,
        text=True,
        timeout=MINUTES,
        check=True,
    )
    return done.stdout


def text_of_next_start(process: Process) -> str:
    """What a start prints until it says that it goes on serving."""
    before = len(process.log.read_bytes()) if process.log.exists() else 0
    process.start()

    def printed() -> str:
        text = process.log.read_bytes()[before:].decode()
        assert process.alive(), text
        assert "Ctrl-C drains and stops." in text
        return text

    return eventually(printed, seconds=MINUTES)


def points_of(text: str) -> tuple[int, int]:
    """Points issued and available, as printed."""
    found = re.search(
        rf"acme: {CUSTOMERS:,} customers, {ORDERS:,} orders, ([\d,]+) points issued, ([\d,]+) available", text
    )
    assert found, text
    issued, available = (int(number.replace(",", "")) for number in found.groups())
    return issued, available


def services_of(text: str) -> dict[str, str]:
    """What each service did, as printed."""
    table = text.partition("WHAT IT DID")[2].partition("What customers were written")[0]
    return dict(re.findall(r"^([a-z_]+) +(.+?) *$", table, re.M))


def test_an_interrupted_demo_goes_on_and_comes_out_as_it_must(demo: Process) -> None:
    demo.start()

    def under_way() -> None:
        assert demo.alive(), demo.tail()
        assert position(demo) >= 500

    eventually(under_way, seconds=MINUTES)
    assert interrupt(demo) == 0, demo.tail()
    reached = position(demo)
    assert 500 <= reached < 9276
    assert "Draining and stopping" in demo.tail()
    assert "Traceback" not in demo.tail()

    text = text_of_next_start(demo)
    assert f"{9276 - reached} deliveries sent" in text
    assert f"{reached} skipped" in text
    assert f"{RECENT} deliveries sent" in text
    issued, available = points_of(text)
    # 2,672,440 by the rate alone. Customers reach tiers while orders stream in, and most orders after that give more.
    assert 2_672_440 < issued < 2_672_440 * 3 // 2
    assert issued == available + 500  # Nora's reward
    did = services_of(text)
    assert sorted(did) == sorted(discover())
    for service, words in EXPECTED.items():
        assert words in did[service], did
    assert len(list((data_of(demo) / "messages").glob("*.eml"))) == MESSAGES
    segments = [int(number.replace(",", "")) for number in re.findall(r"^[a-z_]+ +([\d,]+) +[\d.]+ *$", text, re.M)]
    assert (len(segments), sum(segments)) == (10, CUSTOMERS)
    assert "customer 7000000000004: 1," in text
    assert "http://127.0.0.1:" in text
    assert text.count("Log in as") == 2
    assert f"{CUSTOMERS} customers scored, 0 changed" in command(demo, "rfm", "refresh", "acme")
    assert "all proven" in command(demo, "verify", "acme")
    assert interrupt(demo) == 0, demo.tail()

    again = text_of_next_start(demo)
    assert len(re.findall(r"^0 deliveries sent", again, re.M)) == 2
    assert points_of(again) == (issued, available)
    del did["admin_core"]  # each start logs somebody in, and the audit log says so
    assert services_of(again).items() >= did.items()
    assert len(list((data_of(demo) / "messages").glob("*.eml"))) == MESSAGES
