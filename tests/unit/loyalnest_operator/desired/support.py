"""Programs, services and facts to decide from: real services, and made-up ones that no new service changes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.environment import Environment
from loyalnest.kit.program import Credentials, LoyaltyProgram
from loyalnest.kit.program.problems import validate
from loyalnest.kit.service import Parts, Rpc, Service
from loyalnest_operator.facts import Capabilities, Facts, Generated, Manifest
from loyalnest_operator.settings import OperatorSettings

LONGEST = "a" * 51 + "z"
"""A program's name of the most characters that there may be."""

KEYS = "key-1:c2VjcmV0LWtleS1lbmNyeXB0aW9uLWtleS0zMi1ieXRlcw=="
CREDENTIALS = Credentials("api-key-value", "api-secret-value", "previous-secret-value", "access-token-value")
SECRETS = (
    KEYS,
    "c2VjcmV0LWtleS1lbmNyeXB0aW9u",
    "api-secret-value",
    "previous-secret-value",
    "access-token-value",
    "password-of-",
    "admin-password",
    "redis-password",
)
"""Parts of every secret that the facts hold."""


def made_up(
    name: str,
    *,
    needs: tuple[str, ...] = (),
    consumes: tuple[str, ...] = (),
    rpc: bool = True,
    routes: bool = True,
    edge: bool = False,
    key_source: bool = False,
    calls_out: bool = False,
    paths: tuple[str, ...] = (),
) -> Service:
    """A declaration of which nothing is ever built."""

    def build(_environment: Environment) -> Parts:
        raise AssertionError("desired objects are decided without building a service")

    def never(*_given: Any) -> Any:
        raise AssertionError("desired objects are decided without building a service")

    return Service(
        name=name,
        summary="",
        build=build,
        needs=needs,
        consumes=consumes,
        rpc=Rpc(f"{name}.v1.Service", never, never, None) if rpc else None,
        routes=never if routes else None,
        key_source=never if key_source else None,
        edge=edge,
        calls_out=calls_out,
        paths=paths,
    )


FIVE = (
    made_up("identity", key_source=True, calls_out=True),
    made_up("members", needs=("identity",), consumes=("order.received",)),
    made_up("ledger", needs=("identity",), consumes=("order.received", "tier.changed"), calls_out=True),
    made_up("mail_events", needs=("members",), consumes=("member.created",), routes=False),
    made_up("front_door", needs=("identity",), rpc=False, routes=False, edge=True),
)
"""Five services that differ in whatever objects are decided by; of what they are for, only the shape is real."""


def real_services() -> list[Service]:
    """Those that the code declares, however many there are."""
    services = discover()
    return in_dependency_order(services, list(services))


def thirteen() -> list[Service]:
    """Thirteen made-up services: the five, and eight more that need each other in a chain."""
    chain = [made_up("link_1")]
    chain += [
        made_up(f"link_{number}", needs=(f"link_{number - 1}",), consumes=("order.received",), routes=number % 2 == 0)
        for number in range(2, 9)
    ]
    return [*FIVE, *chain]


def a_program(name: str = "acme", **spec: Any) -> LoyaltyProgram:
    """A program with the fields `spec`, as they are written in a document, over the least that it must have."""
    least = {
        "shop": {"domain": "acme.myshopify.com", "credentialsSecret": {"name": "acme-shopify"}},
        "earning": {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": "1.5"}]},
    }
    return validate(
        LoyaltyProgram,
        {
            "apiVersion": "loyalnest.io/v1alpha1",
            "kind": "LoyaltyProgram",
            "metadata": {"name": name},
            "spec": least | spec,
        },
    )


def some_facts(
    services: Iterable[Service] = FIVE,
    *,
    capabilities: Capabilities = Capabilities(),  # noqa: B008 - frozen
    pull_secrets: Mapping[str, str] | None = None,
    credentials: Credentials = CREDENTIALS,
    **settings: Any,
) -> Facts:
    """Facts of a platform whose settings are `settings` over these."""
    usual: dict[str, Any] = {
        "image": "registry.example/loyalnest:1.2.3",
        "domain": "loyalty.example",
        "postgres_url": "postgresql://admin:admin-password@postgres.data.svc:5433/postgres?sslmode=require",
        "redis_url": "redis://:redis-password@redis.data.svc:6379/0",
        "kafka_brokers": "kafka-0.data.svc:9092,kafka-1.data.svc:9093",
        "backing_peers": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "data"}}}],
    }
    chosen = OperatorSettings(**(usual | settings))
    declared = list(services)
    purposes = ["owner", "app", *(each.name for each in declared)]
    return Facts(
        settings=chosen,
        services=declared,
        credentials=credentials,
        generated=Generated(KEYS, {purpose: f"password-of-{purpose}" for purpose in purposes}),
        image=chosen.image,
        capabilities=capabilities,
        pull_secrets=pull_secrets or {},
    )


def found(objects: Iterable[Manifest], kind: str, name: str | None = None) -> list[Manifest]:
    """The objects of a kind, or the one of that name."""
    return [each for each in objects if each["kind"] == kind and (name is None or each["metadata"]["name"] == name)]


def one(objects: Iterable[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only object of a kind, or of a kind and name."""
    (only,) = found(objects, kind, name)
    return only


def pods(objects: Iterable[Manifest]) -> list[dict[str, Any]]:
    """The pod specs of Deployments and Jobs."""
    return [each["spec"]["template"]["spec"] for each in objects if each["kind"] in {"Deployment", "Job"}]


def containers(objects: Iterable[Manifest]) -> list[dict[str, Any]]:
    """All containers of them."""
    return [each for pod in pods(objects) for each in (*pod.get("initContainers", ()), *pod["containers"])]


def as_text(value: object) -> str:
    """`value` as it would be compared, byte for byte."""
    return json.dumps(value, ensure_ascii=False)
