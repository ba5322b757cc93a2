"""Real Kubernetes API servers, with the LoyaltyProgram resource installed."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fixtures.api_proxy import ApiProxy
from fixtures.kubelet import Kubelet
from fixtures.kubernetes import ApiServer, ControlPlane
from fixtures.operating import World
from fixtures.outside import Outside
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest_operator.cluster import Cluster

DEFINITIONS = Path(__file__).resolve().parents[2] / "crds"


@pytest.fixture(scope="session")
def api_server(server_folder: Path) -> Iterator[ApiServer]:
    """The API server that tests share: the one of LOYALNEST_TEST_KUBECONFIG, else one of this process's own.

    Names in it need to be the test's own.
    """
    given = os.environ.get("LOYALNEST_TEST_KUBECONFIG")
    if given:
        yield prepared(ApiServer.of(Path(given)))
        return
    plane = ControlPlane(server_folder / "kubernetes")
    try:
        plane.start()
        yield prepared(plane.api_server)
    finally:
        plane.stop()


@pytest.fixture(scope="module")
def control_plane(server_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of the module's own, to stop, kill and start."""
    plane = ControlPlane(Path(tempfile.mkdtemp(prefix="kubernetes-", dir=server_folder)))
    try:
        plane.start()
        prepared(plane.api_server)
        yield plane
    finally:
        plane.stop()


def prepared(server: ApiServer) -> ApiServer:
    """`server` with the resources of this repository."""
    for definition in sorted(DEFINITIONS.glob("*.yaml")):
        server.install(definition)
    return server


@pytest.fixture
async def cluster(api_server: ApiServer) -> AsyncIterator[Cluster]:
    """A client of the shared API server."""
    client = await Cluster.connect(str(api_server.kubeconfig))
    yield client
    await client.close()


@pytest.fixture
async def world(
    cluster: Cluster, api_server: ApiServer, postgres_server: EmbeddedPostgres, kafka_brokers: str, tmp_path: Path
) -> AsyncIterator[World]:
    """A platform without an operator yet, with a node on which pods seem to run."""
    found = World(cluster, api_server.kubeconfig, platform(postgres_server, kafka_brokers), tmp_path)
    await found.make_namespace(found.system)
    yield found
    await found.clear()


def platform(postgres_server: EmbeddedPostgres, kafka_brokers: str) -> dict[str, str]:
    """What the operator is told about the platform."""
    return {
        "LOYALNEST_OPERATOR_POSTGRES_URL": postgres_server.url("postgres"),
        "LOYALNEST_OPERATOR_KAFKA_BROKERS": kafka_brokers,
        "LOYALNEST_OPERATOR_REDIS_URL": "redis://redis.example.com:6379",
        "LOYALNEST_OPERATOR_DOMAIN": "loyalty.example.com",
        "LOYALNEST_OPERATOR_IMAGE": "loyalnest/loyalnest:1.0.0",
        "LOYALNEST_OPERATOR_LEASE_SECONDS": "5",
    }


@pytest.fixture
async def api_proxy(api_server: ApiServer, tmp_path: Path) -> AsyncIterator[ApiProxy]:
    """A way to the shared API server that can be spoilt."""
    proxy = ApiProxy(api_server)
    await proxy.start(tmp_path)
    yield proxy
    await proxy.stop()


@pytest.fixture
async def own_world(
    control_plane: ControlPlane, postgres_server: EmbeddedPostgres, kafka_brokers: str, tmp_path: Path
) -> AsyncIterator[World]:
    """A platform on the module's own control plane, with a node, for tests that take the API server away."""
    server = control_plane.api_server
    client = await Cluster.connect(str(server.kubeconfig))
    found = World(client, server.kubeconfig, platform(postgres_server, kafka_brokers), tmp_path)
    await found.make_namespace(found.system)
    node = asyncio.create_task(Kubelet(client).run())
    yield found
    await found.clear()
    node.cancel()
    await asyncio.gather(node, return_exceptions=True)
    await client.close()


@pytest.fixture
async def kubelet(cluster: Cluster) -> AsyncIterator[Kubelet]:
    """A node's stand-in."""
    node = Kubelet(cluster)
    task = asyncio.create_task(node.run())
    yield node
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def outside(postgres_server: EmbeddedPostgres, kafka_brokers: str) -> Outside:
    """What programs have outside the cluster."""
    return Outside(postgres_server, kafka_brokers)


@pytest.fixture
def own_postgres(server_folder: Path, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of the test's own, to stop and start."""
    server = EmbeddedPostgres(server_folder / tmp_path.name, durable=False, shared_buffers="32MB")
    server.start()
    yield server
    server.stop()
