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

MINUTES = 8 * 60.0
"""Patience with a machine that has other things to do."""


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
    """How many deliveries of the replay are behind its mark."""
    marks = list(data_of(process).glob("*.replay"))
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
    found = re.search(r"acme: 2,357 customers, 6,919 orders, ([\d,]+) points issued, ([\d,]+) available", text)
    assert found, text
    issued, available = (int(number.replace(",", "")) for number in found.groups())
    return issued, available


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
    issued, available = points_of(text)
    # 2,672,440 by the rate alone. Customers reach tiers while orders stream in, and most orders after that give more.
    assert 2_672_440 < issued < 2_672_440 * 3 // 2
    assert issued == available
    segments = [int(number.replace(",", "")) for number in re.findall(r"^[a-z_]+ +([\d,]+) +[\d.]+ *$", text, re.M)]
    assert (len(segments), sum(segments)) == (10, 2357)
    assert "customer 7000000000004: 1," in text
    assert "http://127.0.0.1:" in text
    assert text.count("Log in as") == 2
    assert "2357 customers scored, 0 changed" in command(demo, "rfm", "refresh", "acme")
    assert "all proven" in command(demo, "verify", "acme")
    assert interrupt(demo) == 0, demo.tail()

    again = text_of_next_start(demo)
    assert "0 deliveries sent" in again
    assert points_of(again) == (issued, available)
