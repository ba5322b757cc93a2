"""Every gRPC method with its messages, as Markdown, from the .proto files' descriptors and their comments."""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from loyalnest.kit.service import Service

_HEAD = """<!-- Written by `make reference` from the services' .proto files. Change those. -->
# gRPC methods

The merchant, the actor and the deadline of a call come with its metadata (`kit/rpc/metadata.py`). Every server has
health and reflection. The fields and their meaning are in the `.proto` file that is named with each service.
"""
_METHOD = re.compile(r"((?:^[ \t]*//[^\n]*\n)*)^[ \t]*rpc (\w+)", re.MULTILINE)


def page(services: Iterable[Service]) -> str:
    """The page."""
    ordered = sorted((each for each in services if each.rpc is not None), key=lambda each: each.name)
    return "\n".join([_HEAD, *map(_section, ordered)])


def _section(service: Service) -> str:
    assert service.rpc is not None
    descriptor = service.rpc.descriptor
    said = comments((files(f"loyalnest.{service.name}") / f"{service.name}.proto").read_text("utf-8"))
    lines = [
        f"## {service.rpc.name}",
        "",
        f"{service.summary} (`services/loyalnest/{service.name}/{service.name}.proto`)",
        "",
    ]
    lines += ["", "| method | takes | returns | |", "|---|---|---|---|"]
    for method in descriptor.services_by_name[service.rpc.name.rpartition(".")[2]].methods:
        returns, takes = _message(method.output_type), _message(method.input_type)
        lines.append(f"| `{method.name}` | {takes} | {returns} | {said.get(method.name, '')} |")
    return "\n".join(lines) + "\n"


def comments(proto: str) -> dict[str, str]:
    """What is written above each method, in one line."""
    return {
        name: " ".join(line.strip().removeprefix("//").strip() for line in above.splitlines()).replace("|", "\\|")
        for above, name in _METHOD.findall(proto)
    }


def _message(descriptor: Any) -> str:
    fields = ", ".join(f"`{each.name}`" for each in descriptor.fields)
    return f"{descriptor.name}{': ' + fields if fields else ''}"
