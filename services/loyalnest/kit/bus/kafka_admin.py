"""Topics and groups of a Kafka cluster: made, changed where they differ, deleted."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from loyalnest.kit.bus.kafka_messages import ClientLog
from loyalnest.kit.errors import Unavailable

ASK_SECONDS = 10.0
"""How long a question to the brokers may take."""
MOST_BYTES = 8 * 1024 * 1024
"""A sealed delivery of a topic without facts is up to 1.4 MB, above the brokers' default."""
RETENTION = "retention.ms"

_PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)
"""Refusals while brokers elect, or hear of a new topic."""


@dataclass(frozen=True, slots=True)
class TopicShape:
    """How topics should be. copies: replicas of each partition, fewer where there are fewer brokers."""

    partitions: int
    retention_hours: int
    copies: int

    @property
    def retention(self) -> str:
        """The retention as Kafka writes it: milliseconds."""
        return str(self.retention_hours * 3_600_000)


class KafkaAdmin:
    """The administrative side of the cluster at `brokers`. It connects at first use. Everything raises Unavailable."""

    def __init__(self, brokers: str, client_id: str) -> None:
        self._brokers = brokers
        settings: dict[str, Any] = {"bootstrap.servers": brokers, "client.id": client_id, "logger": ClientLog()}
        self._client = AdminClient(settings)

    @property
    def client(self) -> AdminClient:
        """The client itself, for questions put through `ask`."""
        return self._client

    async def cluster(self) -> ClusterMetadata:
        """The brokers and every topic there is."""
        try:
            return await asyncio.to_thread(self._client.list_topics, timeout=ASK_SECONDS)
        except KafkaException as error:
            raise Unavailable(f"Kafka at {self._brokers} cannot be reached: {error}") from error

    async def partitions(self, topics: Collection[str]) -> dict[str, int]:
        """The number of partitions of those of `topics` that are there."""
        if not topics:
            return {}
        wanted = TopicCollection(list(topics))
        found = await self.ask(
            lambda: self._client.describe_topics(wanted, request_timeout=ASK_SECONDS).values(),
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        )
        return {each.name: len(each.partitions) for each in found}

    async def create(self, topics: Collection[str], shape: TopicShape) -> None:
        """Make topics. Those that are there already stay as they are."""
        if not topics:
            return
        copies = min(shape.copies, len((await self.cluster()).brokers))
        config = {
            RETENTION: shape.retention,
            "max.message.bytes": str(MOST_BYTES),
            "min.insync.replicas": "2" if copies > 2 else "1",
        }
        missing = [NewTopic(topic, shape.partitions, copies, config=config) for topic in sorted(topics)]
        await self.ask(
            lambda: self._client.create_topics(missing, request_timeout=ASK_SECONDS).values(),
            KafkaError.TOPIC_ALREADY_EXISTS,
        )

    async def grow(self, topics: Collection[str], partitions: int) -> None:
        """Give topics more partitions."""
        if topics:
            wanted = [NewPartitions(topic, partitions) for topic in sorted(topics)]
            await self.ask(lambda: self._client.create_partitions(wanted, request_timeout=ASK_SECONDS).values())

    async def retentions(self, topics: Collection[str]) -> dict[str, str]:
        """How many milliseconds topics keep their events, as Kafka writes it."""
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]

        def question() -> "list[Future[Any]]":
            answers = self._client.describe_configs(resources, request_timeout=ASK_SECONDS)
            return [answers[resource] for resource in resources]

        found = await self.ask(question)
        return {topic: config[RETENTION].value for topic, config in zip(topics, found, strict=True)}

    async def retain(self, topics: Collection[str], retention: str) -> None:
        """Let topics keep their events for so many milliseconds. Their other settings stay."""
        if not topics:
            return
        entry = ConfigEntry(RETENTION, retention, incremental_operation=AlterConfigOpType.SET)
        changes = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in sorted(topics)]
        await self.ask(lambda: self._client.incremental_alter_configs(changes, request_timeout=ASK_SECONDS).values())

    async def groups(self) -> list[str]:
        """Every consumer group there is."""
        (found,) = await self.ask(lambda: [self._client.list_consumer_groups(request_timeout=ASK_SECONDS)])
        return [group.group_id for group in found.valid]

    async def delete(self, topics: Collection[str], groups: Collection[str]) -> None:
        """Delete topics and consumer groups; those that are gone already are no fault, groups that still read are."""
        if groups:
            await self.ask(
                lambda: self._client.delete_consumer_groups(list(groups), request_timeout=ASK_SECONDS).values(),
                KafkaError.GROUP_ID_NOT_FOUND,
            )
        if topics:
            await self.ask(
                lambda: self._client.delete_topics(list(topics), request_timeout=ASK_SECONDS).values(),
                KafkaError.UNKNOWN_TOPIC_OR_PART,
            )

    async def ask(self, question: "Callable[[], Iterable[Future[Any]]]", *accepted: int) -> list[Any]:
        """What the brokers answer, without the refusals whose codes are `accepted`. Asks again while they elect."""
        deadline = asyncio.get_running_loop().time() + ASK_SECONDS
        while True:
            answers = await asyncio.gather(*map(asyncio.wrap_future, question()), return_exceptions=True)
            kept = [answer for answer in answers if not isinstance(answer, BaseException)]
            refusals = [answer.args[0] for answer in answers if isinstance(answer, KafkaException)]
            faults = [refusal for refusal in refusals if refusal.code() not in accepted]
            if len(kept) + len(refusals) < len(answers):
                raise next(a for a in answers if isinstance(a, BaseException) and not isinstance(a, KafkaException))
            if not faults:
                return kept
            if faults[0].code() not in _PASSING or asyncio.get_running_loop().time() > deadline:
                what = "cannot be reached" if faults[0].code() < 0 else "refuses"  # negative: the client's own codes
                raise Unavailable(f"Kafka at {self._brokers} {what}: {faults[0].str()}")
            await asyncio.sleep(0.1)
