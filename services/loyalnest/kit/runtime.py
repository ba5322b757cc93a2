"""Composes any set of services into one process: starts them in dependency order, drains and stops in reverse."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.types import ASGIApp

from loyalnest.kit import inbox, tracing
from loyalnest.kit.bus import EventBus
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.clock import Clock, system_clock
from loyalnest.kit.consumer import ConsumerLoop, topics_of
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import KeyRing, Source, WrappedKey
from loyalnest.kit.database import OUTAGES, Database, Locks, Pools
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.environment import Environment, open_bus, open_redis
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.http import health, problems
from loyalnest.kit.http.paths import ByPath
from loyalnest.kit.http.server import HttpServer
from loyalnest.kit.jobs import JobLoop
from loyalnest.kit.observer import Observed, Observer
from loyalnest.kit.outbox import Outbox, Relay
from loyalnest.kit.program import Program
from loyalnest.kit.rpc.directory import Channels
from loyalnest.kit.rpc.handlers import MethodTable
from loyalnest.kit.rpc.server import RpcServer
from loyalnest.kit.service import Job, Parts, Service
from loyalnest.kit.settings import Settings

log = structlog.get_logger(__name__)

_DATABASE_FAULTS: tuple[type[Exception], ...] = (*OUTAGES, asyncpg.PostgresError)


@dataclass(slots=True)
class _Running:
    """One service that runs here."""

    service: Service
    database: Database
    locks: Locks
    outbox: Outbox
    environment: Environment
    parts: Parts = field(default_factory=Parts)


class _Loops:
    """Tasks that end together. The error by which one ends early is given to `fail`."""

    def __init__(self, drain_seconds: float, fail: Callable[[BaseException], None]) -> None:
        self._drain_seconds = drain_seconds
        self._fail = fail
        self._tasks: dict[asyncio.Task[None], Callable[[], None]] = {}

    def start(self, what: str, work: Coroutine[Any, Any, None], stop: Callable[[], None]) -> None:
        """Run `work`, which `stop` asks to end."""
        task = asyncio.create_task(work, name=what)
        task.add_done_callback(self._ended)
        self._tasks[task] = stop

    async def stop(self) -> None:
        """Ask all to end, and cancel those that still run when the time is over."""
        for stop in self._tasks.values():
            stop()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=self._drain_seconds)
        for task in late:
            log.warning("runtime.cut_short", what=task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("runtime.loop_failed", what=task.get_name(), exc_info=error)
            self._fail(error)


class Runtime:
    """A process of LoyalNest. `start`, then `stop` once; `wait` returns if a part dies that should not.

    names: services to run here. listen_grpc: whether other processes may call them.
    services: all there are, by default those of this installation.
    http_port, grpc_port: where it listens, once started. bus: the event bus, once opened.
    """

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        programs: Sequence[Program] = (),
        *,
        listen_grpc: bool = True,
        clock: Clock = system_clock,
        services: Mapping[str, Service] | None = None,
    ) -> None:
        self.settings = settings
        there_are = discover() if services is None else services
        self._all = {name: each for name, each in there_are.items() if name not in settings.disabled_services}
        self._services = in_dependency_order(self._all, names)
        self._programs = programs
        self._listen_grpc = listen_grpc
        self._clock = clock
        self._pools = Pools(settings.database_connections)
        self._tables: dict[str, MethodTable] = {}
        self._channels = Channels(self._tables, settings.peers)
        self._running: dict[str, _Running] = {}
        self._stack = AsyncExitStack()
        self._failed: asyncio.Future[None] | None = None
        self._ready = False
        self.bus: EventBus
        self.http_port = 0
        self.grpc_port = 0

    async def start(self) -> None:
        """Migrated databases are expected. Raises what stands in the way, with everything that had started stopped."""
        self._failed = asyncio.get_running_loop().create_future()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def open(self) -> None:
        """Build the services without serving, consuming or running jobs: for commands that call them from inside."""
        settings = self.settings
        self._stack.push_async_callback(self._pools.close)
        self._stack.push_async_callback(self._channels.close)
        self.bus = open_bus(settings)
        self._stack.push_async_callback(self.bus.stop)
        await self.bus.start()
        if not self._services:  # only the peers are called
            return
        redis = open_redis(settings)
        self._stack.push_async_callback(redis.aclose)
        keys = KeyRing(self._key_source(), KeyEncryptionKeys.from_settings(settings))
        for service in self._services:
            await self._build(service, self.bus, redis, keys)

    def channel(self, service: str) -> Any:
        """The gRPC channel to a service, here or at its peer address."""
        return self._channels.channel(service)

    async def _start(self) -> None:
        started = time.perf_counter()
        self._stack.callback(tracing.configure(",".join(each.name for each in self._services)))
        await self.open()
        await self._ensure_topics()
        await self.provision()
        for running in self._running.values():
            if running.parts.start is not None:
                await running.parts.start()
        self._start_loops()
        await self._start_servers()
        self._ready = True
        log.info(
            "runtime.started",
            services=[each.name for each in self._services],
            http_port=self.http_port,
            grpc_port=self.grpc_port,
            seconds=round(time.perf_counter() - started, 2),
        )

    async def stop(self) -> None:
        """Stop in reverse: take no new work, finish what is under way, publish what is written, let go."""
        self._ready = False
        await self._stack.aclose()

    async def wait(self) -> None:
        """Return never, but raise if a loop of a service ended by an error."""
        assert self._failed is not None
        await self._failed

    async def settled(self) -> bool:
        """Whether nothing waits in the outboxes and topics of the services that run here."""
        for running in self._running.values():
            for topic in running.service.consumes:
                if (await self.bus.lag(running.service.name, topic)).events:
                    return False
            if running.service.migrations:
                async with running.database.worker() as connection:
                    if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {running.service.name}.outbox)"):
                        return False
        return True

    async def _ensure_topics(self) -> None:
        await self.bus.ensure_topics(topics_of(self._all.values(), self._services))

    def _key_source(self) -> Source:
        """Where keys come from: the service that declares it, wherever it runs; its channel opens at first use."""
        owner = next((each for each in self._all.values() if each.key_source is not None), None)
        if owner is None or owner.key_source is None:
            raise InvalidInput("No service declares a key_source, so there is nowhere to get the merchants' keys.")
        make, name = owner.key_source, owner.name

        async def source(merchant_id: str) -> Sequence[WrappedKey]:
            return await make(self._channels.channel(name))(merchant_id)

        return source

    async def _build(self, service: Service, bus: EventBus, redis: "Redis", keys: KeyRing) -> None:
        placement = self.settings.placement()
        url = placement.database_for(service.name)
        pool, locks = await self._pools.open(url), self._pools.locks(url)
        database, outbox = Database(pool, service.name), Outbox(service.name)
        environment = Environment(
            settings=self.settings,
            clock=self._clock,
            database=database,
            outbox=outbox,
            bus=bus,
            redis=redis,
            redis_prefix=placement.redis_prefix,
            keys=keys,
            channel=self._channels.channel,
            services=self._all,
            running=[each.name for each in self._services],
        )
        running = _Running(service, database, locks, outbox, environment, service.build(environment))
        self._running[service.name] = running
        if service.rpc is not None and running.parts.servicer is not None:
            table = MethodTable()
            service.rpc.register(running.parts.servicer, table)
            self._tables[service.name] = table
        if running.parts.stop is not None:
            self._stack.push_async_callback(running.parts.stop)

    async def provision(self) -> None:
        """Give every program to each service that runs here; again it changes nothing. `open` goes before.

        Raises what a service has against a program, and Unavailable while a database is away.
        """
        for program in self._programs:
            for running in self._running.values():
                if running.parts.provision is not None:
                    await running.parts.provision(program)

    async def _start_servers(self) -> None:
        settings = self.settings
        if self._listen_grpc:
            rpc = RpcServer(settings.host, settings.grpc_port)
            for table in self._tables.values():
                rpc.add(table)
            self._stack.push_async_callback(rpc.drain, settings.drain_seconds)
            self.grpc_port = await rpc.start()
        app = self._application()
        server = HttpServer(app, settings.host, settings.http_port, settings.drain_seconds)
        self._stack.push_async_callback(server.drain)
        self.http_port = await server.start()

    def _application(self) -> ASGIApp:
        app = next((each.parts.app for each in self._running.values() if each.service.edge), None)
        if app is None:
            app = FastAPI(title="LoyalNest", docs_url=None, redoc_url=None, openapi_url=None)
            problems.install(app)
        health.install(app, self._not_ready)
        pages = {path: each.parts.app for each in self._running.values() for path in each.service.paths}
        return ByPath(app, pages) if pages else app

    def _start_loops(self) -> None:
        """Relays first: they stop last, when nobody is left who writes an outbox."""
        relays, others = (_Loops(self.settings.drain_seconds, self._fail) for _ in range(2))
        self._stack.push_async_callback(relays.stop)
        self._stack.push_async_callback(others.stop)
        for running in self._running.values():
            name, parts = running.service.name, running.parts
            if running.service.migrations:
                relay = Relay(running.database, running.outbox, self.bus, running.locks)
                relays.start(f"relay {name}", relay.run(), relay.stop)
            for consumer in parts.consumers:
                for member in range(consumer.workers):
                    loop = ConsumerLoop(name, consumer, self.bus, member)
                    others.start(f"consumer {name} {consumer.topic}", loop.run(), loop.stop)
            jobs = list(parts.jobs)
            if running.service.migrations and running.service.consumes:
                jobs.append(inbox.pruning(running.database, self.settings.remembered_days))
            if isinstance(self.bus, PostgresBus) and running is next(iter(self._running.values())):
                jobs.append(Job("prune_bus", every=3600, run=self.bus.prune))
            for job in jobs:
                scheduled = JobLoop(name, job, running.locks)
                others.start(f"job {name} {job.name}", scheduled.run(), scheduled.stop)
        observed = [Observed(each.service, each.database, each.parts.observe) for each in self._running.values()]
        observer = Observer(self.bus, self._pools, observed)
        others.start("observer", observer.run(), observer.stop)

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _not_ready(self) -> dict[str, str]:
        if not self._ready:
            return {"process": "starting or stopping"}
        checks = {f"database {name}": self._check_database(each.database) for name, each in self._running.items()}
        results = await asyncio.gather(*checks.values())
        return {name: result for name, result in zip(checks, results, strict=True) if result}

    @staticmethod
    async def _check_database(database: Database) -> str:
        try:
            async with asyncio.timeout(2), database.session() as session:
                await session.fetchval("SELECT 1")
        except _DATABASE_FAULTS as error:
            return type(error).__name__
        return ""
