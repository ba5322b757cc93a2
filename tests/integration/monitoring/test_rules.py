"""The alerts, evaluated by promtool: each fires when it should, and is silent when it should be."""

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from fixtures.monitoring import RULE_FILES, TEST_FILES, alerts
from fixtures.prometheus import promtool


@pytest.fixture(scope="session")
def tool() -> Path:
    """promtool; its first build takes a few minutes."""
    return promtool()


def run(tool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_rules_are_sound(tool: Path) -> None:
    run(tool, "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent(tool: Path, path: Path) -> None:
    run(tool, "test", "rules", path)


def test_a_wrong_expectation_fails(tool: Path, tmp_path: Path) -> None:
    cases = yaml.safe_load((TEST_FILES[0]).read_text())
    cases["rule_files"] = [str(path) for path in RULE_FILES]
    fires = next(case for test in cases["tests"] for case in test["alert_rule_test"] if case["exp_alerts"])
    fires["exp_alerts"][0]["exp_annotations"]["runbook_url"] = "elsewhere"
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(cases))
    with pytest.raises(AssertionError, match="elsewhere"):
        run(tool, "test", "rules", tmp_path / "wrong.yaml")


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    fires: dict[tuple[str, str], int] = defaultdict(int)
    silent: dict[tuple[str, str], int] = defaultdict(int)
    every = [(alert["alert"], alert["labels"]["severity"]) for alert in alerts()]
    for path in TEST_FILES:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                severities = {expected["exp_labels"]["severity"] for expected in case["exp_alerts"]}
                for name, severity in every:
                    if name == case["alertname"]:
                        (fires if severity in severities else silent)[name, severity] += 1
    assert len(every) == len(set(every))
    assert [each for each in every if not fires[each]] == []
    assert [each for each in every if not silent[each]] == []
