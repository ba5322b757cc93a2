"""The event bus in Kafka: a topic of ours is the Kafka topic of the same name behind a prefix."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

import structlog
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from loyalnest.kit.bus.base import BEGINNING, Positions, TopicLag
from loyalnest.kit.bus.kafka_admin import ASK_SECONDS, KafkaAdmin, TopicShape
from loyalnest.kit.bus.kafka_messages import event_of
from loyalnest.kit.bus.kafka_producer import KafkaProducer
from loyalnest.kit.bus.kafka_reader import (
    FOREIGN,
    KafkaSubscription,
    committed_offsets,
    consumer_settings,
)
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event

log = structlog.get_logger(__name__)

COPIES = 3


class KafkaBus:
    """EventBus on the cluster at `brokers` (host:port, separated by commas).

    prefix: put before every topic and group.
    partitions, retention_hours: of topics that this process makes; they are kept three times where brokers suffice.
    client_id: our name in the brokers' logs and quotas.
    delivery_timeout: seconds after which an event that was not confirmed has failed.
    """

    def __init__(
        self,
        brokers: str,
        prefix: str,
        *,
        partitions: int = 4,
        retention_hours: int = 168,
        client_id: str = "loyalnest",
        delivery_timeout: float = 10.0,
    ) -> None:
        self._brokers, self._prefix, self._client_id = brokers, prefix, client_id
        self._shape = TopicShape(partitions, retention_hours, COPIES)
        self._producer = KafkaProducer(brokers, prefix, client_id, delivery_timeout)
        self._admin: KafkaAdmin | None = None
        self._subscriptions: list[KafkaSubscription] = []

    async def start(self) -> None:
        """See EventBus."""
        if self._admin is not None:
            return
        admin = KafkaAdmin(self._brokers, self._client_id)
        await admin.cluster()
        self._producer.start()
        self._admin = admin

    async def stop(self) -> None:
        """See EventBus. Also closes the subscriptions."""
        await self._producer.stop()
        self._admin = None
        subscriptions, self._subscriptions = self._subscriptions, []
        await asyncio.gather(*(subscription.close() for subscription in subscriptions))

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """See EventBus. Raises Unavailable."""
        admin = self._started()
        known = (await admin.cluster()).topics
        await admin.create({self._prefix + topic for topic in topics} - known.keys(), self._shape)

    async def publish(self, events: Sequence[Event]) -> None:
        """See EventBus. Raises TooLarge for an event beyond what Kafka takes."""
        await self._producer.publish(events)

    def subscribe(self, group: str, topic: str, *, member: int = 0, members: int = 1) -> KafkaSubscription:
        """See EventBus. Kafka counts the members of all processes itself, so `member` and `members` are not used."""
        name = f"{self._prefix}{group}.{topic}"
        settings = consumer_settings(self._brokers, self._client_id, name)
        subscription = KafkaSubscription(settings, topic, self._prefix + topic)
        self._subscriptions.append(subscription)
        return subscription

    async def read_all(self, topic: str, after: Positions = BEGINNING) -> AsyncIterator[Event]:
        """See EventBus. Raises Unavailable."""
        there = await self._ends(topic)
        begins = {place: max(start, after.get(place, start)) for place, (start, _) in there.items()}
        ends = {place: end for place, (_, end) in there.items() if end > begins[place]}
        if not ends:
            return
        settings = consumer_settings(self._brokers, self._client_id, f"{self._prefix}read-all.{uuid.uuid4()}")
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="kafka-read-all") as thread:
            consumer = Consumer(settings | {"enable.partition.eof": True})
            try:
                places = [TopicPartition(self._prefix + topic, p, begins[p]) for p in ends]
                await loop.run_in_executor(thread, consumer.assign, places)
                while ends:
                    for event in await loop.run_in_executor(thread, _read, consumer, topic, ends):
                        yield event
            except KafkaException as error:
                raise Unavailable(f"Kafka cannot be read: {error}") from error
            finally:
                await loop.run_in_executor(thread, consumer.close)

    async def lag(self, group: str, topic: str) -> TopicLag:
        """See EventBus. Raises Unavailable."""
        ends = await self._ends(topic)
        if not ends:
            return TopicLag(group, topic, 0)
        committed = await self._positions(group, topic, list(ends))
        behind = sum(max(0, end - max(start, committed.get(p, 0))) for p, (start, end) in ends.items())
        return TopicLag(group, topic, behind)

    async def positions(self, group: str, topic: str) -> Positions:
        """See EventBus. Raises Unavailable."""
        return await self._positions(group, topic, list(await self._ends(topic)))

    async def positions_at(self, topic: str, moment: datetime) -> Positions:
        """See EventBus. Raises Unavailable."""
        admin, name, ends = self._started(), self._prefix + topic, await self._ends(topic)
        if not ends:
            return {}
        since = OffsetSpec.for_timestamp(int(moment.timestamp() * 1000))
        found = await admin.ask(lambda: _offsets(admin.client, name, list(ends), since))
        return {p: each.offset if each.offset >= 0 else ends[p][1] for p, each in zip(ends, found, strict=True)}

    async def _positions(self, group: str, topic: str, partitions: list[int]) -> dict[int, int]:
        name = f"{self._prefix}{group}.{topic}"
        reading = next((each for each in self._subscriptions if each.group == name and each.is_open), None)
        if reading is not None:
            return await reading.committed(partitions)
        return await asyncio.to_thread(self._committed, name, topic, partitions)

    def _committed(self, group: str, topic: str, partitions: list[int]) -> dict[int, int]:
        """What a group has committed that this process does not read for."""
        consumer = Consumer(consumer_settings(self._brokers, self._client_id, group))
        try:
            return committed_offsets(consumer, self._prefix + topic, partitions)
        finally:
            consumer.close()

    async def _ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """Per partition of `topic`, the first offset kept and the one after the last. Empty for an unknown topic."""
        admin, name = self._started(), self._prefix + topic
        cluster = await admin.cluster()
        partitions = sorted(cluster.topics[name].partitions) if name in cluster.topics else []
        if not partitions:
            return {}
        first, last = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        starts = await admin.ask(lambda: _offsets(admin.client, name, partitions, first))
        ends = await admin.ask(lambda: _offsets(admin.client, name, partitions, last))
        return {p: (start.offset, end.offset) for p, start, end in zip(partitions, starts, ends, strict=True)}

    def _started(self) -> KafkaAdmin:
        if self._admin is None:
            raise Unavailable("The event bus is stopped.")
        return self._admin


def _offsets(admin: AdminClient, name: str, partitions: Sequence[int], spec: OffsetSpec) -> "Iterable[Future[Any]]":
    places = {TopicPartition(name, p): spec for p in partitions}
    answers: dict[TopicPartition, Future[Any]] = admin.list_offsets(places, request_timeout=ASK_SECONDS)
    return [answers[place] for place in places]


def _read(consumer: Consumer, topic: str, ends: dict[int, int]) -> list[Event]:
    """The next events; takes the partitions that are read to their ends out of `ends`. Runs in a thread."""
    events: list[Event] = []
    for message in consumer.consume(1000, 0.2):
        partition = message.partition()
        fault = message.error()
        if fault is not None:
            if fault.code() == KafkaError._PARTITION_EOF and partition is not None:  # noqa: SLF001
                ends.pop(partition, None)
            else:
                raise KafkaException(fault)
            continue
        offset = message.offset()
        if partition not in ends or offset is None or offset >= ends[partition]:
            continue
        try:
            events.append(event_of(topic, message))
        except ValueError as error:
            FOREIGN.labels(topic).inc()
            log.warning("kafka.foreign_message", topic=topic, partition=partition, offset=offset, error=str(error))
        if offset == ends[partition] - 1:
            del ends[partition]
    return events
