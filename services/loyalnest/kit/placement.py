"""Where a merchant's data lives: one small value that the operator writes and every process reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from loyalnest.kit.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Placement:
    """Addresses of the stores, the same for a merchant of its own and for a pool. Its repr holds no passwords.

    database_url: PostgreSQL address of every service that `database_urls` does not name.
    topic_prefix: put before every topic, so that merchants may share a broker.
    redis_prefix: put before every Redis key; it must contain no braces, which Redis Cluster reads.
    """

    database_url: str = field(repr=False)
    database_urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    redis_url: str = field(default="", repr=False)
    topic_prefix: str = ""
    redis_prefix: str = ""

    def database_for(self, service: str) -> str:
        """PostgreSQL address of `service`. Raises InvalidInput if there is none."""
        url = self.database_urls.get(service, self.database_url)
        if not url:
            raise InvalidInput(
                f"No database address for {service}: set LOYALNEST_DATABASE_URL or name it in LOYALNEST_DATABASE_URLS."
            )
        return url
