"""Every ledger is verified once a night, whatever restarts; what is found stands in the gauges until it is mended."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from integration.points.support import Points
from loyalnest.points.service import PointsService
from loyalnest.points.verification import NightlyVerification, night

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def verification(points: Points) -> NightlyVerification:
    """As a process has it that has just started."""
    return NightlyVerification(points.database, points.service, points.clock)


async def seen(points: Points) -> tuple[float | None, float | None]:
    """Mismatches and merchants still to verify, as scraped from a process that did not verify anybody."""
    await verification(points).observe()
    return (
        REGISTRY.get_sample_value("loyalnest_ledger_mismatches"),
        REGISTRY.get_sample_value("loyalnest_ledgers_unverified"),
    )


@pytest.mark.parametrize(
    ("now", "began"),
    [
        (datetime(2026, 5, 2, 3, tzinfo=UTC), datetime(2026, 5, 2, 3, tzinfo=UTC)),
        (datetime(2026, 5, 2, 2, 59, 59, tzinfo=UTC), datetime(2026, 5, 1, 3, tzinfo=UTC)),
        (datetime(2026, 5, 1, 23, 30, tzinfo=UTC), datetime(2026, 5, 1, 3, tzinfo=UTC)),
    ],
)
def test_a_night_begins_at_three(now: datetime, began: datetime) -> None:
    assert night(now) == began


async def test_each_merchant_is_verified_once_a_night(points: Points) -> None:
    points.clock.now = NOON
    await points.add_merchant("globex")
    assert await seen(points) == (0, 2)
    assert await verification(points).run() == 2
    assert await seen(points) == (0, 0)
    assert await verification(points).run() == 0
    points.clock.now = night(NOON) + timedelta(days=1)
    assert await seen(points) == (0, 2)
    assert await verification(points).run() == 2


async def test_a_mismatch_stands_until_a_verification_finds_it_mended(points: Points) -> None:
    points.clock.now = NOON
    await points.add_merchant("globex")
    await points.earn(30)
    await points.earn(40, merchant_id="globex")
    await points.sql("UPDATE points.balances SET available = available + 5 WHERE merchant_id = 'acme'")
    await verification(points).run()
    found = len(await points.problems())
    assert found > 0
    assert await seen(points) == (found, 0)
    await points.sql("UPDATE points.balances SET available = available - 5 WHERE merchant_id = 'acme'")
    assert await seen(points) == (found, 0)
    points.clock.advance(days=1)
    await verification(points).run()
    assert await seen(points) == (0, 0)


async def test_a_failure_leaves_the_rest_for_the_next_run(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    points.clock.now = NOON
    for number in range(5):
        await points.add_merchant(f"shop-{number}")
    verify, left = PointsService.verify, 3

    async def fails_later(service: PointsService, merchant_id: str) -> tuple[int, int, list[tuple[str, str, str]]]:
        nonlocal left
        left -= 1
        if left < 0:
            raise TimeoutError
        return await verify(service, merchant_id)

    with monkeypatch.context() as patched:
        patched.setattr(PointsService, "verify", fails_later)
        with pytest.raises(TimeoutError):
            await verification(points).run()
    assert await seen(points) == (0, 3)
    assert await verification(points).run() == 3
