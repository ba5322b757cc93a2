"""What a process is told: variables, where its data lives, and that no secret is shown."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from loyalnest.kit.database import with_parameters, without_password
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.placement import Placement
from loyalnest.kit.settings import Settings

SECRET = "open-sesame"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("LOYALNEST_")]:
        monkeypatch.delenv(name)


def test_defaults_are_those_of_a_laptop() -> None:
    settings = Settings()
    assert (settings.bus, settings.host, settings.http_port, settings.database_urls) == (
        "postgres",
        "127.0.0.1",
        8080,
        {},
    )


def test_variables_and_json_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "BUS": "kafka",
        "DATABASE_URL": "postgresql://a/b",
        "DATABASE_URLS": json.dumps({"points": "postgresql://p/q"}),
        "PEERS": '{"auth": "auth:9090", "core": "core:9090"}',
        "PROGRAMS": '["/etc/programs", "one.yaml"]',
        "HTTP_PORT": "0",
        "DRAIN_SECONDS": "2.5",
        "SOMETHING_ELSE": "ignored",
    }
    for name, value in told.items():
        monkeypatch.setenv(f"LOYALNEST_{name}", value)
    settings = Settings()
    assert (settings.bus, settings.http_port, settings.drain_seconds) == ("kafka", 0, 2.5)
    assert settings.peers == {"auth": "auth:9090", "core": "core:9090"}
    assert settings.programs == [Path("/etc/programs"), Path("one.yaml")]
    placement = settings.placement()
    assert placement.database_for("points") == "postgresql://p/q"
    assert placement.database_for("core") == "postgresql://a/b"
    assert placement.topic_prefix == "loyalnest."


@pytest.mark.parametrize("name", ["database_urls", "peers"])
def test_an_entry_of_a_json_variable_may_have_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"LOYALNEST_{name.upper()}__POINTS", "there")
    assert str(getattr(Settings(), name).keys()) == "dict_keys(['points'])"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUS", "rabbit"),
        ("HTTP_PORT", "70000"),
        ("HTTP_PORT", "x"),
        ("DRAIN_SECONDS", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_CONNECTIONS", "1"),
        ("SHOPIFY_SCHEME", "ftp"),
        ("TOPIC_PARTITIONS", "0"),
        ("PEERS", '["a"]'),
    ],
)
def test_what_is_wrong_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LOYALNEST_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_no_secret_is_shown() -> None:
    url = f"postgresql://me:{SECRET}@db/x"
    settings = Settings(
        database_url=url,
        database_urls={"points": url},
        redis_url=f"redis://:{SECRET}@r",
        encryption_keys=f"k:{SECRET}",
    )
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.placement())):
        assert SECRET not in shown
    assert SECRET in settings.placement().database_url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URLS", json.dumps({"points": {"url": SECRET}})),
        ("DATABASE_URLS", f'{{"points": "postgresql://me:{SECRET}@db'),
        ("DATABASE_URLS", json.dumps([SECRET])),
        ("HTTP_PORT", SECRET),
    ],
)
def test_no_secret_is_shown_by_what_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LOYALNEST_{name}", value)
    with pytest.raises((ValidationError, SettingsError)) as raised:
        Settings()
    assert SECRET not in str(raised.value)
    with pytest.raises(InvalidInput, match=f"LOYALNEST_{name}") as told:
        Settings.from_environment()
    assert SECRET not in told.value.detail


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALNEST_BUS", "rabbit")
    monkeypatch.setenv("LOYALNEST_HTTP_PORT", "70000")
    with pytest.raises(InvalidInput) as told:
        Settings.from_environment()
    assert "LOYALNEST_BUS: Input should be 'postgres' or 'kafka'" in told.value.detail
    assert "LOYALNEST_HTTP_PORT: " in told.value.detail


def test_every_variable_is_explained() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_placement_without_an_address_says_what_to_set() -> None:
    assert Placement(database_url="", database_urls={"points": "p"}).database_for("points") == "p"
    for placement in (Placement(database_url=""), Placement(database_url="x", database_urls={"points": ""})):
        with pytest.raises(InvalidInput, match="LOYALNEST_DATABASE_URL"):
            placement.database_for("points")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{SECRET}@db:5433/x?sslmode=require", "postgresql://me@db:5433/x?sslmode=require"),
        (f"postgresql://me:{SECRET}%40%2F@db/x", "postgresql://me@db/x"),
        (f"postgresql://:{SECRET}@db/x", "postgresql://db/x"),
        ("postgresql://postgres@/x?host=/tmp/s", "postgresql://postgres@/x?host=/tmp/s"),
        ("postgresql://db/x", "postgresql://db/x"),
        (f"postgresql://me:{SECRET}@a:1,b:2/x", "postgresql://me@a:1,b:2/x"),
        (f"postgresql://db/x?user=me&password={SECRET}", "postgresql://db/x?user=me"),
    ],
)
def test_an_address_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_parameters_are_added_and_replaced() -> None:
    url = with_parameters("postgresql://me:p%40ss@db/x?host=%2Ftmp%2Fa%20b&a=1", {"a": "2", "b": "c d"})
    assert url == "postgresql://me:p%40ss@db/x?host=%2Ftmp%2Fa+b&a=2&b=c+d"
