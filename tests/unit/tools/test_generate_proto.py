"""The committed gRPC code is what the protos say, and the check that says so notices a change."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[3] / "tools" / "generate_proto.py"
PROTO = 'syntax = "proto3";\npackage sample.v1;\nmessage Sample { string text = 1; }\n'


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False)


def sample(root: Path) -> Path:
    proto = root / "loyalnest" / "sample" / "sample.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text(PROTO)
    return proto


def test_the_committed_code_is_fresh() -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr


def test_no_proto_is_fresh(tmp_path: Path) -> None:
    assert run("--check", "--services", str(tmp_path)).returncode == 0


def test_a_changed_proto_is_noticed(tmp_path: Path) -> None:
    proto = sample(tmp_path)
    assert run("--services", str(tmp_path)).returncode == 0
    assert run("--check", "--services", str(tmp_path)).returncode == 0
    proto.write_text(PROTO.replace("text = 1;", "text = 1; int64 points = 2;"))
    done = run("--check", "--services", str(tmp_path))
    assert done.returncode == 1
    assert "loyalnest/sample/sample_pb2.py is stale" in done.stderr
    assert "loyalnest/sample/sample_pb2.pyi is stale" in done.stderr


def test_missing_and_left_over_code_is_noticed(tmp_path: Path) -> None:
    proto = sample(tmp_path)
    assert "loyalnest/sample/sample_pb2_grpc.py is missing" in run("--check", "--services", str(tmp_path)).stderr
    run("--services", str(tmp_path))
    proto.unlink()
    assert "sample_pb2.py has no proto any more" in run("--check", "--services", str(tmp_path)).stderr


def test_generating_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    sample(tmp_path / "source")
    written = []
    for name in ("first", "second"):
        out = tmp_path / name
        out.mkdir()
        assert run("--services", str(tmp_path / "source"), "--out", str(out)).returncode == 0
        written.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert len(written[0]) >= 3


def test_a_wrong_proto_is_told_in_the_compilers_words(tmp_path: Path) -> None:
    sample(tmp_path).write_text('syntax = "proto3"; message {')
    done = run("--services", str(tmp_path))
    assert done.returncode == 1
    assert "sample.proto:1" in done.stderr
