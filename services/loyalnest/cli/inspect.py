"""`loyalnest services`: what there is."""

from typing import Annotated

import typer
from rich.table import Table

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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("SERVICE", "NEEDS", "CONSUMES", "PRODUCES", "METHODS"):
        table.add_column(column, overflow="fold")
    for service in in_dependency_order(found, list(found)):
        table.add_row(
            f"{service.name}\n[dim]{service.summary}[/]",
            "\n".join(service.needs) or "-",
            "\n".join(service.consumes) or "-",
            "\n".join(payload.topic for payload in service.produces) or "-",
            "\n".join(methods(service)) or "-",
        )
        table.add_row()
    out.print(table)


def methods(service: Service) -> list[str]:
    """Names of a service's gRPC methods."""
    if service.rpc is None:
        return []
    described = service.rpc.descriptor.services_by_name[service.rpc.name.rpartition(".")[2]]
    return [method.name for method in described.methods]
