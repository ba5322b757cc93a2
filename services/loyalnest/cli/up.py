"""`loyalnest up`: the whole of LoyalNest in one process, with real PostgreSQL and Redis of its own."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from loyalnest.cli.admin import make_token, merchants_of
from loyalnest.cli.console import DEFAULT_DATA, migrate, out, run
from loyalnest.cli.demo import demo_folder, play
from loyalnest.cli.demo_summary import show
from loyalnest.cli.serve import stop_on_signals, until
from loyalnest.kit import logs, memory
from loyalnest.kit.discovery import discover
from loyalnest.kit.embedded.stores import EmbeddedStores
from loyalnest.kit.program import Program, load_programs
from loyalnest.kit.runtime import Runtime


def up(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Where everything is kept.")] = DEFAULT_DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="HTTP port on 127.0.0.1; 0 takes a free one.")] = 8080,
    programs: Annotated[
        list[Path] | None,
        typer.Option("--programs", metavar="FILE_OR_DIR", help="LoyaltyProgram documents; may be given several times."),
    ] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Without the demo's programs and purchases.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log as it is written.")] = False,
) -> None:
    """Run LoyalNest on this machine: all services, PostgreSQL, Redis and the event bus, for any number of merchants.

    Without --programs it runs the demo: two shops, and for one of them 6,919 real purchases (CDNOW) and a few of these
    days, sent as signed Shopify deliveries at the first start, and what people do besides. Ctrl-C drains and stops
    everything; the next start finds its data.
    """
    demo = not programs and not no_demo
    paths = programs or ([demo_folder()] if demo else [])
    loaded = load_programs(paths) if paths else []
    run(lambda: _up(EmbeddedStores(data), port, loaded, demo=demo, verbose=verbose))


async def _up(stores: EmbeddedStores, port: int, programs: list[Program], *, demo: bool, verbose: bool) -> None:
    started = time.perf_counter()
    stopping = stop_on_signals()
    await asyncio.to_thread(stores.start)
    try:
        settings = stores.settings(
            http_port=port,
            public_url=f"http://127.0.0.1:{port}",
            log_level="INFO" if verbose else "WARNING",
            log_format="console",
        )
        logs.configure(settings)
        names = list(discover())
        await migrate(settings, names)
        process = Runtime(settings, names, programs, listen_grpc=False)
        await process.start()
        memory.settle()
        try:
            address = f"http://127.0.0.1:{process.http_port}"
            out.print(f"LoyalNest serves at [bold]{address}[/] after {time.perf_counter() - started:.1f} s.")
            tasks = [asyncio.create_task(until(process, stopping))]
            if demo:
                tasks.append(asyncio.create_task(_demo(process, stores.data_dir, address, stopping)))
            else:
                tasks.append(asyncio.create_task(_welcome(process, address)))
            await _until_stopped(tasks, stopping)
        finally:
            out.print("Draining and stopping …")
            await process.stop()
    finally:
        await asyncio.to_thread(stores.stop)


async def _until_stopped(tasks: "list[asyncio.Task[None]]", stopping: asyncio.Event) -> None:
    """Wait until the server is told to stop. A failure of the demo stops it too; a finished demo does not."""
    server, *others = tasks
    pending = set(tasks)
    while server in pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(task.exception() for task in done):
            break
    stopping.set()
    for task in others:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _demo(process: Runtime, data: Path, address: str, stopping: asyncio.Event) -> None:
    if await play(process, data, address, stopping):
        await show(process, data, address)
        await _welcome(process, address)


async def _welcome(process: Runtime, address: str) -> None:
    out.print()
    for merchant in await merchants_of(process, None):
        token = await make_token(process, merchant)
        out.print(f"Log in as [bold]{merchant}[/] at {address}/ with this token (12 h; loyalnest token {merchant}):")
        out.print(f"  {token}", style="dim")
    out.print("Ctrl-C drains and stops.")
