"""The platform on a real cluster: one program becomes a merchant's whole platform, and serves signed orders.

The tests are steps of one story and run in their order. They take the images of `make images`, as REGISTRY and TAG
name them, and for the upgrade the same under NEXT_TAG.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from fixtures.cluster import (
    PATIENCE,
    REGISTRY,
    TAG,
    apply,
    forwarded,
    get,
    helm,
    helm_test,
    image,
    install,
    kubectl,
    make_namespace,
    need_nodes,
    secret,
)
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import bodies

NEXT_TAG = os.environ.get("NEXT_TAG", TAG)
PATIENCE_SECONDS = 600.0
SECRET = "app-secret"
DEFINITION = "loyaltyprograms.loyalnest.io"


def until(check: Callable[[], Any], what: str) -> Any:
    """Ask again until the answer is true; it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline, what
        time.sleep(1.0)
    return found


@dataclass(frozen=True)
class Merchant:
    """A program of these tests, and the way to its gateway."""

    name: str
    tier: str
    system: str

    @property
    def namespace(self) -> str:
        return f"loyalnest-{self.name}"

    @property
    def gateway(self) -> str:
        return "service/api-gateway" if self.tier == "Distributed" else "service/loyalnest"

    def documents(self, **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Its credentials and its program."""
        reference = {"name": f"{self.name}-shopify", "namespace": self.system}
        credentials = {"apiKey": "app-key", "apiSecret": SECRET}
        rules = [{"name": "purchase", "trigger": "order", "pointsPerUnit": 10}]
        full = {
            "shop": {"domain": f"{self.name}.myshopify.com", "credentialsSecret": reference},
            "tier": self.tier,
            "earning": {"rules": rules},
        }
        return (
            {"apiVersion": "v1", "kind": "Secret", "metadata": reference, "stringData": credentials},
            {
                "apiVersion": "loyalnest.io/v1alpha1",
                "kind": "LoyaltyProgram",
                "metadata": {"name": self.name},
                "spec": full | spec,
            },
        )

    def wait(self, condition: str = "condition=Ready") -> None:
        """Wait for it; say what the program says if that does not come."""
        try:
            kubectl("wait", f"--for={condition}", f"loyaltyprogram/{self.name}", "--timeout", PATIENCE)
        except AssertionError:
            raise AssertionError(kubectl("describe", "loyaltyprogram", self.name)) from None

    def token(self) -> str:
        """A bearer token of an admin, made where auth runs."""
        deployment = "deployment/auth" if self.tier == "Distributed" else "deployment/loyalnest"
        return kubectl("-n", self.namespace, "exec", deployment, "--", "loyalnest", "token", self.name).strip()

    def order(self, address: str, customer: int, price: str = "10.00") -> bool:
        """Send one signed order; whether it was acknowledged."""
        order = bodies.order(
            customer=bodies.customer(customer), line_items=[bodies.line(price=price)], financial_status="paid"
        )
        content = bodies.encode(order)
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": "orders/create",
            "X-Shopify-Shop-Domain": f"{self.name}.myshopify.com",
            "X-Shopify-Webhook-Id": str(uuid.uuid4()),
            "X-Shopify-Hmac-Sha256": webhook_signature(SECRET, content),
        }
        with suppress(httpx.TransportError):
            return httpx.post(f"{address}/webhooks/orders/create", content=content, headers=headers).status_code == 200
        return False

    def available(self, address: str, token: str, customer: int) -> int:
        """A customer's points, through the API."""
        with suppress(httpx.TransportError):
            answer = httpx.get(
                f"{address}/frontend/points",
                params={"customer_id": str(customer)},
                headers={"Authorization": f"Bearer {token}"},
            )
            if answer.status_code == 200:
                return int(answer.json()["available"])
        return -1


@pytest.fixture(scope="module")
def system() -> Iterator[str]:
    """The operator's namespace, with the operator and the stores beside it; removed at the end."""
    need_nodes()
    remove_definition()
    suffix = uuid.uuid4().hex[:6]
    system, backing = f"system-{suffix}", f"stores-{suffix}"
    make_namespace(system)
    make_namespace(backing)
    stores = {name: {"image": image(name)} for name in ("postgresql", "redis", "kafka")}
    everybody: dict[str, Any] = {"networkPolicy": {"clients": [{"namespaceSelector": {}}]}}
    install(
        "loyalnest-backing",
        backing,
        {"image": image("loyalnest"), "persistence": {"enabled": False}, **everybody, **stores},
    )
    install("loyalnest-operator", system, operator_values(backing))
    yield system
    kubectl("delete", "loyaltyprograms", "--all", "--timeout", PATIENCE)
    helm("uninstall", "test", "-n", system, "--wait", "--timeout", PATIENCE)
    for name in (system, backing):
        kubectl("delete", "namespace", name, "--timeout", PATIENCE)
    remove_definition()


def remove_definition() -> None:
    """The chart leaves the definition there, and all programs with it. Fails where there are any."""
    definitions = {each["metadata"]["name"] for each in get("default", "customresourcedefinitions")["items"]}
    if DEFINITION in definitions:
        assert not get("default", "loyaltyprograms")["items"], "these tests want a cluster without programs"
        kubectl("delete", "customresourcedefinition", DEFINITION, "--timeout", PATIENCE)


def operator_values(backing: str, tag: str = TAG) -> dict[str, Any]:
    stores = secret(backing, "backing")
    return {
        "image": image("loyalnest", tag),
        "postgresUrl": stores["postgres-url"],
        "redisUrl": stores["redis-url"],
        "settings": {
            "kafkaBrokers": f"kafka.{backing}.svc:9092",
            "backingPeers": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": backing}}}],
            # Not every network plugin understands IPv6, which the default has too.
            "outsidePeers": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "169.254.0.0/16"]}}],
            # A Deployment for each of the services has to fit on a node of two processors, and twice while it rolls.
            "serviceResources": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            "wavePercents": [100],
            "leaseSeconds": 5,
        },
        "exports": {"size": "1Gi"},
    }


@pytest.fixture(scope="module")
def merchants(system: str) -> list[Merchant]:
    """One of each tier that has pods of its own, applied and ready."""
    suffix = uuid.uuid4().hex[:6]
    found = [Merchant(f"{tier.lower()}-{suffix}", tier, system) for tier in ("Compact", "Distributed")]
    # The gateway's pods are told to want little, so that a small load is enough to scale them.
    little = {"resources": {"requests": {"cpu": "20m"}}, "replicas": {"min": 1, "max": 2}}
    apply(*found[0].documents(services={"gamification": {"enabled": False}}))
    apply(*found[1].documents(services={"api_gateway": little}, deletionPolicy="Delete"))
    for merchant in found:
        merchant.wait()
    return found


def test_the_operator_answers_its_own_test(system: str) -> None:
    assert "readyz" in helm_test(system)


def test_signed_orders_become_points_and_segments(merchants: list[Merchant]) -> None:
    for merchant in merchants:
        customer = bodies.new_id()
        with forwarded(merchant.namespace, merchant.gateway, 8080) as address:
            token = merchant.token()
            for _ in range(3):
                assert merchant.order(address, customer)
            until(lambda: merchant.available(address, token, customer) == 300, f"{merchant.name}: no points")  # noqa: B023

            def scored() -> bool:
                headers = {"Authorization": f"Bearer {token}"}  # noqa: B023
                answer = httpx.get(f"{address}/frontend/segments", headers=headers).json()
                return bool(sum(each["customers"] for each in answer["segments"]) == 1)

            until(scored, f"{merchant.name}: nobody is in a segment")


def test_every_service_answers_but_the_one_that_is_switched_off(merchants: list[Merchant]) -> None:
    for merchant, without in zip(merchants, ({"badges"}, set[str]()), strict=True):
        with forwarded(merchant.namespace, merchant.gateway, 8080) as address:
            headers = {"Authorization": f"Bearer {merchant.token()}"}
            overview = httpx.get(f"{address}/frontend/overview", headers=headers, timeout=30).json()
            assert overview["missing"] == {}, merchant.name
            assert {part for part, found in overview.items() if found is None} == without, merchant.name
            badges = httpx.get(f"{address}/frontend/badges", headers=headers, timeout=30)
            assert badges.status_code == (404 if without else 200), merchant.name


def test_nobody_but_those_who_need_it_reaches_a_service(merchants: list[Merchant]) -> None:
    """Network policies hold: rfm's pod reaches auth, which it needs, and not points, which it does not."""
    namespace = merchants[1].namespace

    def reaches(service: str) -> bool:
        script = f"import socket; socket.create_connection(('{service}', 9090), 3)"
        with suppress(AssertionError):
            kubectl("-n", namespace, "exec", "deployment/rfm", "--", "python", "-c", script)
            return True
        return False

    assert reaches("auth")
    assert not reaches("points")


def test_a_killed_pod_loses_nothing(merchants: list[Merchant]) -> None:
    merchant = merchants[1]
    customer, done = bodies.new_id(), threading.Event()
    acknowledged = 0
    with forwarded(merchant.namespace, merchant.gateway, 8080) as address, ThreadPoolExecutor(1) as pool:
        token = merchant.token()

        def send() -> int:
            count = 0
            while not done.is_set():
                count += merchant.order(address, customer)
            return count

        sending = pool.submit(send)
        for _ in range(2):
            pods = get(merchant.namespace, "pods", "-l", "app.kubernetes.io/component=points")["items"]
            kubectl(
                "-n", merchant.namespace, "delete", "pod", pods[0]["metadata"]["name"], "--grace-period=0", "--force"
            )
            kubectl("-n", merchant.namespace, "rollout", "status", "deployment/points", "--timeout", PATIENCE)
        done.set()
        acknowledged = sending.result()
        assert acknowledged > 0
        until(
            lambda: merchant.available(address, token, customer) >= acknowledged * 100,
            f"{acknowledged} orders were acknowledged and are not all applied",
        )
        assert merchant.available(address, token, customer) == acknowledged * 100


def test_the_gateway_scales_under_load(merchants: list[Merchant]) -> None:
    merchant = merchants[1]
    done = threading.Event()
    with forwarded(merchant.namespace, merchant.gateway, 8080) as address, ThreadPoolExecutor(4) as pool:

        def load() -> None:
            while not done.is_set():
                merchant.order(address, bodies.new_id())

        for _ in range(4):
            pool.submit(load)
        try:
            until(
                lambda: get(merchant.namespace, "deployment", "api-gateway")["status"].get("readyReplicas", 0) > 1,
                kubectl("-n", merchant.namespace, "describe", "hpa", "api-gateway"),
            )
        finally:
            done.set()


def test_a_suspended_program_stops_and_comes_back(merchants: list[Merchant]) -> None:
    merchant = merchants[0]
    kubectl("patch", "loyaltyprogram", merchant.name, "--type=merge", "-p", '{"spec": {"suspend": true}}')
    until(
        lambda: not get(merchant.namespace, "pods", "-l", "app.kubernetes.io/component=loyalnest")["items"], "it runs"
    )
    kubectl("patch", "loyaltyprogram", merchant.name, "--type=merge", "-p", '{"spec": {"suspend": false}}')
    until(lambda: get(merchant.namespace, "deployment", "loyalnest")["status"].get("readyReplicas"), "it does not run")
    merchant.wait()


@pytest.mark.skipif(NEXT_TAG == TAG, reason="NEXT_TAG names no second image")
def test_an_upgrade_rolls_every_program(system: str, merchants: list[Merchant]) -> None:
    backing = system.replace("system-", "stores-")
    install("loyalnest-operator", system, operator_values(backing, NEXT_TAG))
    for merchant in merchants:
        merchant.wait(f"jsonpath={{.status.version}}={NEXT_TAG}")
        merchant.wait()
        images = {
            container["image"]
            for each in get(merchant.namespace, "deployments")["items"]
            for container in each["spec"]["template"]["spec"]["containers"]
        }
        assert images == {f"{REGISTRY}/loyalnest:{NEXT_TAG}"}


def test_everything_is_gone_after_deletion(merchants: list[Merchant]) -> None:
    compact, distributed = merchants
    kubectl("delete", "loyaltyprogram", compact.name, distributed.name, "--timeout", PATIENCE)
    namespaces = {each["metadata"]["name"] for each in get("default", "namespaces")["items"]}
    assert not {compact.namespace, distributed.namespace} & namespaces
    kept = {each["metadata"]["name"] for each in get(compact.system, "secrets")["items"]}
    assert f"program-{compact.name}" in kept  # its database is retained, and these keys open it
    assert f"program-{distributed.name}" not in kept
