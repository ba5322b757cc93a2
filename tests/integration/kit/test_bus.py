"""What every event bus promises: one suite for PostgreSQL and Kafka."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

import pytest

from loyalnest.kit.bus import Batch, EventBus, Subscription
from loyalnest.kit.bus.kafka import KafkaBus
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event, new_id

TOPIC = "points.earned"

NewBus = Callable[[], EventBus]
"""Makes another bus on the same log, as another process would."""


@pytest.fixture(params=["postgres", "kafka"])
def new_bus(request: pytest.FixtureRequest) -> NewBus:
    if request.param == "postgres":
        url: str = request.getfixturevalue("database_url")
        return lambda: PostgresBus(url)
    brokers: str = request.getfixturevalue("kafka_brokers")
    prefix = f"t{uuid.uuid4().hex}."
    return lambda: KafkaBus(brokers, prefix)


@pytest.fixture
async def bus(new_bus: NewBus) -> AsyncIterator[EventBus]:
    bus = new_bus()
    await bus.start()
    await bus.ensure_topics([TOPIC])
    yield bus
    await bus.stop()


def event(number: int, key: str = "c1", merchant_id: str = "m1", topic: str = TOPIC) -> Event:
    """An event whose payload is its number."""
    return Event(
        id=new_id(),
        topic=topic,
        merchant_id=merchant_id,
        key=key,
        payload=str(number).encode(),
        occurred_at=datetime.now(UTC),
    )


def numbers(events: Sequence[Event]) -> list[int]:
    return [int(each.payload) for each in events]


async def read(subscription: Subscription, count: int, *, commit: bool = True, seconds: float = 20.0) -> list[Event]:
    """Fetch until `count` events are there. Fails if they do not come."""
    found: list[Event] = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            batch = await subscription.fetch(1000, 0.5)
            found += batch.events
            if commit:
                await subscription.commit(batch)
    return found


async def read_until_quiet(subscription: Subscription, fetched: list[Event], stop: asyncio.Event) -> None:
    while not stop.is_set():
        batch = await subscription.fetch(50, 0.2)
        fetched += batch.events
        await subscription.commit(batch)


async def test_an_event_comes_back_as_it_was(bus: EventBus) -> None:
    sent = Event(
        id=uuid.uuid4(),
        topic=TOPIC,
        merchant_id="café.myshopify.com",
        key="7700000000000000001:é",
        payload=bytes(range(256)) * 40,
        occurred_at=datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    await bus.publish([sent])
    assert await read(bus.subscribe("g", TOPIC), 1) == [sent]
    assert [each async for each in bus.read_all(TOPIC)] == [sent]


async def test_the_events_of_a_key_keep_their_order(bus: EventBus) -> None:
    sent: dict[str, list[int]] = defaultdict(list)
    for start in range(0, 600, 60):
        batch = [event(number, key=f"c{number % 7}") for number in range(start, start + 60)]
        for each in batch:
            sent[each.key].append(int(each.payload))
        await bus.publish(batch)
    found: dict[str, list[int]] = defaultdict(list)
    for each in await read(bus.subscribe("g", TOPIC), 600):
        found[each.key].append(int(each.payload))
    assert found == sent


async def test_twenty_publishers_at_once_lose_nothing_and_keep_each_ones_order(bus: EventBus) -> None:
    async def publisher(name: int) -> None:
        for number in range(25):
            await bus.publish([event(number, key=f"p{name}"), event(1000 + number, key=f"p{name}")])

    subscription = bus.subscribe("g", TOPIC)
    reading = asyncio.create_task(read(subscription, 1000))
    await asyncio.gather(*(publisher(name) for name in range(20)))
    found: dict[str, list[int]] = defaultdict(list)
    for each in await reading:
        found[each.key].append(int(each.payload))
    expected = [number for pair in ((n, 1000 + n) for n in range(25)) for number in pair]
    assert found == {f"p{name}": expected for name in range(20)}


async def test_what_publish_returned_for_is_there_for_another_process(bus: EventBus, new_bus: NewBus) -> None:
    await bus.publish([event(number, key=f"c{number}") for number in range(50)])
    other = new_bus()
    await other.start()
    try:
        assert sorted(numbers([each async for each in other.read_all(TOPIC)])) == list(range(50))
        assert len(await read(other.subscribe("g", TOPIC), 50)) == 50
    finally:
        await other.stop()


async def test_groups_do_not_know_of_each_other(bus: EventBus) -> None:
    await bus.publish([event(1), event(2)])
    assert numbers(await read(bus.subscribe("points", TOPIC), 2)) == [1, 2]
    await bus.publish([event(3)])
    assert numbers(await read(bus.subscribe("rfm", TOPIC), 3)) == [1, 2, 3]


async def test_a_group_continues_after_what_it_committed(bus: EventBus, new_bus: NewBus) -> None:
    await bus.publish([event(number) for number in range(10)])
    first = bus.subscribe("g", TOPIC)
    batch = await fetch_some(first, 4)
    await first.commit(batch)
    await fetch_some(first, 3)  # fetched, not committed
    await first.close()
    await first.close()
    other = new_bus()
    await other.start()
    try:
        again = await read(other.subscribe("g", TOPIC), 6)
    finally:
        await other.stop()
    assert numbers(again) == [4, 5, 6, 7, 8, 9]


async def fetch_some(subscription: Subscription, limit: int) -> Batch:
    """The first batch that is not empty; it must not exceed `limit`."""
    async with asyncio.timeout(20):
        while True:
            batch = await subscription.fetch(limit, 0.5)
            assert len(batch.events) <= limit
            if batch.events:
                return batch


async def test_rewind_gives_again_what_was_not_committed(bus: EventBus) -> None:
    await bus.publish([event(number) for number in range(9)])
    subscription = bus.subscribe("g", TOPIC)
    first = await fetch_some(subscription, 3)
    await subscription.rewind()
    assert numbers((await fetch_some(subscription, 3)).events) == [0, 1, 2]
    await subscription.commit(first)
    assert numbers((await fetch_some(subscription, 3)).events) == [3, 4, 5]
    assert numbers((await fetch_some(subscription, 2)).events) == [6, 7]
    await subscription.rewind()
    await subscription.rewind()
    assert numbers(await read(subscription, 6)) == [3, 4, 5, 6, 7, 8]


async def test_a_cancelled_fetch_loses_nothing(bus: EventBus) -> None:
    subscription = bus.subscribe("g", TOPIC)
    await bus.publish([event(0)])
    assert numbers(await read(subscription, 1)) == [0]
    waiting = asyncio.create_task(subscription.fetch(10, 1.0))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await bus.publish([event(1), event(2)])
    assert numbers(await read(subscription, 2)) == [1, 2]


async def test_members_share_a_topic_without_loss_or_doubles(bus: EventBus) -> None:
    members = [bus.subscribe("g", TOPIC, member=member, members=3) for member in range(3)]
    fetched: list[list[Event]] = [[] for _ in members]
    stop = asyncio.Event()
    readers = [
        asyncio.create_task(read_until_quiet(member, found, stop))
        for member, found in zip(members, fetched, strict=True)
    ]
    async with asyncio.timeout(30):  # until each has a share: Kafka hands partitions out again as members come
        while not all(fetched):
            for found in fetched:
                found.clear()
            await bus.publish([event(-1, key=f"c{key}") for key in range(50)])
            await asyncio.sleep(0.5)
    for found in fetched:
        found.clear()
    for start in range(0, 1000, 100):
        await bus.publish([event(number, key=f"c{number % 50}") for number in range(start, start + 100)])
    async with asyncio.timeout(20):
        while sum(map(len, fetched)) < 1000:  # noqa: ASYNC110 - three readers, no one event
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    stop.set()
    await asyncio.gather(*readers)
    assert sorted(number for found in fetched for number in numbers(found)) == list(range(1000))
    assert all(fetched)
    keys = [{each.key for each in found} for found in fetched]
    assert not (keys[0] & keys[1] or keys[1] & keys[2] or keys[0] & keys[2])


async def test_an_empty_fetch_returns_after_its_wait_and_a_publish_ends_it_early(bus: EventBus) -> None:
    subscription = bus.subscribe("g", TOPIC)
    await bus.publish([event(1)])
    await read(subscription, 1)
    clock = asyncio.get_running_loop().time
    started = clock()
    assert not (await subscription.fetch(10, 0.3)).events
    assert 0.25 < clock() - started < 1.5
    started = clock()
    waiting = asyncio.create_task(subscription.fetch(10, 10.0))
    await asyncio.sleep(0.1)
    await bus.publish([event(2)])
    assert numbers((await waiting).events) == [2]
    assert clock() - started < 3.0


async def test_lag_counts_what_is_not_committed(bus: EventBus) -> None:
    assert (await bus.lag("g", TOPIC)).events == 0
    await bus.publish([event(number, key=f"c{number}") for number in range(30)])
    assert (await bus.lag("g", TOPIC)).events == 30
    subscription = bus.subscribe("g", TOPIC)
    await read(subscription, 30, commit=False)
    assert (await bus.lag("g", TOPIC)).events == 30
    await subscription.rewind()
    await read(subscription, 30)
    assert (await bus.lag("g", TOPIC)).events == 0
    assert (await bus.lag("other", TOPIC)).events == 30


async def test_read_all_ends_at_the_present_end(bus: EventBus) -> None:
    await bus.ensure_topics(["empty"])
    assert [each async for each in bus.read_all("empty")] == []
    await bus.publish([event(number, key=f"c{number % 5}") for number in range(2500)])
    found: dict[str, list[int]] = defaultdict(list)
    async for each in bus.read_all(TOPIC):
        found[each.key].append(int(each.payload))
        if int(each.payload) == 0:
            await bus.publish([event(9999)])
    assert found == {f"c{key}": list(range(key, 2500, 5)) for key in range(5)}


async def test_one_publish_may_span_topics(bus: EventBus) -> None:
    await bus.ensure_topics(["a", "b", "a"])
    await bus.ensure_topics(["a"])
    await bus.publish([event(1, topic="a"), event(2, topic="b")])
    assert numbers(await read(bus.subscribe("g", "a"), 1)) == [1]
    assert numbers(await read(bus.subscribe("g", "b"), 1)) == [2]


async def test_stop_writes_what_was_accepted(new_bus: NewBus, bus: EventBus) -> None:
    other = new_bus()
    await other.start()
    publishing = [asyncio.create_task(other.publish([event(number)])) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await other.stop()
    await other.stop()
    outcomes = await asyncio.gather(*publishing, return_exceptions=True)
    written = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, Unavailable)] == []
    assert sorted(numbers([each async for each in bus.read_all(TOPIC)])) == written
    with pytest.raises(Unavailable):
        await other.publish([event(1)])
