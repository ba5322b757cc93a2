"""clusters/compose.yaml agrees with the settings of the services, and clusters/.env.example with both."""

import re
from pathlib import Path
from typing import Any

import yaml

from loyalnest.kit.settings import Settings

CLUSTERS = Path(__file__).parent.parent.parent / "clusters"
TEXT = (CLUSTERS / "compose.yaml").read_text()


def documents() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(TEXT)["services"]
    return services


def test_services_are_given_settings_that_they_read() -> None:
    variables = documents()["loyalnest"]["environment"]
    assert variables.keys() <= {f"LOYALNEST_{name.upper()}" for name in Settings.model_fields}
    assert documents()["migrate"]["environment"] == variables


def test_the_example_names_every_variable_once() -> None:
    example = (CLUSTERS / ".env.example").read_text()
    named = re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)
    assert sorted(named) == sorted(set(re.findall(r"\$\{([A-Z_]+)", TEXT)))
    required = re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)
    assert set(required) == set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))


def test_addresses_are_of_services_that_are_there() -> None:
    services = documents()
    variables = services["loyalnest"]["environment"]
    for name in ("LOYALNEST_DATABASE_URL", "LOYALNEST_REDIS_URL", "LOYALNEST_KAFKA_BROKERS"):
        host = re.search(r"([a-z]+):\d+", variables[name].rpartition("@")[2])
        assert host is not None
        assert host.group(1) in services
        assert services[host.group(1)]["networks"] == ["stores"]


def test_what_is_not_published_cannot_be_reached_from_outside() -> None:
    for name, service in documents().items():
        assert [port.startswith("127.0.0.1:") for port in service.get("ports", [])] == [True] * (name == "loyalnest")
