"""How long a service remembers what it applied: as long as it is told, and always longer than topics keep events."""

from pathlib import Path

import pytest

from integration.kit.support import asked, counters, counters_service, migrated
from loyalnest.kit.inbox import pruning, take_new
from loyalnest.kit.settings import Settings


@pytest.mark.parametrize(
    ("inbox_days", "retention_hours", "remembered"),
    [
        (30, 168, [1, 8, 20]),
        (7, 24, [1]),
        (1, 168, [1, 8]),  # the topic keeps seven days, whatever is said
    ],
)
async def test_what_is_forgotten(
    database_url: str, tmp_path: Path, inbox_days: int, retention_hours: int, remembered: list[int]
) -> None:
    settings = Settings(inbox_days=inbox_days, topic_retention_hours=retention_hours)
    await migrated(database_url, counters_service(tmp_path))
    async with counters(database_url) as service:
        ages = dict(zip([1, 8, 20, 40], asked(4), strict=True))
        async with service.database.worker() as connection:
            assert len(await take_new(connection, "counters", list(ages.values()))) == 4
        for days, event in ages.items():
            await service.sql(
                "UPDATE counters.inbox SET received_at = now() - make_interval(days => $1) WHERE event_id = $2",
                days,
                event.id,
            )
        forgotten = await pruning(service.database, settings.remembered_days).run()
        assert forgotten == 4 - len(remembered)
        async with service.database.worker() as connection:
            again = await take_new(connection, "counters", list(ages.values()))
        assert [days for days, event in ages.items() if event not in again] == remembered
