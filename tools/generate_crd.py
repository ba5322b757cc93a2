"""Write the CustomResourceDefinition of LoyaltyProgram, or check that the committed one is fresh.

Run it as `make crd`. `--check` writes nothing and fails when the file is stale or missing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from loyalnest.kit.program.crd import definition

CRDS = Path(__file__).resolve().parent.parent / "crds"
HEADER = "# Written by `make crd` from the models in services/loyalnest/kit/program. Change those.\n"


def text() -> str:
    """The file's content."""
    return HEADER + yaml.safe_dump(definition(), sort_keys=False, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 1 if the file is not fresh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the committed file is not fresh")
    parser.add_argument("--out", type=Path, default=CRDS, help="folder of the file")
    options = parser.parse_args(arguments)
    target: Path = options.out / f"{definition()['metadata']['name']}.yaml"
    if not options.check:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text(), encoding="utf-8")
        sys.stdout.write(f"{target}\n")
    elif not target.exists() or target.read_text(encoding="utf-8") != text():
        sys.stderr.write(f"{target} is not what the models say. Run `make crd`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
