"""The platform's PostgreSQL and Kafka, as the operator uses them for programs of their own."""

from collections.abc import Sequence

from loyalnest.kit.bus.kafka_admin import KafkaAdmin, TopicShape
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.program import LoyaltyProgram
from loyalnest.kit.service import Service
from loyalnest_operator import databases, names, topics
from loyalnest_operator.backing import Lately
from loyalnest_operator.facts import Generated
from loyalnest_operator.settings import OperatorSettings


class Servers:
    """See Backing. What was found right is asked again after a resync's time."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings
        self._lately = Lately(settings.resync_seconds)
        self._kafka: KafkaAdmin | None = None

    async def ensure_database(self, program: str, generated: Generated, services: Sequence[Service]) -> None:
        """See Backing."""
        inputs = (dict(generated.passwords), [each.name for each in services])
        if not self._lately.right(program, "database", inputs):
            await databases.ensure_database(self._postgres(), program, generated, services)
            self._lately.note(program, "database", inputs)

    async def ensure_topics(self, program: LoyaltyProgram, services: Sequence[Service]) -> None:
        """See Backing."""
        name, hours = program.metadata.name, program.spec.retention.topic_hours
        shape = TopicShape(
            partitions=self._settings.kafka_partitions,
            retention_hours=hours,
            copies=self._settings.kafka_replication,
        )
        inputs = (shape, [each.name for each in services])
        if not self._lately.right(name, "topics", inputs):
            await topics.ensure_topics(self._admin(), names.topic_prefix(name), services, shape)
            self._lately.note(name, "topics", inputs)

    async def database_exists(self, program: str) -> bool:
        """See Backing."""
        return await databases.exists(self._postgres(), program)

    async def drop_database(self, program: str) -> None:
        """See Backing."""
        self._lately.forget(program)
        await databases.drop_database(self._postgres(), program)

    async def delete_topics(self, program: str) -> None:
        """See Backing."""
        self._lately.forget(program)
        await topics.delete_topics(self._admin(), names.topic_prefix(program))

    def _postgres(self) -> str:
        url = self._settings.postgres_url.get_secret_value()
        if not url:
            raise InvalidInput(
                "The operator has no PostgreSQL: set LOYALNEST_OPERATOR_POSTGRES_URL. Only Pooled programs do without."
            )
        return url

    def _admin(self) -> KafkaAdmin:
        if not self._settings.kafka_brokers:
            raise InvalidInput(
                "The operator has no Kafka: set LOYALNEST_OPERATOR_KAFKA_BROKERS. Only Pooled programs do without."
            )
        if self._kafka is None:
            self._kafka = KafkaAdmin(self._settings.kafka_brokers, "loyalnest operator")
        return self._kafka
