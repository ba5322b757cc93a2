"""`loyalnest services`: what there is."""

import textwrap
from typing import Annotated

import typer

from loyalnest.cli.console import out
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.service import Service


def services(
    names_only: Annotated[bool, typer.Option("--names", help="Print the names only, one a line.")] = False,
) -> None:
    """List the services: what each needs, the topics it reads and writes, and its gRPC methods."""
    found = discover()
    if names_only:
        for service in in_dependency_order(found, list(found)):
            typer.echo(service.name)
        return
    for service in in_dependency_order(found, list(found)):
        out.print(f"[bold]{service.name}[/]  {service.summary}")
        parts = {
            "needs": service.needs,
            "consumes": service.consumes,
            "produces": [payload.topic for payload in service.produces],
            "methods": methods(service),
        }
        for name, values in parts.items():
            if values:
                text = textwrap.fill(", ".join(values), out.width - 12, subsequent_indent=" " * 12)
                out.print(f"  {name:<10}{text}")
        out.print()


def methods(service: Service) -> list[str]:
    """Names of a service's gRPC methods."""
    if service.rpc is None:
        return []
    described = service.rpc.descriptor.services_by_name[service.rpc.name.rpartition(".")[2]]
    return [method.name for method in described.methods]
