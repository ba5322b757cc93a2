"""What the charts install for Prometheus's operator, where it is there."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.charts import Manifest, found, full, full_values, rendered
from fixtures.monitoring import RULE_FILES, alerts
from fixtures.prometheus import promtool

KINDS = ("PrometheusRule", "ServiceMonitor")
APIS = [option for kind in KINDS for option in ("--api-versions", f"monitoring.coreos.com/v1/{kind}")]


def monitored(chart: str) -> tuple[Manifest, ...]:
    """The chart's objects in a cluster with Prometheus's operator."""
    return rendered(chart, "-f", full_values(chart), *APIS)


@pytest.mark.parametrize("chart", ["loyalnest-operator", "loyalnest"])
def test_nothing_without_prometheus_or_when_told_so(chart: str) -> None:
    off = rendered(chart, "-f", full_values(chart), *APIS, "--set", "monitoring.enabled=false")
    for objects in (full(chart), off):
        assert not [each for each in objects if each["kind"] in KINDS]


@pytest.mark.parametrize("chart", ["loyalnest-operator", "loyalnest"])
def test_the_monitor_finds_the_services_and_their_port(chart: str) -> None:
    objects = monitored(chart)
    monitor = found(objects, "ServiceMonitor", chart)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [each for each in objects if each["kind"] == "Service"]
    assert services
    for service in services:
        assert wanted <= service["metadata"]["labels"].items()
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_rules_are_those_of_the_files_with_the_runbooks_address(tmp_path: Path) -> None:
    installed: list[dict[str, Any]] = []
    for path in RULE_FILES:
        rule = found(monitored("loyalnest-operator"), "PrometheusRule", f"loyalnest-{path.stem}")
        assert rule["metadata"]["labels"]["release"] == "prometheus"
        (tmp_path / path.name).write_text(yaml.safe_dump(rule["spec"]))
        installed += [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
    subprocess.run([promtool(), "check", "rules", *tmp_path.iterdir()], check=True, capture_output=True)
    expected = alerts()
    for alert in expected:
        alert["annotations"]["runbook_url"] = f"https://example.com/loyalnest/{alert['annotations']['runbook_url']}"
    assert [(each["alert"], each["expr"], each["annotations"]) for each in installed] == [
        (each["alert"], each["expr"], each["annotations"]) for each in expected
    ]
