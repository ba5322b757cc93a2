"""Every query of every dashboard and rule, evaluated by a real Prometheus on the metrics of running services.

The operator does not run here: its own metrics, as it declares them, are served with values as of a working one.
"""

import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics import MetricWrapperBase

from e2e.platform import Platform, eventually
from fixtures.machine import free_port
from fixtures.monitoring import RULE_FILES, Query, alerts, dashboard_queries, rule_queries
from fixtures.prometheus import Prometheus
from loyalnest_operator import metrics as operator
from shopify.bodies import customer, order

NAMESPACE = "loyalnest-acme"
VARIABLES = {"$namespace": NAMESPACE, "$__rate_interval": "1m"}
FAILURES = {("status", "5..|499")}
"""Matchers of what a healthy platform does not have."""


@pytest.fixture(scope="module")
def operator_metrics() -> Iterator[str]:
    """The address of the operator's metrics, in a registry that holds no service's."""
    registry = CollectorRegistry()
    for metric in vars(operator).values():
        if isinstance(metric, MetricWrapperBase):
            registry.register(metric)
    port = free_port()
    server, thread = start_http_server(port, "127.0.0.1", registry)
    yield f"127.0.0.1:{port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def prometheus(platform: Platform, operator_metrics: str, server_folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the platform and the operator's metrics, with all rules loaded."""
    folder = Path(tempfile.mkdtemp(prefix="prometheus_", dir=server_folder))
    targets = {NAMESPACE: platform.targets("acme"), "loyalnest-system": [operator_metrics]}
    server = Prometheus(folder, free_port(), targets, RULE_FILES)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def traffic(platform: Platform) -> "Traffic":
    """Makes a little of everything happen."""
    return Traffic(platform)


class Traffic:
    """What a platform and an operator see in a few seconds; call `some` again and again, for rates."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def some(self) -> None:
        """Orders of new customers, a forged one, API calls, a refresh; and a reconcile."""
        for _ in range(3):
            self._platform.accept("acme", "orders/paid", order(customer=customer()))
        assert self._platform.deliver("acme", "orders/paid", order(), secret="forged").status_code == 401
        self._platform.points("acme", 1)
        assert self._platform.call("acme", "POST", "/frontend/segments/refresh").status_code == 200
        _reconcile()


def _reconcile() -> None:
    operator.LEADER.set(1)
    operator.QUEUE_LENGTH.set(2)
    operator.QUEUE_OLDEST.set(0.2)
    operator.QUEUE_SECONDS.observe(0.1)
    operator.WATCH_AGE.set(3)
    for condition, status in (("Ready", "True"), ("Ready", "False"), ("Degraded", "True"), ("Degraded", "False")):
        operator.PROGRAMS.labels(condition, status).set(1)
    operator.RECONCILE_SECONDS.labels("workloads").observe(0.4)
    operator.API_CALLS.labels("get", "Deployment", "200").inc()
    operator.API_CALLS.labels("apply", "Deployment", "409").inc()
    operator.FAILURES.labels("conflict").inc()


def filled_in(expression: str) -> str:
    """The expression as Grafana sends it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert not re.search(r"\$\w", expression), expression
    return expression


def answered(prometheus: Prometheus, expression: str) -> bool:
    """Whether a query has a series with a number."""
    return any(math.isfinite(float(series["value"][1])) for series in prometheus.query(filled_in(expression)))


def until_answered(prometheus: Prometheus, traffic: Traffic, queries: list[Query]) -> None:
    """Make traffic until each query has had an answer."""
    waiting = list(queries)

    def all_answered() -> None:
        traffic.some()
        waiting[:] = [query for query in waiting if not answered(prometheus, query.expression)]
        assert not waiting

    eventually(all_answered, seconds=120)


def test_every_panel_shows_something(prometheus: Prometheus, traffic: Traffic) -> None:
    queries = dashboard_queries()
    assert len(queries) > 40
    until_answered(prometheus, traffic, queries)


def test_every_rule_asks_for_series_that_are_there(prometheus: Prometheus, traffic: Traffic) -> None:
    """Alerts are silent here, so what they are made of is asked for: each selector, but for those of failures."""
    trees = [prometheus.parse(query.expression) for query in rule_queries()]
    selectors = {_selector(node) for node in _selectors(trees)}
    assert len(selectors) > 15
    until_answered(prometheus, traffic, [Query(selector, selector) for selector in sorted(selectors)])


def test_every_rule_evaluates(prometheus: Prometheus, traffic: Traffic) -> None:
    traffic.some()

    def evaluated() -> None:
        loaded = prometheus.rules()
        assert {rule["health"] for rule in loaded} == {"ok"}, [rule for rule in loaded if rule.get("lastError")]
        assert {rule["name"] for rule in loaded if rule["type"] == "alerting"} == {each["alert"] for each in alerts()}

    eventually(evaluated)


def test_a_query_of_nothing_has_no_answer(prometheus: Prometheus) -> None:
    assert not answered(prometheus, 'loyalnest_webhooks_total{namespace="nowhere"}')
    with pytest.raises(AssertionError, match="parse error"):
        prometheus.query("sum(")


def _selectors(tree: Any) -> Iterator[dict[str, Any]]:
    """The selectors in a syntax tree."""
    if isinstance(tree, dict):
        if tree.get("type") in {"vectorSelector", "matrixSelector"}:
            yield tree
        yield from _selectors(list(tree.values()))
    elif isinstance(tree, list):
        for child in tree:
            yield from _selectors(child)


def _selector(node: dict[str, Any]) -> str:
    """A selector's series, whatever their age, without the matchers of failures."""
    kept = [
        f'{each["name"]}{each["type"]}"{each["value"]}"'
        for each in node["matchers"]
        if each["name"] != "__name__" and (each["name"], each["value"]) not in FAILURES
    ]
    return f"{node['name']}{{{','.join(kept)}}}"
