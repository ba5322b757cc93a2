"""Log in to every store as the platform would, and use it. Run by `helm test` in the image of the services."""

import asyncio
import os
import sys

import asyncpg
from confluent_kafka.admin import AdminClient
from redis.asyncio import Redis

SECONDS = 30


def tell(*words: str) -> None:
    """For the log of the test."""
    sys.stdout.write(" ".join(words) + "\n")


async def main() -> None:
    for name in ("POSTGRES_URL", "POOL_DATABASE_URL"):
        connection = await asyncpg.connect(os.environ[name], timeout=SECONDS)
        row = await connection.fetchrow(
            "SELECT current_user, rolcreaterole AND (rolsuper OR NOT rolcreatedb) AS right, version()"
            " FROM pg_roles WHERE rolname = current_user"
        )
        assert row["right"], f"the login {row['current_user']} has not the rights that it should have"
        tell(name, row["current_user"], row["version"])
        await connection.close()
    async with Redis.from_url(os.environ["REDIS_URL"], socket_timeout=SECONDS) as redis:
        tell("REDIS_URL", (await redis.info("server"))["redis_version"])
    admin = AdminClient({"bootstrap.servers": os.environ["KAFKA_BROKERS"]})
    cluster = await asyncio.to_thread(admin.list_topics, timeout=SECONDS)
    assert cluster.brokers, "Kafka names no broker"
    tell("KAFKA_BROKERS", ", ".join(f"{each.host}:{each.port}" for each in cluster.brokers.values()))


asyncio.run(main())
