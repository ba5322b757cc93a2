"""The charts agree with the code: environment variables, their bounds and defaults, and the list of services."""

import json
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from fixtures.charts import CHARTS, Manifest, found, full, full_values, rendered
from loyalnest.kit.discovery import discover
from loyalnest.kit.settings import Settings
from loyalnest_operator.settings import OperatorSettings

SECRETS = {"postgres_url", "redis_url"}
DERIVED = {"namespace", "image", "image_pull_policy", "image_pull_secrets", "exports_claim", "health_port"}
"""Settings of the operator that follow from other values of its chart."""
BOUNDS = ("type", "minimum", "maximum", "exclusiveMinimum", "pattern", "enum")


def environment(objects: tuple[Manifest, ...], configuration: str, workload: str) -> dict[str, str]:
    """The variables of a Deployment's container as its pod sees them."""
    container = found(objects, "Deployment", workload)["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"configMapRef": {"name": configuration}}]
    variables: dict[str, str] = dict(found(objects, "ConfigMap", configuration)["data"])
    for each in container["env"]:
        if "value" in each:
            variables[each["name"]] = each["value"]
        else:
            reference = each["valueFrom"]["secretKeyRef"]
            variables[each["name"]] = found(objects, "Secret", reference["name"])["stringData"][reference["key"]]
    assert all(isinstance(value, str) for value in variables.values())
    return variables


def camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def values(chart: str) -> dict[str, Any]:
    """The chart's own values with those for tests over them, one level deep."""
    own: dict[str, Any] = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    for key, value in yaml.safe_load(full_values(chart).read_text()).items():
        own[key] = own[key] | value if isinstance(value, dict) else value
    return own


def test_the_operator_reads_every_variable_and_is_given_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment(full("loyalnest-operator"), "loyalnest-operator", "loyalnest-operator")
    assert set(variables) == {f"LOYALNEST_OPERATOR_{name.upper()}" for name in OperatorSettings.model_fields}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = OperatorSettings()
    given = values("loyalnest-operator")
    own = OperatorSettings.model_fields.keys() - DERIVED - SECRETS
    wanted = OperatorSettings(**{name: given["settings"][camel_case(name)] for name in own})
    for name in own:
        assert getattr(settings, name) == getattr(wanted, name), name
    assert settings.namespace == "there"
    assert settings.image == "registry.example.com/loyalnest:1.2.3"
    assert settings.image_pull_secrets == ["registry"]
    assert settings.postgres_url.get_secret_value() == given["postgresUrl"]
    assert settings.exports_claim == "loyalnest-exports"


def test_the_operators_defaults_are_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = rendered("loyalnest-operator", "--set", "existingSecret=stores")
    for name, value in found(objects, "ConfigMap", "loyalnest-operator")["data"].items():
        monkeypatch.setenv(name, value)
    given, plain = OperatorSettings().model_dump(), OperatorSettings.model_construct().model_dump()
    own = {"namespace", "exports_claim"}  # the release's namespace; the chart makes a claim
    assert {name: given[name] for name in given.keys() - own} == {name: plain[name] for name in plain.keys() - own}


def test_the_pool_is_given_settings_that_its_services_read(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment(full("loyalnest"), "pool", "points")
    assert set(variables) <= {f"LOYALNEST_{name.upper()}" for name in Settings.model_fields}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings, given = Settings(), values("loyalnest")
    for name in Settings.model_fields:
        if camel_case(name) in given["settings"]:
            assert getattr(settings, name) == given["settings"][camel_case(name)], name
    assert settings.database_url.get_secret_value() == given["secret"]["databaseUrl"]
    assert settings.encryption_keys_file is not None


@pytest.mark.parametrize(("chart", "model"), [("loyalnest-operator", OperatorSettings), ("loyalnest", Settings)])
def test_the_schema_has_the_bounds_of_the_code(chart: str, model: type[BaseSettings]) -> None:
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    fields = {camel_case(name): each for name, each in model.model_json_schema()["properties"].items()}
    assert schema.keys() <= fields.keys()
    for name, wanted in schema.items():
        assert {key: wanted.get(key) for key in BOUNDS} == {key: fields[name].get(key) for key in BOUNDS}, name
    assert schema.keys() == values(chart)["settings"].keys(), "values.yaml shows every setting"


def test_each_service_of_the_pool_can_be_called_where_the_others_are_told() -> None:
    objects, services = full("loyalnest"), discover()
    peers = json.loads(found(objects, "ConfigMap", "pool")["data"]["LOYALNEST_PEERS"])
    assert set(peers) == {name for name, each in services.items() if each.rpc is not None}
    for name, address in peers.items():
        service = found(objects, "Service", address.partition(".")[0])
        assert address == f"{service['metadata']['name']}.there.svc:9090"
        assert service["spec"]["clusterIP"] == "None"
        pod = found(objects, "Deployment", service["metadata"]["name"])["spec"]["template"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert pod["spec"]["containers"][0]["args"] == ["serve", "--services", name]


def test_the_gateway_is_where_the_operator_looks_for_it() -> None:
    service = found(full("loyalnest"), "Service", "api-gateway")["spec"]
    assert "clusterIP" not in service
    assert service["selector"]["app.kubernetes.io/component"] == "api_gateway"
    assert {each["port"] for each in service["ports"]} >= {8080}
