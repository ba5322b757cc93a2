"""A program's topics on a real Kafka."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from fixtures.guarded_postgres import no_parts
from fixtures.machine import free_port
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.kit.bus.kafka import KafkaBus
from loyalnest.kit.bus.kafka_admin import KafkaAdmin, TopicShape
from loyalnest.kit.errors import InvalidInput, Unavailable
from loyalnest.kit.events import Event
from loyalnest.kit.service import Service
from loyalnest_operator.topics import delete_topics, ensure_topics

TOPIC = WebhookReceived.topic
SERVICES = [
    Service(name="edge", summary="", build=no_parts, produces=(WebhookReceived,)),
    Service(name="reader", summary="", build=no_parts, consumes=(TOPIC, "points.earned")),
]
NAMES = {TOPIC, "points.earned", "dead_letter.edge", "dead_letter.reader"}
SHAPE = TopicShape(partitions=2, retention_hours=24, copies=3)
AS_WANTED = dict.fromkeys(NAMES, (2, 24))


class Client:
    """The admin client; notes what it is asked to change."""

    def __init__(self, client: AdminClient, changes: list[str]) -> None:
        self._client, self._changes = client, changes

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("create_", "incremental_", "alter_", "delete_")):
            self._changes.append(name)
        return getattr(self._client, name)


class Watched(KafkaAdmin):
    """changes: the names of the client's calls that would change something."""

    def __init__(self, brokers: str) -> None:
        super().__init__(brokers, "test")
        self.changes: list[str] = []
        self._client = cast("AdminClient", Client(self._client, self.changes))


def made() -> Event:
    """An event on TOPIC."""
    return WebhookReceived(delivery_id=str(uuid.uuid4()), shopify_topic="orders/create").event("acme", "c1")


@pytest.fixture
def admin(kafka_brokers: str) -> Watched:
    return Watched(kafka_brokers)


@pytest.fixture
async def prefix(admin: Watched) -> AsyncIterator[str]:
    prefix = f"loyalnest.p{uuid.uuid4().hex[:12]}."
    yield prefix
    await delete_topics(admin, prefix)


async def shown(admin: KafkaAdmin, prefix: str) -> dict[str, tuple[int, int]]:
    """By topic without its prefix: partitions, hours of retention."""
    there = await admin.partitions([prefix + name for name in NAMES])
    kept = await admin.retentions(list(there))
    return {name.removeprefix(prefix): (there[name], int(kept[name]) // 3_600_000) for name in there}


async def becomes(admin: KafkaAdmin, prefix: str, expected: Mapping[str, tuple[int, int]]) -> None:
    """Wait until the brokers show it: they answer a change before each of them has heard of it."""
    for _ in range(300):
        if await shown(admin, prefix) == expected:
            return
        await asyncio.sleep(0.1)
    assert await shown(admin, prefix) == expected


async def settings(admin: KafkaAdmin, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (config,) = await admin.ask(lambda: admin.client.describe_configs([resource]).values())
    return {name: entry.value for name, entry in config.items()}


async def test_topics_are_made_with_partitions_and_retention(admin: Watched, prefix: str) -> None:
    assert await ensure_topics(admin, prefix, SERVICES, SHAPE)
    await becomes(admin, prefix, AS_WANTED)
    made = await settings(admin, prefix + TOPIC)
    assert int(made["max.message.bytes"]) == 8 * 1024 * 1024


async def test_what_is_as_it_should_be_is_only_read(admin: Watched, prefix: str) -> None:
    await ensure_topics(admin, prefix, SERVICES, SHAPE)
    await becomes(admin, prefix, AS_WANTED)
    assert admin.changes == ["create_topics"]
    admin.changes.clear()
    assert not await ensure_topics(admin, prefix, SERVICES, SHAPE)
    assert admin.changes == []


async def test_partitions_grow_and_never_shrink(admin: Watched, prefix: str) -> None:
    await ensure_topics(admin, prefix, SERVICES, SHAPE)
    await becomes(admin, prefix, AS_WANTED)
    assert await ensure_topics(admin, prefix, SERVICES, replace(SHAPE, partitions=5))
    await becomes(admin, prefix, dict.fromkeys(NAMES, (5, 24)))
    admin.changes.clear()
    assert not await ensure_topics(admin, prefix, SERVICES, SHAPE)
    assert admin.changes == []
    await becomes(admin, prefix, dict.fromkeys(NAMES, (5, 24)))


async def test_retention_follows_the_spec_and_other_settings_stay(admin: Watched, prefix: str) -> None:
    await ensure_topics(admin, prefix, SERVICES, SHAPE)
    await becomes(admin, prefix, AS_WANTED)
    assert await ensure_topics(admin, prefix, SERVICES, replace(SHAPE, retention_hours=100))
    await becomes(admin, prefix, dict.fromkeys(NAMES, (2, 100)))
    assert int((await settings(admin, prefix + TOPIC))["max.message.bytes"]) == 8 * 1024 * 1024
    await admin.retain([prefix + TOPIC], "1000")  # by hand
    admin.changes.clear()
    assert await ensure_topics(admin, prefix, SERVICES, replace(SHAPE, retention_hours=100))
    assert admin.changes == ["incremental_alter_configs"]
    await becomes(admin, prefix, dict.fromkeys(NAMES, (2, 100)))


async def test_a_service_that_appears_gets_its_topics(admin: Watched, prefix: str) -> None:
    await ensure_topics(admin, prefix, SERVICES[:1], SHAPE)
    await becomes(admin, prefix, dict.fromkeys([TOPIC, "dead_letter.edge"], (2, 24)))
    assert await ensure_topics(admin, prefix, SERVICES, SHAPE)
    await becomes(admin, prefix, AS_WANTED)


async def test_what_was_made_in_between_is_no_fault(admin: Watched, prefix: str) -> None:
    await admin.create([prefix + TOPIC], SHAPE)
    await admin.create([prefix + TOPIC], replace(SHAPE, partitions=9))
    await becomes(admin, prefix, {TOPIC: (2, 24)})


async def read_one(bus: KafkaBus, group: str) -> Sequence[Event]:
    subscription = bus.subscribe(group, TOPIC)
    try:
        for _ in range(60):
            batch = await subscription.fetch(10, 1.0)
            if batch.events:
                await subscription.commit(batch)
                return batch.events
    finally:
        await subscription.close()
    raise AssertionError("nothing came")


async def test_deleting_takes_topics_and_groups_of_the_prefix_only(
    admin: Watched, prefix: str, kafka_brokers: str
) -> None:
    other = prefix.removesuffix(".") + "-two."
    try:
        for each in (prefix, other):
            await ensure_topics(admin, each, SERVICES, SHAPE)
            await becomes(admin, each, AS_WANTED)
            bus = KafkaBus(kafka_brokers, each)
            await bus.start()
            await bus.publish([made()])
            assert await read_one(bus, "reader")
            await bus.stop()
        assert {name for name in await admin.groups() if name.startswith(prefix)} == {f"{prefix}reader.{TOPIC}"}
        await delete_topics(admin, prefix)
        await becomes(admin, prefix, {})
        assert not [name for name in await admin.groups() if name.startswith(prefix)]
        assert set(await shown(admin, other)) == NAMES
        assert [name for name in await admin.groups() if name.startswith(other)]
        await delete_topics(admin, prefix)  # again
    finally:
        await delete_topics(admin, other)


async def test_topics_that_are_still_read_are_not_deleted(admin: Watched, prefix: str, kafka_brokers: str) -> None:
    await ensure_topics(admin, prefix, SERVICES, SHAPE)
    await becomes(admin, prefix, AS_WANTED)
    bus = KafkaBus(kafka_brokers, prefix)
    await bus.start()
    try:
        await bus.publish([made()])
        reading = bus.subscribe("reader", TOPIC)
        while not (await reading.fetch(10, 1.0)).events:
            pass
        with pytest.raises(Unavailable, match="not empty"):
            await delete_topics(admin, prefix)
        assert set(await shown(admin, prefix)) == NAMES
    finally:
        await bus.stop()


@pytest.mark.parametrize("prefix_given", ["", ".", "loyalnest", "loyalnest.acme"])
async def test_a_prefix_that_could_be_anothers_deletes_nothing(admin: Watched, prefix_given: str) -> None:
    with pytest.raises(InvalidInput, match="no topic prefix of one program"):
        await delete_topics(admin, prefix_given)
    assert admin.changes == []


async def test_kafka_away_has_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.kit.bus.kafka_admin.ASK_SECONDS", 1.0)
    nowhere = KafkaAdmin(f"127.0.0.1:{free_port()}", "test")
    for work in (ensure_topics(nowhere, "loyalnest.acme.", SERVICES, SHAPE), delete_topics(nowhere, "loyalnest.acme.")):
        with pytest.raises(Unavailable, match=r"Kafka at 127.0.0.1:.* cannot be reached"):
            await work
