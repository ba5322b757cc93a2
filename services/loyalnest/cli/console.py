"""What commands share: output, running async code, and the way to the services from outside their processes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from loyalnest.kit import logs
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.embedded.stores import EmbeddedStores
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.settings import Settings

T = TypeVar("T")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DEFAULT_DATA = Path("data")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data folder of the embedded packing. Without it ./data, if it is there; else what the LOYALNEST_ "
        "variables of `loyalnest serve --help` name.",
    ),
]


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine on uvloop."""
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work())
    except KeyboardInterrupt:
        err.print("Interrupted.")
        raise typer.Exit(130) from None


async def migrate(settings: Settings, names: Sequence[str]) -> Mapping[str, str]:
    """Bring the schemas of the services `names` to their newest revisions. Returns the revision per service."""
    from loyalnest.kit import migrations  # Alembic and SQLAlchemy, which a process that serves never needs

    return await migrations.migrate(settings.placement(), in_dependency_order(discover(), names))


@asynccontextmanager
async def services_at(data: Path | None) -> AsyncIterator[Runtime]:
    """The services with a gRPC side, to be called as `system`, on a data folder or at the configured addresses.

    A data folder that no process runs on is started for the time of the command.
    """
    async with settings_at(data) as settings:
        there_are = discover().items()
        names = [name for name, service in there_are if service.rpc and name not in settings.disabled_services]
        if _folder(data) is not None:
            await migrate(settings, names)  # the process that runs here may be about to; this waits for it
        elif settings.database_url.get_secret_value():
            names = [name for name in names if name not in settings.peers]
        else:
            names = []
        async with _opened(settings, names) as runtime:
            yield runtime


@asynccontextmanager
async def settings_at(data: Path | None) -> AsyncIterator[Settings]:
    """The settings of a data folder, whose stores are started if no process runs on it, or those of the environment.

    The log shows errors only, to leave the output to the command.
    """
    quiet = {"log_level": "ERROR", "log_format": "console"}
    folder = _folder(data)
    if folder is None:
        settings = Settings.from_environment()
        if not (settings.database_url.get_secret_value() or settings.database_urls or settings.peers):
            raise InvalidInput("There is no data folder here: give --data DIR, or set LOYALNEST_DATABASE_URL.")
        logs.configure(settings.model_copy(update=quiet))
        yield settings
        return
    if not (folder / "postgres").exists():
        raise InvalidInput(f"{folder} is no data folder of LoyalNest: start one with loyalnest up --data {folder}.")
    stores = EmbeddedStores(folder)
    owned = await asyncio.to_thread(stores.own)
    await asyncio.to_thread(stores.start if owned else stores.attach)
    try:
        settings = stores.settings(**quiet)
        logs.configure(settings)
        yield settings
    finally:
        await asyncio.to_thread(stores.stop)


def _folder(data: Path | None) -> Path | None:
    """The data folder that `--data` means."""
    return data or (DEFAULT_DATA if (DEFAULT_DATA / "postgres").exists() else None)


@asynccontextmanager
async def _opened(settings: Settings, names: list[str]) -> AsyncIterator[Runtime]:
    runtime = Runtime(settings, names)
    try:
        await runtime.open()
        yield runtime
    finally:
        await runtime.stop()
