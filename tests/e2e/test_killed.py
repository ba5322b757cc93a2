"""Processes are killed in the middle of a replay; nothing is lost and nothing doubled."""

import random
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from e2e.conftest import embedded, separate
from e2e.platform import Platform, eventually

PURCHASES = Path(__file__).parents[2] / "clusters" / "demo" / "cdnow_sample.txt"
LINES = 3000
FIRST_CUSTOMER = 7_000_000_000_000


@pytest.fixture(params=["embedded", "separate"])
def own_platform(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Platform]:
    """A packing of this test's own, for it is going to suffer."""
    folder = server_folder / f"killed-{request.param}"
    folder.mkdir()
    chosen: Platform = embedded(folder) if request.param == "embedded" else separate(request, folder)
    try:
        chosen.start()
        yield chosen
    finally:
        chosen.stop()


def expected_points() -> dict[int, int]:
    """What each customer must have, from the file alone: 100 for joining and floor(10 × dollars) an order."""
    points: dict[int, int] = defaultdict(int)
    for row in PURCHASES.read_text().splitlines()[:LINES]:
        fields = row.split()
        customer = FIRST_CUSTOMER + int(fields[0])
        if customer not in points:
            points[customer] = 100
        points[customer] += int(Decimal(fields[-1]) * 10)
    return dict(points)


def test_killed_in_the_middle_of_a_replay(own_platform: Platform, tmp_path: Path) -> None:
    platform = own_platform
    file = tmp_path / "purchases.txt"
    file.write_text("\n".join(PURCHASES.read_text().splitlines()[:LINES]))
    expected = expected_points()
    done: list[subprocess.CompletedProcess[str]] = []

    def replay() -> None:
        arguments = ["replay", str(file), "--merchant", "acme", "--url", platform.url("acme"), "--concurrency", "16"]
        arguments += ["--state", str(tmp_path / "state")]
        for _ in range(
            20
        ):  # the command gives up on deliveries while the gateway is away; it goes on when called again
            result = platform.command("acme", *arguments)
            done.append(result)
            if result.returncode == 0:
                return
            time.sleep(0.5)

    sender = threading.Thread(target=replay)
    sender.start()
    chance = random.Random(7)
    names = [name for name in platform.processes if name != "brew"]
    kills = 0
    while sender.is_alive() and kills < 6:
        time.sleep(chance.uniform(0.7, 1.5))
        name = names[kills % len(names)]
        platform.processes[name].kill()
        platform.processes[name].start()
        kills += 1
        if platform.packing == "embedded":
            platform.wait_until_ready("acme")
    sender.join(240)
    assert not sender.is_alive()
    assert done[-1].returncode == 0, done[-1].stdout + done[-1].stderr
    assert kills >= 3, "the replay was over before anything was killed"
    platform.wait_until_ready("acme")

    def arrived() -> None:
        totals = platform.get("acme", "/frontend/points/totals")
        assert totals["orders"] == LINES
        assert totals["members"] == len(expected)
        assert totals["available"] == sum(expected.values())

    eventually(arrived, seconds=60)
    for customer in chance.sample(sorted(expected), 50):
        assert platform.points("acme", customer)["available"] == expected[customer]
    proven = platform.command("acme", "verify", "acme")
    assert proven.returncode == 0, proven.stdout + proven.stderr

    def scored() -> None:
        segments = platform.get("acme", "/frontend/segments")
        assert sum(each["customers"] for each in segments["segments"]) == len(expected)

    eventually(scored, seconds=60)
