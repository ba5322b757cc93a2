"""Addresses of the platform's stores: as a login of the program uses them, and as NetworkPolicies need them."""

import re
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from loyalnest_operator import names
from loyalnest_operator.facts import Generated
from loyalnest_operator.settings import OperatorSettings

_OF_THE_ADMIN = ("user", "password", "passfile", "dbname", "database", "service")
"""Parameters of the operator's own address that say who it is and where: a program's login has its own."""

_PORT = re.compile(r":([0-9]{1,5})$")
_POSTGRES, _KAFKA, _REDIS = 5432, 9092, 6379


def database_url(server: str, user: str, password: str, database: str) -> str:
    """The address of `database` on `server` for `user`.

    `server` is an address of any login there. Its hosts, ports and parameters are kept as they are written, but
    nothing of who it was for.
    """
    parts = urlsplit(server)
    hosts = parts.netloc.rpartition("@")[2]
    kept = [each for each in parts.query.split("&") if each and each.partition("=")[0] not in _OF_THE_ADMIN]
    query = f"?{'&'.join(kept)}" if kept else ""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"{parts.scheme}://{login}@{hosts}/{quote(database, safe='')}{query}"


def login_url(server: str, program: str, purpose: str, generated: Generated) -> str:
    """The address at which the login `purpose` of `program` reaches its database. See `database_url` for `server`."""
    return database_url(server, names.login(program, purpose), generated.passwords[purpose], names.database(program))


def ports(settings: OperatorSettings) -> list[int]:
    """The TCP ports of PostgreSQL, Kafka and Redis, each once, ascending.

    They are taken from the addresses, so brokers must advertise the ports of the bootstrap servers, and a Service
    before a store must have the port of its pods, which is what a NetworkPolicy sees.
    """
    found = _ports(_hosts(settings.postgres_url.get_secret_value()), _POSTGRES)
    found |= _ports(settings.kafka_brokers.split(","), _KAFKA)
    found |= _ports(_hosts(settings.redis_url.get_secret_value()), _REDIS)
    return sorted(found)


def _hosts(url: str) -> list[str]:
    return urlsplit(url).netloc.rpartition("@")[2].split(",")


def _ports(hosts: Iterable[str], usual: int) -> set[int]:
    """The ports of `hosts`, which may be IPv6 addresses in brackets; `usual` where none is written."""
    matches = (_PORT.search(host.strip()) for host in hosts)
    return {int(match[1]) if match else usual for match in matches}
