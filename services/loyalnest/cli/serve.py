"""`loyalnest serve`, `migrate` and `provision`: what a container runs, configured by its environment."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from loyalnest.cli import console
from loyalnest.cli.console import out, run
from loyalnest.kit import logs, memory, runtime
from loyalnest.kit.discovery import discover
from loyalnest.kit.errors import Forbidden, InvalidInput, PreconditionFailed
from loyalnest.kit.program import Program, load_programs
from loyalnest.kit.settings import Settings

Names = Annotated[
    str, typer.Option("--services", metavar="A,B", help="Services, separated by commas; `all` for every one.")
]


def _variables() -> str:
    lines = ["Configuration is read from the environment:", ""]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = f" [{default}]" if isinstance(default, str | int | float) and default != "" else ""
        lines += [f"  LOYALNEST_{name.upper()}: {field.description}{shown}", ""]
    return "\n".join(lines)


_SERVE_HELP = """Run services in this process until SIGTERM or Ctrl-C, then drain and stop.

Databases must be migrated before (loyalnest migrate)."""


def serve(services: Names = "all") -> None:
    settings = Settings.from_environment()
    names = chosen(services, settings)
    logs.configure(settings)
    run(lambda: _serve(settings, names, programs_of(settings.programs)))


serve.__doc__ = f"{_SERVE_HELP}\n\n\b\n{_variables()}"


def migrate(services: Names = "all") -> None:
    """Bring the databases of services to their newest schema. Safe to run again, and beside running processes."""
    names = chosen(services)
    settings = Settings.from_environment()
    logs.configure(settings)
    for name, revision in run(lambda: console.migrate(settings, names)).items():
        out.print(f"{name}: {revision}")


def provision(services: Names = "all") -> None:
    """Bring merchants to what the LoyaltyProgram documents in LOYALNEST_PROGRAMS say, without serving.

    Services make what a new merchant needs (its keys, its first rules, its schedule) and take over what changed in the
    resource: credentials, suspension, and the rules where the resource manages them. Databases must be migrated before.
    Safe to run again, and beside running processes.
    """
    settings = Settings.from_environment()
    logs.configure(settings)
    names = chosen(services, settings)
    programs = programs_of(settings.programs)
    if not programs:
        raise InvalidInput("No programs to provision: name their files in LOYALNEST_PROGRAMS.")
    run(lambda: _provision(settings, names, programs))
    for program in programs:
        out.print(f"{program.merchant_id}: provisioned")


async def _provision(settings: Settings, names: list[str], programs: list[Program]) -> None:
    process = runtime.Runtime(settings, names, programs, listen_grpc=False)
    try:
        await process.open()
        await process.provision()
    except _NOT_MIGRATED as error:
        raise PreconditionFailed(
            f"The database is not at this version ({error}): run loyalnest migrate before, with the same addresses."
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise Forbidden(f"The database login may not act for every service: {error}.") from error
    finally:
        await process.stop()


_NOT_MIGRATED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidParameterValueError,  # a role that SET ROLE does not find
)


def chosen(names: str, settings: Settings | None = None) -> list[str]:
    """The services that `--services` means; `all` leaves out those that `settings` disable."""
    if names == "all":
        return [name for name in discover() if settings is None or name not in settings.disabled_services]
    return [name.strip() for name in names.split(",") if name.strip()]


def programs_of(paths: list[Path]) -> list[Program]:
    """The programs of `paths`; none for no paths."""
    return load_programs(paths) if paths else []


async def _serve(settings: Settings, names: list[str], programs: list[Program]) -> None:
    if not names:
        raise InvalidInput("No services named: give --services points,rfm or --services all.")
    process = runtime.Runtime(settings, names, programs)
    stopping = stop_on_signals()
    await process.start()
    memory.settle()
    try:
        await until(process, stopping)
    finally:
        await process.stop()


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; a second one ends the process at once."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        loop.remove_signal_handler(number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return stopping


async def until(process: runtime.Runtime, stopping: asyncio.Event) -> None:
    """Return when `stopping` is set; raise if a part of the process fails before."""
    waits = [asyncio.create_task(stopping.wait()), asyncio.create_task(process.wait())]
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
