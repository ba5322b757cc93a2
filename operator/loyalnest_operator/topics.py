"""A program's Kafka topics, from outside the cluster: made, put right, deleted. What is right is only read."""

from collections.abc import Sequence

from loyalnest.kit.bus.kafka_admin import KafkaAdmin, TopicShape
from loyalnest.kit.consumer import topics_of
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.service import Service


async def ensure_topics(admin: KafkaAdmin, prefix: str, services: Sequence[Service], shape: TopicShape) -> bool:
    """Bring the topics of `services` behind `prefix` to `shape`. Returns whether anything had to be changed.

    Partitions only grow, since fewer would lose events; replicas of topics that are there stay as they are.
    Raises Unavailable while Kafka is away or refuses.
    """
    topics = [prefix + topic for topic in topics_of(services, services)]
    there = await admin.partitions(topics)
    missing = sorted(set(topics) - there.keys())
    small = [topic for topic, partitions in there.items() if partitions < shape.partitions]
    kept = await admin.retentions(list(there))
    other = [topic for topic, retention in kept.items() if retention != shape.retention]
    await admin.create(missing, shape)
    await admin.grow(small, shape.partitions)
    await admin.retain(other, shape.retention)
    return bool(missing or small or other)


async def delete_topics(admin: KafkaAdmin, prefix: str) -> None:
    """Delete every topic and consumer group behind `prefix`; none is fine. Nobody may read them any more.

    Raises Unavailable while Kafka is away, or while a group still reads.
    """
    if not prefix.endswith(".") or not prefix.strip("."):
        raise InvalidInput(f"{prefix!r} is no topic prefix of one program: it could be the beginning of another's.")
    topics = [topic for topic in (await admin.cluster()).topics if topic.startswith(prefix)]
    groups = [group for group in await admin.groups() if group.startswith(prefix)]
    await admin.delete(topics, groups)
