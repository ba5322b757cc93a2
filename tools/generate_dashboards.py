"""Generate Grafana's JSON from the short `monitoring/dashboards/*.yaml`, or check that the committed JSON is fresh.

Run it as `make dashboards`. `--check` writes nothing and fails with the name of each file that is stale. A source has
`uid`, `title`, `variables` (name, label, and the query that lists their values) and `rows`: each a `title` and `panels`
of `title`, `unit` (Grafana's name for it), `queries` (`expr`, `legend`) and, if it isn't a graph, `kind: stat`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "monitoring" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
SIZES = {"stat": (4, 4), "timeseries": (12, 8)}
"""Width and height of a panel by its kind."""


def dashboard(source: dict[str, Any]) -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "uid": source["uid"],
        "title": source["title"],
        "tags": ["loyalnest"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_data_source(), *(_variable(each) for each in source.get("variables", []))]},
        "panels": _panels(source["rows"]),
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": source["name"],
        "label": source["label"],
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": source["query"], "refId": "A"},
        "refresh": 2,
        "sort": 1,
    }


def _panels(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows one below the other, the panels of each from left to right."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        grid = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row["title"], "gridPos": grid, "panels": []})
        x, y, height = 0, y + 1, 0
        for source in row["panels"]:
            width, panel_height = SIZES[source.get("kind", "timeseries")]
            if x + width > COLUMNS:
                x, y, height = 0, y + height, 0
            grid = {"x": x, "y": y, "w": width, "h": panel_height}
            panels.append(_panel(source, len(panels) + 1, grid))
            x, height = x + width, max(height, panel_height)
        y += height
    return panels


def _panel(source: dict[str, Any], number: int, grid: dict[str, int]) -> dict[str, Any]:
    kind = source.get("kind", "timeseries")
    panel = {
        "id": number,
        "type": kind,
        "title": source["title"],
        "description": source.get("description", ""),
        "datasource": SOURCE,
        "gridPos": grid,
        "fieldConfig": {"defaults": {"unit": source["unit"], "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query["expr"].strip(),
                "legendFormat": query["legend"],
                "instant": kind == "stat",
                "range": kind != "stat",
            }
            for index, query in enumerate(source["queries"])
        ],
    }
    if kind == "stat":
        return panel | {"options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none"}}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return panel | {"options": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}}


def main() -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    stale = []
    for path in sorted(arguments.folder.glob("*.yaml")):
        text = json.dumps(dashboard(yaml.safe_load(path.read_text())), indent=2) + "\n"
        target = path.with_suffix(".json")
        if not target.exists() or target.read_text() != text:
            stale.append(target)
            if not arguments.check:
                target.write_text(text)
    for target in stale:
        sys.stderr.write(f"{target.name} {'is stale: run make dashboards' if arguments.check else 'written'}\n")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
