"""Addresses of logins: what asyncpg makes of them, and what is kept of the operator's own."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest_operator.desired.addresses import database_url, ports
from loyalnest_operator.settings import OperatorSettings

ADMIN = "postgresql://admin:secret@db.example:5433/postgres?sslmode=require"


def test_hosts_and_parameters_are_kept_and_the_rest_is_replaced() -> None:
    found = database_url(ADMIN, "loyalnest_acme_app", "pw", "loyalnest_acme")
    assert found == "postgresql://loyalnest_acme_app:pw@db.example:5433/loyalnest_acme?sslmode=require"


@pytest.mark.parametrize(
    ("server", "hosts"),
    [
        ("postgresql://admin@[2001:db8::1]:5433/postgres", "[2001:db8::1]:5433"),
        ("postgresql://admin:s%40cret@[::1]/postgres", "[::1]"),
        ("postgres://db.example", "db.example"),
        (
            "postgresql://a:b@one:5432,[::2]:5433,three/postgres?target_session_attrs=primary",
            "one:5432,[::2]:5433,three",
        ),
    ],
)
def test_hosts(server: str, hosts: str) -> None:
    found = urlsplit(database_url(server, "user", "pw", "base"))
    assert found.netloc == f"user:pw@{hosts}"
    assert found.path == "/base"
    assert found.query == urlsplit(server).query


def test_nobody_gets_the_admins_login_by_a_parameter() -> None:
    server = (
        "postgresql://db.example/?user=admin&password=secret&passfile=%2Fpw&database=x&dbname=y&sslmode=verify-full"
    )
    found = database_url(server, "user", "pw", "base")
    assert found == "postgresql://user:pw@db.example/base?sslmode=verify-full"


def test_parameters_stay_as_they_were_written() -> None:
    server = "postgresql://db.example/x?sslrootcert=%2Fcerts%2Fca.crt&options=-c%20statement_timeout%3D5s"
    assert database_url(server, "user", "pw", "base").partition("?")[2] == server.partition("?")[2]


@given(user=st.text(min_size=1), password=st.text(min_size=1), database=st.text(min_size=1))
def test_any_character_arrives(user: str, password: str, database: str) -> None:
    try:
        f"{user}{password}{database}".encode()
    except UnicodeEncodeError:
        return  # half a character has no place in an address
    found = urlsplit(
        database_url("postgresql://admin@[::1]:5433/postgres?application_name=a", user, password, database)
    )
    # As asyncpg takes an address apart.
    login, at, hosts = found.netloc.partition("@")
    given_user, _, given_password = login.partition(":")
    assert (unquote(given_user), unquote(given_password), at, hosts) == (user, password, "@", "[::1]:5433")
    assert unquote(found.path.removeprefix("/")) == database
    assert parse_qs(found.query) == {"application_name": ["a"]}


@pytest.mark.parametrize(
    ("postgres", "kafka", "redis", "expected"),
    [
        ("postgresql://db", "kafka", "redis://cache/0", [5432, 6379, 9092]),
        ("postgresql://u:p@one:5433,[::1]:5434,three/x?port=1", "a:9094, b:9095", "rediss://:pw@[::1]:6380/0", None),
        ("postgresql://db:6379", "kafka:6379", "redis://cache", [6379]),
    ],
)
def test_ports(postgres: str, kafka: str, redis: str, expected: list[int] | None) -> None:
    settings = OperatorSettings(postgres_url=postgres, kafka_brokers=kafka, redis_url=redis)
    assert ports(settings) == (expected or [5432, 5433, 5434, 6380, 9094, 9095])
