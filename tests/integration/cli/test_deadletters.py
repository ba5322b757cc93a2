"""Dead letters are listed until they were replayed, and replayed as they were."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from loyalnest.cli.deadletters import chosen, kept, publish_again, waiting
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.consumer import DeadLetter, dead_letter_topic
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.events import Event

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NAMES = ["core", "points"]


@pytest.fixture
async def bus(database_url: str) -> AsyncIterator[PostgresBus]:
    bus = PostgresBus(database_url)
    await bus.start()
    await bus.ensure_topics(["webhook.received", *map(dead_letter_topic, NAMES)])
    yield bus
    await bus.stop()


def original(number: int) -> Event:
    return Event(
        id=UUID(int=number),
        topic="webhook.received",
        merchant_id="acme",
        key="k",
        payload=b'{"n": %d}' % number,
        occurred_at=NOW,
    )


async def give_up(bus: PostgresBus, service: str, number: int) -> None:
    letter = DeadLetter(service=service, error="it fell", failed_at=NOW, original=original(number))
    event = letter.event("acme", "k", id=uuid4())
    await bus.publish([msgspec.structs.replace(event, topic=dead_letter_topic(service))])


async def test_what_waits_is_listed_until_it_was_replayed(bus: PostgresBus) -> None:
    assert await waiting(bus, NAMES) == []
    await give_up(bus, "core", 1)
    await give_up(bus, "points", 2)
    for _ in range(2):  # listing takes nothing away
        assert [(each.service, each.original.id.int) for each in await waiting(bus, NAMES)] == [
            *(("core", 1), ("points", 2)),
        ]
    assert await publish_again(bus, ["points"]) == 1
    assert [each.service for each in await waiting(bus, NAMES)] == ["core"]
    assert [each.service for each in await kept(bus, NAMES)] == ["core", "points"]
    assert await publish_again(bus, NAMES) == 1
    assert await publish_again(bus, NAMES) == 0
    assert [event async for event in bus.read_all("webhook.received")] == [original(2), original(1)]


def test_a_service_that_is_not_there_is_refused() -> None:
    assert chosen("core") == ["core"]
    assert {"core", "points"} <= set(chosen(None))
    with pytest.raises(InvalidInput, match="No service nothing"):
        chosen("nothing")
