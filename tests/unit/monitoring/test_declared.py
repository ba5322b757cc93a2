"""What the rules and dashboards name is there: metrics, labels, runbooks, fresh files."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.monitoring import (
    DASHBOARDS,
    MONITORING,
    ROOT,
    Query,
    alerts,
    dashboard_queries,
    declared,
    rule_queries,
    rules,
    runbook_of,
)

OF_TARGETS = {"namespace", "instance", "le"}
"""Labels that Prometheus gives every series, and the histograms'."""
RECORDED = re.compile(r"\b[a-z]+:loyalnest_[a-z_]+:[a-z0-9_]+")
METRIC = re.compile(r"\b(loyalnest_[a-z_]+)(\{(?:[^}\"]|\"[^\"]*\")*\})?")
MATCHER = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\bby \(([a-z_, ]+)\)")
GENERATOR = ROOT / "tools" / "generate_dashboards.py"

QUERIES = [*rule_queries(), *dashboard_queries()]
DECLARED = declared()


def labels_of(name: str) -> set[str] | None:
    """The labels of a metric's series, or None if nobody declares it."""
    metric = DECLARED.get(name) or DECLARED.get(re.sub(r"_(bucket|count|sum)$", "", name))
    return None if metric is None else set(metric._labelnames) | OF_TARGETS


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_metric_and_label_is_declared(query: Query) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert set(RECORDED.findall(query.expression)) <= recorded
    expression = RECORDED.sub("", query.expression)
    named = METRIC.findall(expression)
    assert named or "ALERTS" in expression or expression != query.expression, "it names no metric at all"
    of_all: set[str] = set(OF_TARGETS)
    for name, matchers in named:
        labels = labels_of(name)
        assert labels is not None, f"{name} is declared nowhere"
        assert set(MATCHER.findall(matchers)) <= labels, name
        of_all |= labels
    grouped = {label for labels in GROUPED.findall(expression) for label in labels.replace(" ", "").split(",")}
    assert grouped <= of_all


def test_an_unknown_metric_is_noticed() -> None:
    assert labels_of("loyalnest_no_such_thing_total") is None
    with pytest.raises(AssertionError, match="declared nowhere"):
        test_every_metric_and_label_is_declared(Query("x", "sum(loyalnest_no_such_thing_total)"))
    with pytest.raises(AssertionError):
        test_every_metric_and_label_is_declared(Query("x", "sum by (shop) (loyalnest_outbox_oldest_seconds)"))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']} {alert['labels']['severity']}")
def test_every_alert_links_to_its_runbook(alert: dict[str, Any]) -> None:
    runbook = alert["annotations"]["runbook_url"]
    assert runbook == runbook_of(alert["alert"])
    assert (ROOT / runbook).read_text().startswith("# ")
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_every_runbook_that_names_an_alert_names_one_that_is_there() -> None:
    names = {alert["alert"] for alert in alerts()}
    for path in (ROOT / "docs").rglob("*.md"):
        assert set(re.findall(r"\bLoyalNest[A-Z]\w+", path.read_text())) <= names, path


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    (source,) = (each for each in dashboard["templating"]["list"] if each["type"] == "datasource")
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len(panels) > 8
    for panel in panels:
        assert panel["title"] and panel["fieldConfig"]["defaults"]["unit"] and panel["targets"]
        assert all(target["legendFormat"] and target["expr"] for target in panel["targets"])
        assert panel["datasource"]["uid"] == f"${{{source['name']}}}"
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"])


def test_the_committed_dashboards_are_fresh_and_a_change_is_noticed(tmp_path: Path) -> None:
    def check(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(GENERATOR), "--check", "--folder", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert check(MONITORING / "dashboards").returncode == 0
    for path in (MONITORING / "dashboards").iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "platform.yaml").write_text((tmp_path / "platform.yaml").read_text().replace("unit: ops", "unit: s"))
    changed = check(tmp_path)
    assert (changed.returncode, changed.stderr) == (1, "platform.json is stale: run make dashboards\n")
