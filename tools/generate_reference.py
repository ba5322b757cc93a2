"""Generate what is derived from the services' declarations, or check that the committed files are fresh.

Run it as `make reference`. `--check` writes nothing and fails with the name of each file that is stale:

- `docs/reference/events.yaml`, the catalogue of events (AsyncAPI 3.0),
- `docs/reference/openapi.json` and `http.md`, the gateway's routes,
- `docs/reference/grpc.md`, every service's methods,
- `charts/loyalnest/services.json`, of which services the pool's chart makes Deployments.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from reference import asyncapi, grpc_methods, http_routes

from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.service import Service

ROOT = Path(__file__).resolve().parent.parent


def files(services: Mapping[str, Service]) -> dict[str, str]:
    """Every generated file's text, by its path in the repository."""
    document = http_routes.document(services)
    return {
        "docs/reference/events.yaml": asyncapi.text(services.values()),
        "docs/reference/openapi.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        "docs/reference/http.md": http_routes.page(document),
        "docs/reference/grpc.md": grpc_methods.page(services.values()),
        "charts/loyalnest/services.json": pool_services(services),
    }


def pool_services(services: Mapping[str, Service]) -> str:
    """What the pool's chart needs to know of each service, as JSON; those that others need come first."""
    lines = [
        json.dumps(
            {"name": each.name, "edge": each.edge, "paths": list(each.paths), "grpc": each.rpc is not None},
        )
        for each in in_dependency_order(services, list(services))
    ]
    return "[\n  " + ",\n  ".join(lines) + "\n]\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 1 if a file is not fresh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed file is not fresh")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder that stands for the repository")
    options = parser.parse_args(arguments)
    stale = False
    for name, text in files(discover()).items():
        target: Path = options.out / name
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            sys.stderr.write(f"{name} is stale: run make reference\n")
            stale = True
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{target}\n")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
