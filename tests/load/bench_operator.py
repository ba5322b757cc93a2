"""`make bench-operator`: what a thousand programs cost the operator, printed as a table.

A real API server without nodes; the statuses of Jobs and Deployments are made up, and so are databases and topics.
Settings by environment: PROGRAMS, and OPERATOR_PROFILE, a file for cProfile's figures of the first operator.
"""

import asyncio
import os
import platform as machine
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fixtures.kubernetes import ControlPlane
from fixtures.operating import Operator, World
from load.operator_figures import Figures, figures_of, queue_quantile
from load.orders import percentile
from load.workloads import Workloads
from loyalnest.kit import logs
from loyalnest.kit.program.spec import ProgramTier
from loyalnest.kit.settings import Settings
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.kinds import OWNED
from loyalnest_operator.watch import OURS

REPOSITORY = Path(__file__).resolve().parents[2]
POOL = "loyalnest-pool"
CLIENTS = 16
"""Programs that are applied at the same time."""
CHANGES = 100
"""Programs that are changed one at a time once all are Ready."""
TIERS = (ProgramTier.POOLED, ProgramTier.COMPACT, ProgramTier.DISTRIBUTED)
IDLE_SECONDS = 20.0
MOST_SECONDS = 3600.0
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

out = Console(highlight=False)


class Bench:
    """The cluster, and the operator of the moment."""

    def __init__(self, world: World, plane: ControlPlane, folder: Path) -> None:
        self._world = world
        self._plane = plane
        self._folder = folder
        self._workloads = Workloads(world.cluster, plane.api_server)
        self._table = Table("what", "figure", "target", title_justify="left")
        for column in self._table.columns[1:]:
            column.justify = "right"

    async def run(self, programs: int) -> Table:
        """Every measurement, as a table."""
        async with asyncio.timeout(MOST_SECONDS), asyncio.TaskGroup() as group:
            standing_in = group.create_task(self._workloads.run())
            profile = os.environ.get("OPERATOR_PROFILE", "")
            async with self._operator("first", OPERATOR_PROFILE=profile) as operator:
                names = await self._provision(operator, programs)
                await self._change(operator, names[:CHANGES])
                await self._idle(operator)
            async with self._operator("second") as operator:
                await self._restart(operator, programs)
                await self._idle(operator)
            standing_in.cancel()
        return self._table

    @asynccontextmanager
    async def _operator(self, name: str, **environment: str) -> AsyncIterator[Operator]:
        variables = self._world.environment | {"KUBECONFIG": str(self._world.kubeconfig)} | environment
        process = Operator(variables, self._folder / f"{name}.log", ("load.operator_process",))
        process.start()
        try:
            yield process
        finally:
            await process.stop()

    async def _figures(self, operator: Operator) -> Figures:
        text = (await operator.get("/metrics")).text
        return figures_of(text, operator.pid, self._plane.pid("kube-apiserver"))

    async def _provision(self, operator: Operator, programs: int) -> list[str]:
        await operator.until_leading()
        before = await self._figures(operator)
        wanted = {f"shop-{index:04}": TIERS[index % len(TIERS)].value for index in range(programs)}
        waiting = list(reversed(wanted.items()))

        async def client() -> None:
            while waiting:
                name, tier = waiting.pop()
                await self._world.make(name, tier=tier)

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(client())
        applied = time.monotonic() - before.at
        await self._until_ready(dict.fromkeys(wanted, 1))
        after = await self._figures(operator)
        spent = after.at - before.at
        self._row("programs applied by a client in", f"{applied:.0f} s")
        self._row(f"all {programs} Ready in", f"{spent:.0f} s", "300 s for 1000")
        self._row("programs a minute", f"{60 * programs / spent:.0f}")
        objects = await self._objects()
        self._row("objects of programs", f"{objects} ({objects / programs:.1f} a program)")
        for verb, count in sorted((after - before).calls.items()):
            self._row(f"API calls a program: {verb}", f"{count / programs:.1f}")
        self._row("reconciles a program", f"{(after - before).reconciles / programs:.1f}")
        self._row("queue age while busy, p50 / p99", _quantiles(after - before))
        self._cost(after - before, programs)
        return list(wanted)

    async def _change(self, operator: Operator, names: list[str]) -> None:
        """One change after the other: how long each waits, and until its program is Ready with it."""
        before = await self._figures(operator)
        took: list[float] = []
        for name in names:
            began = time.monotonic()
            rule = {"name": "purchase", "trigger": "order", "pointsPerUnit": 11}
            await self._world.change(name, earning={"rules": [rule]})
            await self._until_ready({name: 2})
            took.append(time.monotonic() - began)
        after = await self._figures(operator)
        title = f"{len(names)} changes one at a time: "
        self._row(f"{title}queue age, p50 / p99", _quantiles(after - before), "p99 1 s")
        self._row(f"{title}until Ready, p50 / p99", f"{percentile(took, 0.5):.2f} / {percentile(took, 0.99):.2f} s")
        self._row("operator, peak memory so far", f"{after.peak_mib:.0f} MiB", "300 MB")

    async def _restart(self, operator: Operator, programs: int) -> None:
        began = time.monotonic()
        await operator.until_leading()
        while (await self._figures(operator)).reconciles < programs:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.2)
        self._row("restart: as many reconciles as programs after", f"{time.monotonic() - began:.0f} s")
        await asyncio.sleep(10)
        figures = await self._figures(operator)
        self._row("restart: writes", f"{figures.writes:.0f}", "0")
        self._row("restart: API calls", f"{sum(figures.calls.values()):.0f}")
        self._row("restart: operator, processor time", f"{figures.operator_seconds:.0f} s")
        self._row("restart: operator, memory / peak", f"{figures.mib:.0f} / {figures.peak_mib:.0f} MiB", "300 MB")

    async def _idle(self, operator: Operator) -> None:
        before = await self._figures(operator)
        await asyncio.sleep(IDLE_SECONDS)
        spent = await self._figures(operator) - before
        cores = 100 * spent.operator_seconds / IDLE_SECONDS
        self._row(f"idle for {IDLE_SECONDS:.0f} s: operator", f"{cores:.1f} % of a core, {spent.mib:.0f} MiB")

    async def _until_ready(self, wanted: dict[str, int]) -> None:
        """Return when each program is Ready with this generation of its spec or a later one."""
        missing = dict(wanted)
        while missing:
            self._workloads.changed.clear()
            ready = self._workloads.ready
            missing = {name: generation for name, generation in missing.items() if ready.get(name, 0) < generation}
            if missing:
                await self._workloads.changed.wait()

    async def _objects(self) -> int:
        pages = [
            page for kind in OWNED async for _, page in self._world.cluster.pages(kind, labels=OURS, accept=METADATA)
        ]
        return sum(map(len, pages))

    def _cost(self, spent: Figures, programs: int) -> None:
        for who, seconds in (("operator", spent.operator_seconds), ("API server", spent.server_seconds)):
            words = f"{seconds:.0f} s ({1000 * seconds / programs:.0f} ms a program)"
            self._row(f"{who}, processor time", words)
        self._row("operator, peak memory", f"{spent.peak_mib:.0f} MiB", "300 MB")

    def _row(self, what: str, figure: str, target: str = "") -> None:
        self._table.add_row(what, figure, target)
        print(f"{what}: {figure}", file=sys.stderr)  # it takes minutes until the table is complete


def _quantiles(figures: Figures) -> str:
    return " / ".join(queue_quantile(figures, share) for share in (0.5, 0.99))


def _platform() -> dict[str, str]:
    """What the operator is told; nobody connects to these servers."""
    return {
        "LOYALNEST_OPERATOR_POSTGRES_URL": "postgresql://admin:secret@postgres.example.com/postgres",
        "LOYALNEST_OPERATOR_KAFKA_BROKERS": "kafka.example.com:9092",
        "LOYALNEST_OPERATOR_REDIS_URL": "redis://redis.example.com:6379",
        "LOYALNEST_OPERATOR_DOMAIN": "loyalty.example.com",
        "LOYALNEST_OPERATOR_POOL_NAMESPACE": POOL,
        "LOYALNEST_OPERATOR_LOG_LEVEL": "WARNING",
    }


async def main() -> None:
    """Make a cluster and measure in it."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # so that the servers end with it
    programs = int(os.environ.get("PROGRAMS", "1000"))
    logs.configure(Settings(log_level="ERROR", log_format="console"))
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="loyalnest-bench-", ignore_cleanup_errors=True) as folder:
        plane = ControlPlane(Path(folder) / "kubernetes")
        try:
            plane.start(controllers=False)
            for definition in sorted((REPOSITORY / "crds").glob("*.yaml")):
                plane.api_server.install(definition)
            cluster = await Cluster.connect(str(plane.api_server.kubeconfig))
            world = World(cluster, plane.api_server.kubeconfig, _platform(), Path(folder))
            await world.make_namespace(world.system)
            await world.make_namespace(POOL)
            table = await Bench(world, plane, Path(folder)).run(programs)
            kind = f"{machine.machine()}, {os.cpu_count()} cores, Python {machine.python_version()}"
            table.title = f"{programs} programs; {kind}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
            out.print(table)
            await cluster.close()
        finally:
            plane.stop()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        sys.exit("Ended before the figures were complete.")
