"""The committed reference is what the declarations say, and the check notices a change."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loyalnest.kit.discovery import discover

ROOT = Path(__file__).resolve().parents[3]
TOOL = ROOT / "tools" / "generate_reference.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False)


def test_the_committed_files_are_fresh() -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr


def test_a_missing_or_changed_file_is_noticed(tmp_path: Path) -> None:
    assert run("--check", "--out", str(tmp_path)).stderr.count("run make reference") == 5
    assert run("--out", str(tmp_path)).returncode == 0
    assert run("--check", "--out", str(tmp_path)).returncode == 0
    changed = tmp_path / "docs" / "reference" / "events.yaml"
    changed.write_text(changed.read_text().replace("points.earned", "points.learned"))
    done = run("--check", "--out", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "docs/reference/events.yaml is stale: run make reference\n")


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "reference" / "events.yaml").read_text())
    return found


def test_every_reference_of_the_catalogue_leads_somewhere(catalogue: dict[str, Any]) -> None:
    references = list(references_in(catalogue))
    assert references
    for reference in references:
        at: Any = catalogue
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def test_every_topic_that_is_consumed_is_produced_by_somebody(catalogue: dict[str, Any]) -> None:
    silent = {name for name, channel in catalogue["channels"].items() if "messages" not in channel}
    assert silent == set()


def test_every_service_has_its_page() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "services").glob("*.md")}
    assert pages == set(discover())


def references_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield each
            else:
                yield from references_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from references_in(each)
