"""LoyalNest as real processes on this machine, in each packing, behind one small interface."""

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from e2e.processes import COMMAND, Process
from fixtures.machine import free_port
from shopify.bodies import encode

T = TypeVar("T")

PROGRAMS = Path(__file__).parent / "programs"
SECRETS = {"acme": "acme-secret", "brew": "brew-secret"}
START_SECONDS = 60.0


class Platform(ABC):
    """What the suite may ask of a packing."""

    packing = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, Process] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self._client = httpx.Client(timeout=20.0)

    @abstractmethod
    def start(self) -> None:
        """Start everything and wait until it serves."""

    @abstractmethod
    def url(self, merchant: str) -> str:
        """The gateway that serves a merchant."""

    @abstractmethod
    def targets(self, merchant: str) -> list[str]:
        """Where the processes that serve a merchant show their metrics, as host:port."""

    @abstractmethod
    def command(self, merchant: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `loyalnest` command beside the packing's processes."""

    def stop(self) -> None:
        """Drain and stop everything; each process must leave with code 0."""
        self._client.close()
        codes = {name: process.stop() for name, process in reversed(self.processes.items())}
        assert not any(codes.values()), codes

    def wait_until_ready(self, merchant: str) -> None:
        """Return when the merchant's gateway says it is ready."""
        self._wait_until(self.url(merchant), merchant)

    def _wait_until(self, url: str, name: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    return
            except (httpx.TransportError, RuntimeError):
                pass
            dead = [process for process in self.processes.values() if not process.alive()]
            if dead or time.monotonic() > deadline:
                logs = "\n\n".join(f"{each.name}:\n{each.tail()}" for each in dead or self.processes.values())
                raise AssertionError(f"{name} did not become ready:\n{logs}")
            time.sleep(0.05)

    def token(self, merchant: str, role: str = "owner") -> str:
        """A bearer token, as the command line prints it."""
        if (merchant, role) not in self._tokens:
            printed = self.command(merchant, "token", merchant, "--role", role)
            assert printed.returncode == 0, printed.stderr
            self._tokens[merchant, role] = printed.stdout.strip()
        return self._tokens[merchant, role]

    def deliver(
        self,
        merchant: str,
        topic: str,
        body: Mapping[str, Any] | bytes,
        *,
        delivery_id: str = "",
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a delivery as Shopify would, signed unless `headers` say otherwise."""
        raw = body if isinstance(body, bytes) else encode(body)
        key = SECRETS[merchant] if secret is None else secret
        signature = base64.b64encode(hmac.digest(key.encode(), raw, hashlib.sha256)).decode()
        sent = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": f"{merchant}.myshopify.com",
            "X-Shopify-Webhook-Id": delivery_id or str(uuid.uuid4()),
            "X-Shopify-Hmac-Sha256": signature,
        }
        wanted = {name: value for name, value in (sent | dict(headers or {})).items() if value}
        return self._client.post(f"{self.url(merchant)}/webhooks/{topic}", content=raw, headers=wanted)

    def accept(self, merchant: str, topic: str, body: Mapping[str, Any] | bytes, **how: Any) -> None:
        """Send a delivery that must be acknowledged."""
        response = self.deliver(merchant, topic, body, **how)
        assert response.status_code == 200, response.text

    def call(self, merchant: str, method: str, path: str, *, role: str = "owner", **more: Any) -> httpx.Response:
        """An API call with the merchant's own token; `headers` are added."""
        headers = {"Authorization": f"Bearer {self.token(merchant, role)}"} | dict(more.pop("headers", {}))
        return self._client.request(method, f"{self.url(merchant)}{path}", headers=headers, **more)

    def get(self, merchant: str, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        response = self.call(merchant, "GET", path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def points(self, merchant: str, customer_id: int) -> dict[str, Any]:
        """A customer's points as the API shows them."""
        found: dict[str, Any] = self.get(merchant, "/frontend/points", customer_id=str(customer_id))
        return found


class EmbeddedPlatform(Platform):
    """`loyalnest up` with both merchants in one process."""

    packing = "embedded"

    def __init__(self, folder: Path, programs: Path = PROGRAMS) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        arguments = ["up", "--data", str(self.data), "--port", str(free_port()), "--programs", str(programs)]
        self._port = arguments[4]
        self.processes["up"] = Process("up", arguments, {"PYTHONUNBUFFERED": "1"}, folder)

    def start(self) -> None:
        self.processes["up"].start()
        self.wait_until_ready("acme")

    @property
    def pid(self) -> int:
        """The one process's id."""
        return self.processes["up"].pid

    def url(self, merchant: str) -> str:
        return f"http://127.0.0.1:{self._port}"

    def targets(self, merchant: str) -> list[str]:
        return [f"127.0.0.1:{self._port}"]

    def command(self, merchant: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments, "--data", str(self.data)], capture_output=True, text=True, timeout=300, check=False
        )


class SeparatePlatform(Platform):
    """A process per service for acme, and one with all services for brew, each merchant with a database of its own.

    They speak gRPC and Kafka; only the gateways' HTTP is reached from outside.
    """

    packing = "separate"

    def __init__(
        self,
        folder: Path,
        services: list[str],
        database_urls: Mapping[str, str],
        redis_url: str,
        kafka_brokers: str,
    ) -> None:
        super().__init__(folder)
        self._environments: dict[str, dict[str, str]] = {}
        self._http: dict[str, int] = {}
        self._addresses: dict[str, str] = {}
        key = base64.b64encode(os.urandom(32)).decode()
        for merchant, split in (("acme", True), ("brew", False)):
            names = services if split else ["all"]
            grpc = {name: free_port() for name in names}
            peers = {name: grpc[name if split else "all"] for name in services}
            common = {
                "LOYALNEST_BUS": "kafka",
                "LOYALNEST_KAFKA_BROKERS": kafka_brokers,
                "LOYALNEST_TOPIC_PREFIX": f"{merchant}.{folder.name}.",
                "LOYALNEST_TOPIC_PARTITIONS": "2",
                "LOYALNEST_DATABASE_URL": database_urls[merchant],
                "LOYALNEST_REDIS_URL": redis_url,
                "LOYALNEST_ENCRYPTION_KEYS": f"k1:{key}",
                "LOYALNEST_PROGRAMS": json.dumps([str(PROGRAMS / f"{merchant}.yaml")]),
            }
            self._environments[merchant] = common | {
                "LOYALNEST_PEERS": json.dumps({name: f"127.0.0.1:{port}" for name, port in peers.items()})
            }
            for name in names:
                http = free_port()
                if name in {"api_gateway", "all"}:
                    self._http[merchant] = http
                others = {peer: f"127.0.0.1:{port}" for peer, port in peers.items() if split and peer != name}
                own = {
                    "LOYALNEST_HTTP_PORT": str(http),
                    "LOYALNEST_GRPC_PORT": str(grpc[name]),
                    "LOYALNEST_PEERS": json.dumps(others),
                }
                label = name if split else merchant
                self._addresses[label] = f"http://127.0.0.1:{http}"
                self.processes[label] = Process(label, ["serve", "--services", name], common | own, folder)

    def start(self) -> None:
        """Migrate both databases, start every process, and wait until the gateways serve."""
        for merchant in self._environments:
            migrated = self.command(merchant, "migrate")
            assert migrated.returncode == 0, migrated.stderr
        for process in self.processes.values():
            process.start()
        for name, url in self._addresses.items():
            self._wait_until(url, name)

    def url(self, merchant: str) -> str:
        return f"http://127.0.0.1:{self._http[merchant]}"

    def targets(self, merchant: str) -> list[str]:
        others = set(self._environments) - {merchant}
        split = merchant not in self._addresses
        names = [name for name in self._addresses if (split and name not in others) or name == merchant]
        return [self._addresses[name].removeprefix("http://") for name in names]

    def command(self, merchant: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=dict(os.environ) | self._environments[merchant],
            cwd=self.folder,
        )


def eventually(check: Callable[[], T], *, seconds: float = 30.0) -> T:
    """What `check` returns once it no longer fails; its last failure if that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except (AssertionError, httpx.TransportError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def printed_number(text: str, pattern: str) -> int:
    """The number that a command printed, as `pattern`'s first group."""
    found = re.search(pattern, text)
    assert found, text
    return int(found.group(1).replace(",", ""))
