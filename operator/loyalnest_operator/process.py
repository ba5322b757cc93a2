"""The operator's process: stand by until the lead is ours, work while it is, let go at the end."""

import asyncio
import os
import signal
import socket
import uuid
from collections.abc import Sequence

import structlog

from loyalnest.kit.errors import Unavailable
from loyalnest.kit.service import Service
from loyalnest_operator import metrics
from loyalnest_operator.backing import Backing
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.engine import Engine
from loyalnest_operator.health import HealthServer
from loyalnest_operator.leader import Leadership
from loyalnest_operator.settings import OperatorSettings

log = structlog.get_logger(__name__)


async def run(settings: OperatorSettings, services: Sequence[Service], backing: Backing) -> None:
    """Run until SIGTERM. Raises Unavailable when the lead is lost, so that the process begins anew."""
    cluster = await Cluster.connect()
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    engine = Engine(settings, services, cluster, backing, identity)
    health = HealthServer(settings.health_port, engine.problems)
    leadership = Leadership(cluster, settings.namespace, identity, settings.lease_seconds)
    cluster.may_write = leadership.leads
    await health.start()
    log.info("operator.started", identity=identity, health_port=health.port, image=settings.image)
    serving = asyncio.create_task(_serve(engine, leadership), name="serve")
    # A container's first process ignores a signal that it has no handler for. Kopf puts its own in place of these.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        if not serving.cancelled():
            raise
    finally:
        await health.stop()
        await cluster.close()


async def _serve(engine: Engine, leadership: Leadership) -> None:
    await leadership.acquire()
    metrics.LEADER.set(1)
    try:
        await _lead(engine, leadership)
    finally:
        metrics.LEADER.set(0)
        await leadership.release()


async def _lead(engine: Engine, leadership: Leadership) -> None:
    """Work as long as the lead lasts."""
    working = asyncio.create_task(engine.run(), name="engine")
    holding = asyncio.create_task(leadership.hold(), name="lead")
    try:
        done, _ = await asyncio.wait({working, holding}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        holding.cancel()
        await asyncio.gather(working, holding, return_exceptions=True)
    if working in done:
        working.result()
        return
    raise Unavailable("The lead was lost: another replica goes on.")
