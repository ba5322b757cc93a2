"""The committed CustomResourceDefinition is what the models say, and the check that says so notices a change."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[3] / "tools" / "generate_crd.py"
NAME = "loyaltyprograms.loyalnest.io.yaml"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False)


def test_the_committed_definition_is_fresh() -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr


def test_a_missing_or_changed_definition_is_noticed(tmp_path: Path) -> None:
    assert "Run `make crd`" in run("--check", "--out", str(tmp_path)).stderr
    assert run("--out", str(tmp_path)).returncode == 0
    assert run("--check", "--out", str(tmp_path)).returncode == 0
    written = tmp_path / NAME
    written.write_text(written.read_text().replace("default: USD", "default: EUR"))
    assert run("--check", "--out", str(tmp_path)).returncode == 1
