"""`loyalnest up`: the whole of LoyalNest in one process, with real PostgreSQL and Redis of its own."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import loyalnest
from loyalnest.cli.admin import make_token, merchants_of
from loyalnest.cli.console import DEFAULT_DATA, err, migrate, out, run
from loyalnest.cli.serve import stop_on_signals, until
from loyalnest.kit import logs, memory
from loyalnest.kit.context import as_merchant
from loyalnest.kit.discovery import discover
from loyalnest.kit.embedded.stores import EmbeddedStores
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.program import Program, load_programs
from loyalnest.kit.runtime import Runtime
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub
from loyalnest.rfm import rfm_pb2
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub

DEMO_MERCHANT = "acme"
DEMO_PURCHASES = "cdnow_sample.txt"
SHOWN_CUSTOMERS = (7_000_000_000_004, 7_000_000_000_021, 7_000_000_000_111)


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

    Without --programs it runs the demo: two shops, and for one of them 6,919 real purchases (CDNOW) that are sent as
    signed Shopify deliveries at the first start. Ctrl-C drains and stops everything; the next start finds its data.
    """
    demo = not programs and not no_demo
    paths = programs or ([demo_folder()] if demo else [])
    loaded = load_programs(paths) if paths else []
    run(lambda: _up(EmbeddedStores(data), port, loaded, demo=demo, verbose=verbose))


def demo_folder() -> Path:
    """The demo's documents: inside an installed package, or the repository's own."""
    package = Path(loyalnest.__file__).parent
    for folder in (package / "demo", package.parent.parent / "clusters" / "demo"):
        if folder.is_dir():
            return folder
    raise InvalidInput("The demo is not part of this installation: give --programs, or --no-demo.")


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
    purchases = demo_folder() / DEMO_PURCHASES
    if purchases.exists():
        state = data / f"{DEMO_PURCHASES}.{DEMO_MERCHANT}.replay"
        command = [sys.executable, "-m", "loyalnest", "replay", str(purchases), "--merchant", DEMO_MERCHANT]
        command += ["--data", str(data), "--url", address, "--state", str(state)]
        replay = await asyncio.create_subprocess_exec(*command)
        try:
            failed = await replay.wait() != 0
            if stopping.is_set():  # Ctrl-C reaches the replay too
                return
            if failed:
                err.print("The demo's purchases were not all delivered; start again to go on.")
        except asyncio.CancelledError:
            replay.terminate()
            await replay.wait()
            raise
        await _settle(process)
        with as_merchant(DEMO_MERCHANT):  # as the night after would: years of orders came within a minute
            rfm = RfmServiceStub(process.channel("rfm"))
            await rfm.RefreshSegments(rfm_pb2.RefreshSegmentsRequest(), timeout=60)
        await _settle(process)
    await _summary(process)
    await _welcome(process, address)


async def _settle(process: Runtime) -> None:
    while not await process.settled():  # noqa: ASYNC110 - the end of a chain of services is nobody's event
        await asyncio.sleep(0.2)


async def _summary(process: Runtime) -> None:
    with as_merchant(DEMO_MERCHANT):
        points = PointsServiceStub(process.channel("points"))
        rfm = RfmServiceStub(process.channel("rfm"))
        totals = await points.GetProgramTotals(points_pb2.GetProgramTotalsRequest())
        counts = await rfm.GetSegmentCounts(rfm_pb2.GetSegmentCountsRequest())
        balances = [
            await points.GetPointsBalance(points_pb2.GetPointsBalanceRequest(customer_id=customer))
            for customer in SHOWN_CUSTOMERS
        ]
    out.print()
    out.print(
        f"[bold]{DEMO_MERCHANT}[/]: {totals.members:,} customers, {totals.orders:,} orders, "
        f"{totals.lifetime_earned:,} points issued, {totals.available:,} available"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("SEGMENT")
    table.add_column("CUSTOMERS", justify="right")
    table.add_column("REVENUE", justify="right")
    for each in counts.segments:
        table.add_row(each.segment, f"{each.customers:,}", each.revenue)
    out.print(table)
    for balance in balances:
        out.print(f"customer {balance.customer_id}: {balance.available:,} points")


async def _welcome(process: Runtime, address: str) -> None:
    out.print()
    for merchant in await merchants_of(process, None):
        token = await make_token(process, merchant)
        out.print(f"Log in as [bold]{merchant}[/] at {address}/ with this token (12 h; loyalnest token {merchant}):")
        out.print(f"  {token}", style="dim")
    out.print("Ctrl-C drains and stops.")
