"""The charts of the stores and of the pool on a real cluster: installed, tested by helm, upgraded, removed.

They run where KUBECONFIG names a cluster whose nodes have the images of `make images` (REGISTRY and TAG, as there).
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures.cluster import PATIENCE, get, helm, helm_test, image, install, kubectl, make_namespace, need_nodes, secret
from loyalnest.kit.discovery import discover

KEYS = "first:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@dataclass(frozen=True)
class Namespaces:
    """Where the releases of these tests are."""

    backing: str
    pool: str

    def backing_values(self) -> dict[str, Any]:
        clients = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.pool}}}]
        stores = {name: {"image": image(name)} for name in ("postgresql", "redis", "kafka")}
        off = {"enabled": False}
        return {"image": image("loyalnest"), "persistence": off, "networkPolicy": {"clients": clients}, **stores}

    def pool_values(self, **settings: Any) -> dict[str, Any]:
        backing = secret(self.backing, "backing")
        addresses = {"databaseUrl": backing["pool-database-url"], "redisUrl": backing["redis-url"]}
        return {
            "image": image("loyalnest"),
            "replicas": {"min": 1, "max": 2},
            "secret": {**addresses, "encryptionKeys": KEYS},
            "settings": {"kafkaBrokers": f"kafka.{self.backing}.svc:9092", **settings},
        }


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Namespaces]:
    """Two namespaces under the strictest Pod Security Standard, which are removed with all that is in them."""
    need_nodes()
    suffix = uuid.uuid4().hex[:8]
    found = Namespaces(f"charts-backing-{suffix}", f"charts-pool-{suffix}")
    for name in (found.backing, found.pool):
        make_namespace(name)
    yield found
    for name in (found.pool, found.backing):
        kubectl("delete", "namespace", name, "--timeout", PATIENCE)


@pytest.fixture(scope="module")
def backing(namespaces: Namespaces) -> str:
    """The namespace with the stores."""
    install("loyalnest-backing", namespaces.backing, namespaces.backing_values())
    return namespaces.backing


@pytest.fixture(scope="module")
def pool(namespaces: Namespaces, backing: str) -> str:
    """The namespace with the pool's services. The stores keep nothing over an upgrade here, so theirs comes before."""
    install("loyalnest", namespaces.pool, namespaces.pool_values())
    return namespaces.pool


@pytest.fixture
def stranger(namespaces: Namespaces) -> Iterator[str]:
    """A namespace that no network policy names."""
    name = namespaces.pool.replace("pool", "stranger")
    make_namespace(name)
    yield name
    kubectl("delete", "namespace", name, "--timeout", PATIENCE)


def test_the_stores_let_the_platform_in(backing: str) -> None:
    log = helm_test(backing)
    assert f"KAFKA_BROKERS kafka.{backing}.svc:9092" in log
    assert "POSTGRES_URL postgres PostgreSQL" in log
    assert "POOL_DATABASE_URL loyalnest_pool PostgreSQL" in log


PROBE = """
import socket, sys
for address in sys.argv[1:]:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        print(address, "open")
    except OSError as error:
        print(address, "shut" if isinstance(error, TimeoutError) else error)
"""


def reached(namespace: str, *addresses: str) -> dict[str, str]:
    """What a pod in `namespace` that nobody knows finds at each `host:port`: `open`, `shut`, or another error."""
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    named = image("loyalnest")
    container = {
        "name": "probe",
        "image": f"{named['repository']}:{named['tag']}",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", PROBE, *addresses],
        "securityContext": own,
    }
    spec = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    kubectl("-n", namespace, "create", "-f", "-", standard_input=json.dumps(pod))
    kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/probe", "--timeout", PATIENCE)
    return dict(line.split(" ", 1) for line in kubectl("-n", namespace, "logs", "probe").splitlines())


def test_an_upgrade_of_the_stores_keeps_their_passwords(namespaces: Namespaces, backing: str) -> None:
    before = secret(backing, "backing")
    values = namespaces.backing_values()
    values["postgresql"]["maxConnections"] = 123
    install("loyalnest-backing", backing, values)
    assert secret(backing, "backing") == before
    (container,) = get(backing, "statefulset", "postgresql")["spec"]["template"]["spec"]["containers"]
    assert "max_connections=123" in container["args"]


def test_every_service_of_the_pool_is_ready(pool: str) -> None:
    log = helm_test(pool)
    names = {each["metadata"]["name"] for each in get(pool, "deployments")["items"]}
    assert names == {each.replace("_", "-") for each in discover()}
    for name in names:
        assert f"http://{name}:8080/readyz 200" in log


def test_a_stranger_reaches_the_gateway_and_nothing_else(stranger: str, backing: str, pool: str) -> None:
    gateway = f"api-gateway.{pool}.svc:8080"
    stores = [f"postgresql.{backing}.svc:5432", f"redis.{backing}.svc:6379", f"kafka.{backing}.svc:9092"]
    services = [f"points.{pool}.svc:9090", f"auth.{pool}.svc:8080", f"api-gateway.{pool}.svc:9090"]
    found = reached(stranger, gateway, *stores, *services)
    assert found == {gateway: "open", **dict.fromkeys([*stores, *services], "shut")}


def test_an_upgrade_of_the_pool_rolls_its_pods(namespaces: Namespaces, pool: str) -> None:
    def pods() -> set[str]:
        found = get(pool, "pods")["items"]
        return {each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]}

    before = pods()
    install("loyalnest", pool, namespaces.pool_values(logLevel="DEBUG"))
    assert not before & pods()
    history = json.loads(helm("history", "test", "-n", pool, "-o", "json"))
    assert [each["status"] for each in history] == ["superseded", "deployed"]
    assert "readyz 200" in helm_test(pool)


def test_the_keys_stay_when_the_pool_goes(pool: str) -> None:
    helm("uninstall", "test", "-n", pool, "--wait", "--timeout", PATIENCE)
    assert not get(pool, "deployments")["items"]
    assert secret(pool, "pool")["LOYALNEST_ENCRYPTION_KEYS"] == KEYS
