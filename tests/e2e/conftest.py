"""One suite, run against each packing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.platform import EmbeddedPlatform, Platform, SeparatePlatform
from fixtures.kafka import KafkaBroker
from loyalnest.kit.discovery import discover
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.embedded.redis import EmbeddedRedis


@pytest.fixture(scope="session", params=["embedded", "separate"])
def platform(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Platform]:
    """LoyalNest with the merchants acme and brew, running."""
    folder = Path(tempfile.mkdtemp(prefix=f"{request.param}_", dir=server_folder))  # a file may ask for it again
    folder.chmod(0o755)
    chosen = embedded(folder) if request.param == "embedded" else separate(request, folder)
    try:
        chosen.start()
        yield chosen
    finally:
        chosen.stop()


def embedded(folder: Path) -> EmbeddedPlatform:
    """Everything in one process."""
    return EmbeddedPlatform(folder)


def separate(request: pytest.FixtureRequest, folder: Path) -> SeparatePlatform:
    """A process a service, with the test run's own PostgreSQL, Redis and Kafka servers."""
    postgres: EmbeddedPostgres = request.getfixturevalue("postgres_server")
    redis: EmbeddedRedis = request.getfixturevalue("redis_server")
    kafka: KafkaBroker = request.getfixturevalue("kafka_broker")
    urls = {}
    for merchant in ("acme", "brew"):
        database = f"{merchant}_{folder.name.replace('-', '_')}"
        postgres.create_database_if_missing(database)
        urls[merchant] = postgres.url(database)
    return SeparatePlatform(folder, list(discover()), urls, redis.url, kafka.brokers)
