"""Generate the gRPC code of every `.proto` below `services`, or check that the committed code is fresh.

Run it as `make proto`. `--check` writes nothing and fails with the name of each file that is stale, missing or left
over. The output depends on the protos and the pinned tools only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SERVICES = Path(__file__).resolve().parent.parent / "services"
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


class ProtoError(Exception):
    """The compiler refused a proto; the words are the compiler's."""


def protos(root: Path) -> list[Path]:
    """The protos below `root`, relative to it, in a fixed order."""
    return sorted(path.relative_to(root) for path in root.rglob("*.proto"))


def generate(root: Path, out: Path) -> list[Path]:
    """Write the code of every proto below `root` to the same place below `out`; returns what was written, relative.

    Raises ProtoError with the compiler's words if a proto is wrong.
    """
    sources = protos(root)
    if not sources:
        return []
    scripts = Path(sys.executable).parent  # the environment's, where pip puts the plugins
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"-I{root}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet,only_async:{out}",
        *(str(path) for path in sources),
    ]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment)  # noqa: S603
    if done.returncode != 0:
        raise ProtoError(done.stderr.strip() or f"protoc ended with {done.returncode}")
    return sorted(path for path in expected(sources) if (out / path).exists())


def expected(sources: Sequence[Path]) -> list[Path]:
    """The files that the code of `sources` may be in."""
    return [source.with_name(source.stem + ending) for source in sources for ending in GENERATED]


def stale(root: Path) -> list[str]:
    """One line for each generated file below `root` that is missing, differs, or has no proto any more."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        wanted = generate(root, fresh)
        problems = []
        for path in wanted:
            committed = root / path
            if not committed.exists():
                problems.append(f"{path} is missing")
            elif committed.read_bytes() != (fresh / path).read_bytes():
                problems.append(f"{path} is stale")
    present = {path.relative_to(root) for ending in GENERATED for path in root.rglob(f"*{ending}")}
    problems.extend(f"{path} has no proto any more" for path in sorted(present - set(wanted)))
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 1 if files are stale or a proto is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed file is not fresh")
    parser.add_argument("--services", type=Path, default=SERVICES, help="folder of the protos and their packages")
    parser.add_argument("--out", type=Path, help="write below this folder instead of next to the protos")
    options = parser.parse_args(arguments)
    root: Path = options.services.resolve()
    try:
        if options.check:
            problems = stale(root)
            if problems:
                sys.stderr.write("".join(f"{problem}\n" for problem in problems) + "Run `make proto`.\n")
            return 1 if problems else 0
        for path in generate(root, (options.out or root).resolve()):
            sys.stdout.write(f"{path}\n")
    except ProtoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
