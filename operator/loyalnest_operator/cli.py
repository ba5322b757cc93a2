"""The `loyalnest-operator` command."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from loyalnest.cli.console import err, out
from loyalnest.kit import logs
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.errors import LoyalNestError
from loyalnest.kit.program import LoyaltyProgram, Program, ProgramTier, load_programs
from loyalnest.kit.program.spec import API_VERSION, KIND
from loyalnest.kit.service import Service
from loyalnest_operator import names, places, planning, process
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.desired import desired, problems
from loyalnest_operator.facts import Capabilities, Facts
from loyalnest_operator.inputs import pull_secrets
from loyalnest_operator.keeping import Keeping
from loyalnest_operator.kinds import OWNED, PROGRAM
from loyalnest_operator.obstacles import Obstacle
from loyalnest_operator.servers import Servers
from loyalnest_operator.settings import OperatorSettings

app = typer.Typer(
    name="loyalnest-operator",
    help="LoyalNest's operator: one LoyaltyProgram in, a merchant's whole platform out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_SIGNS = {"create": "[green]+", "change": "[yellow]~", "delete": "[red]-", "keep": "[dim]="}


def _variables() -> str:
    fields = OperatorSettings.model_fields.items()
    return "\n\n".join(f"  LOYALNEST_OPERATOR_{name.upper()}: {field.description or ''}" for name, field in fields)


def run() -> None:
    settings = OperatorSettings.from_environment()
    _configure_logs(settings)
    asyncio.run(process.run(settings, _services(), Servers(settings)))


run.__doc__ = f"""Act on the cluster until SIGTERM: by its service account in a pod, else by KUBECONFIG.

Of several replicas one leads. Configuration is read from the environment:

\b
{_variables()}"""
app.command("run")(run)


@app.command("plan")
def plan(
    file: Annotated[
        list[Path],
        typer.Option("--file", "-f", metavar="FILE_OR_DIR", help="LoyaltyProgram documents with their Secrets."),
    ],
) -> None:
    """Print what a program would make or change in the cluster that KUBECONFIG names, and change nothing.

    Leaves with exit code 2 if anything would change, so that scripts can ask.
    """
    settings = OperatorSettings.from_environment()
    _configure_logs(settings.model_copy(update={"log_level": "ERROR", "log_format": "console"}))
    if asyncio.run(_plan(settings, load_programs(file))):
        raise typer.Exit(2)


async def _plan(settings: OperatorSettings, programs: Sequence[Program]) -> int:
    cluster = await Cluster.connect()
    changes = 0
    try:
        optional = {kind.kind: await cluster.served(kind) for kind in OWNED if kind.optional}
        capabilities = Capabilities(keda=optional["ScaledObject"], prometheus=optional["ServiceMonitor"])
        pulling, services = await pull_secrets(cluster, settings), _services()
        for each in programs:
            metadata = {"name": each.merchant_id}
            program = LoyaltyProgram.model_validate(
                {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": each.spec}
            )
            generated, made = await Keeping(settings, cluster).planned(each.merchant_id, [one.name for one in services])
            facts = Facts(settings, services, each.credentials, generated, settings.image, capabilities, pulling)
            _refuse(program, facts)
            live = await cluster.get(PROGRAM, each.merchant_id)
            way = f"moves from {places.home(live).value} to " if live and places.moves(live, program) else ""
            out.print(f"[bold]{each.merchant_id}[/] ({way}{program.spec.tier.value})")
            changes += await _print_steps(cluster, settings, program, facts)
            if not made and program.spec.tier is not ProgramTier.POOLED:
                out.print(f"  [green]+[/] Secret {settings.namespace}/{names.secrets(each.merchant_id)} (generated)")
                changes += 1
    finally:
        await cluster.close()
    out.print(f"{changes} changes." if changes else "Nothing to change.")
    return changes


def _refuse(program: LoyaltyProgram, facts: Facts) -> None:
    """Say now what the operator would say, if it would not do what the program asks for."""
    found = problems(program, facts)
    if found:
        raise Obstacle("InvalidSpec", f"{program.metadata.name}: {' '.join(found)}")


async def _print_steps(cluster: Cluster, settings: OperatorSettings, program: LoyaltyProgram, facts: Facts) -> int:
    changes = 0
    for step in await planning.plan(cluster, settings, program, list(desired(program, facts))):
        if step.action != "keep":
            changes += 1
        out.print(f"  {_SIGNS[step.action]}[/] {step.ref}")
        for field in step.fields:
            out.print(f"      {field}", markup=False)
    return changes


def _services() -> Sequence[Service]:
    found = discover()
    return in_dependency_order(found, list(found))


def _configure_logs(settings: OperatorSettings) -> None:
    logs.configure(settings)
    logging.getLogger("kopf").setLevel(logging.WARNING)


def main() -> None:
    """Entry point. What goes wrong with words for the caller is one line and exit code 1."""
    try:
        app(prog_name="loyalnest-operator")
    except LoyalNestError as error:
        err.print("[bold red]Error:[/]", end=" ")
        err.print(error.detail, markup=False)
    sys.exit(1)
