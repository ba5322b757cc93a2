"""What runs in each tier, how often, and when its pods start again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from loyalnest.kit.bus.kafka import KafkaBus
from loyalnest_operator import names
from loyalnest_operator.desired import Desired, desired
from loyalnest_operator.desired.resources import number
from loyalnest_operator.desired.workloads import CHECKSUM
from loyalnest_operator.facts import Capabilities, Facts, Generated, Manifest
from unit.loyalnest_operator.desired.support import (
    CREDENTIALS,
    FIVE,
    a_program,
    as_text,
    containers,
    found,
    made_up,
    one,
    real_services,
    some_facts,
    thirteen,
)

KEDA = Capabilities(keda=True)


def of(tier: str = "Distributed", facts: Facts | None = None, **spec: Any) -> Desired:
    return desired(a_program(tier=tier, **spec), facts or some_facts())


def commands(objects: Desired) -> list[list[str]]:
    return [each["command"] for each in containers(found(objects, "Deployment"))]


def checksums(objects: Desired) -> dict[str, str]:
    return {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["annotations"][CHECKSUM]
        for each in found(objects, "Deployment")
    }


def routed(objects: Desired) -> list[tuple[str, str, str]]:
    """Path, kind of match and Service of each route from outside."""
    paths = one(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    return [(each["path"], each["pathType"], each["backend"]["service"]["name"]) for each in paths]


def test_distributed_runs_each_service_with_a_login_of_its_own() -> None:
    for services in (FIVE, thirteen(), real_services()):
        objects = of(facts=some_facts(services))
        assert commands(objects) == [["loyalnest", "serve", "--services", each.name] for each in services]
        for service, deployment in zip(services, found(objects, "Deployment"), strict=True):
            name = service.name.replace("_", "-")
            assert deployment["metadata"]["name"] == name
            (container,) = containers([deployment])
            assert {"secretRef": {"name": f"database-{name}"}} in container["envFrom"]
            assert (
                one(objects, "Service", name)["spec"]["selector"].items() <= names.labels("acme", service.name).items()
            )


def test_peers_are_the_services_that_can_be_called() -> None:
    for services in (FIVE, thirteen(), real_services()):
        objects = of(facts=some_facts(services))
        peers = json.loads(one(objects, "ConfigMap")["data"]["LOYALNEST_PEERS"])
        assert peers.keys() == {each.name for each in services if each.rpc is not None}
        there = {each["metadata"]["name"] for each in found(objects, "Service")}
        for name, address in peers.items():
            host, _, port = address.partition(":")
            assert (host, port) == (f"{name.replace('_', '-')}.loyalnest-acme.svc", "9090")
            assert host.partition(".")[0] in there


def test_callers_see_every_pod_of_a_service() -> None:
    """gRPC spreads calls over the addresses of a name; a Service with an address of its own has but one."""
    services = {each["metadata"]["name"]: each["spec"] for each in found(of(), "Service")}
    assert {name for name, spec in services.items() if spec.get("clusterIP") == "None"} == {
        "identity",
        "members",
        "ledger",
    }
    assert "grpc" not in [port["name"] for port in services["front-door"]["ports"]]


def test_compact_runs_all_in_one() -> None:
    objects = of("Compact")
    assert commands(objects) == [["loyalnest", "serve", "--services", "all"]]
    deployment = one(objects, "Deployment", "loyalnest")
    assert deployment["spec"]["replicas"] == 1
    assert not found(objects, "HorizontalPodAutoscaler") + found(objects, "PodDisruptionBudget")
    assert {"secretRef": {"name": "database-app"}} in containers([deployment])[0]["envFrom"]
    assert routed(objects) == [("/", "Prefix", "loyalnest")]


@pytest.mark.parametrize("tier", ["Pooled", "Distributed"])
def test_pages_are_answered_by_the_service_that_has_them(tier: str) -> None:
    services = [*FIVE, made_up("shop_pages", rpc=False, routes=False, paths=("/", "/static/"))]
    objects = of(tier, some_facts(services))
    gateway = routed(objects)[-1]
    assert gateway[:2] == ("/", "Prefix")
    assert routed(objects) == [("/", "Exact", "shop-pages"), ("/static/", "Prefix", "shop-pages"), gateway]


@pytest.mark.parametrize("tier", ["Compact", "Distributed"])
def test_an_old_pod_goes_when_a_new_one_is_ready(tier: str) -> None:
    for deployment in found(of(tier), "Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        leaves = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = float(one(of(tier), "ConfigMap")["data"]["LOYALNEST_DRAIN_SECONDS"])
        assert pod["terminationGracePeriodSeconds"] >= leaves + 4 * drain


def test_pooled_has_no_pods_but_a_job() -> None:
    objects = of("Pooled")
    assert [each["kind"] for each in objects] == ["Secret", "Job", "Ingress"]
    assert {each["metadata"]["namespace"] for each in objects} == {"loyalnest-pool"}
    assert [each["name"] for each in containers(objects)] == ["provision"]


def test_programs_of_the_pool_do_not_meet() -> None:
    both = [desired(a_program(name, tier="Pooled"), some_facts(ingress_tls=True)) for name in ("acme", "brew")]
    seen = [{(each["kind"], each["metadata"]["name"]) for each in objects} for objects in both]
    assert not seen[0] & seen[1]
    secrets = [one(objects, "Ingress")["spec"]["tls"][0]["secretName"] for objects in both]
    assert secrets == ["dashboard-tls-acme", "dashboard-tls-brew"]


def test_a_suspended_program_keeps_everything_but_what_runs() -> None:
    for tier in ("Compact", "Distributed"):
        facts = some_facts(capabilities=Capabilities(keda=True, prometheus=True))
        runs, stands = of(tier, facts), of(tier, facts, suspend=True)
        gone = {"HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget"}
        assert kinds(stands) == [kind for kind in kinds(runs) if kind not in gone]
        assert all(each["spec"]["replicas"] == 0 for each in found(stands, "Deployment"))
        assert changed_objects(runs, stands) == {"Secret/program"}, "services refuse its merchant's sessions"
        assert stands.dashboard == runs.dashboard
        assert checksums(stands) == checksums(runs)


def test_a_suspended_program_of_the_pool_is_told_to_the_services_it_shares() -> None:
    runs, stands = of("Pooled"), of("Pooled", suspend=True)
    assert kinds(runs) == kinds(stands)
    assert changed_objects(runs, stands) == {"Secret/acme-program"}
    assert runs.preparation != stands.preparation


def changed_objects(before: Desired, after: Desired) -> set[str]:
    """Objects of the foundation that differ."""
    pairs = zip(before.foundation, after.foundation, strict=True)
    return {f"{old['kind']}/{old['metadata']['name']}" for old, new in pairs if old != new}


def kinds(objects: Desired) -> list[str]:
    return [each["kind"] for each in objects]


def test_replicas_are_left_to_who_owns_them() -> None:
    for facts in (some_facts(), some_facts(capabilities=KEDA)):
        objects = of(facts=facts, services={"identity": {"replicas": {"min": 1, "max": 1}}})
        scaled = {
            each["spec"]["scaleTargetRef"]["name"]
            for kind in ("HorizontalPodAutoscaler", "ScaledObject")
            for each in found(objects, kind)
        }
        for deployment in found(objects, "Deployment"):
            assert ("replicas" in deployment["spec"]) != (deployment["metadata"]["name"] in scaled)
        assert scaled == {"members", "ledger", "mail-events", "front-door"}
        assert len(found(objects, "PodDisruptionBudget")) == len(scaled)


@pytest.mark.parametrize(
    ("replicas", "partitions", "bounds"),
    [
        ({"min": 1, "max": 10}, 4, (1, 4)),
        ({"min": 6, "max": 10}, 4, (4, 4)),
        ({"min": 2, "max": 3}, 4, (2, 3)),
        ({"min": 2, "max": 10}, 12, (2, 10)),
    ],
)
def test_who_consumes_scales_within_the_partitions(
    replicas: dict[str, int], partitions: int, bounds: tuple[int, int]
) -> None:
    options = {"ledger": {"replicas": replicas}, "identity": {"replicas": replicas}}
    objects = of(facts=some_facts(kafka_partitions=partitions), services=options)
    ledger, identity = (one(objects, "HorizontalPodAutoscaler", name)["spec"] for name in ("ledger", "identity"))
    assert (ledger["minReplicas"], ledger["maxReplicas"]) == bounds
    assert (identity["minReplicas"], identity["maxReplicas"]) == (replicas["min"], replicas["max"])
    lag = one(
        of(facts=some_facts(kafka_partitions=partitions, capabilities=KEDA), services=options), "ScaledObject", "ledger"
    )
    assert (lag["spec"]["minReplicaCount"], lag["spec"]["maxReplicaCount"]) == bounds


def test_keda_watches_the_topics_and_groups_that_the_bus_uses() -> None:
    bus = KafkaBus("kafka:9092", names.topic_prefix("acme"))
    for services in (FIVE, real_services()):
        objects = of(facts=some_facts(services, capabilities=KEDA))
        for service in services:
            scaled = found(objects, "ScaledObject", service.name.replace("_", "-"))
            assert bool(scaled) == bool(service.consumes)
            triggers = (
                [each["metadata"] for each in scaled[0]["spec"]["triggers"] if each["type"] == "kafka"]
                if scaled
                else []
            )
            watched = {(each["consumerGroup"], each["topic"]) for each in triggers}
            assert watched == {bus_names(bus, service.name, topic) for topic in service.consumes}


def bus_names(bus: KafkaBus, group: str, topic: str) -> tuple[str, str]:
    """Consumer group and topic at the broker, as the bus itself names them."""
    subscription = bus.subscribe(group, topic)
    return subscription._settings["group.id"], subscription._kafka_topic


def test_what_keda_makes_is_not_taken_for_ours() -> None:
    for each in found(of(facts=some_facts(capabilities=KEDA)), "ScaledObject"):
        excluded = each["metadata"]["annotations"]["scaledobject.keda.sh/hpa-excluded-labels"].split(",")
        assert set(excluded) == each["metadata"]["labels"].keys()


def test_a_disabled_service_is_nowhere() -> None:
    disabled = {"mail_events": {"enabled": False}}
    for tier in ("Compact", "Distributed"):
        objects = of(tier, services=disabled)
        assert json.loads(one(objects, "ConfigMap")["data"]["LOYALNEST_DISABLED_SERVICES"]) == ["mail_events"]
        assert "mail-events" not in as_text(list(objects)), "in no name"
        assert not any("mail_events" in as_text(each) for each in objects if each["kind"] != "ConfigMap")


def test_pods_start_again_for_their_variables_and_for_nothing_else() -> None:
    facts = some_facts()
    before = checksums(of(facts=facts))
    rules = {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": "7"}]}
    assert checksums(of(facts=facts, earning=rules)) == before
    assert checksums(of(facts=replace(facts, credentials=replace(CREDENTIALS, api_secret="new")))) == before
    rotated_keys = Generated("new:AAAA", facts.generated.passwords)
    assert checksums(of(facts=replace(facts, generated=rotated_keys))) == before
    assert changed(before, checksums(of(facts=facts, retention={"topicHours": 1}))) == before.keys()
    assert changed(before, checksums(of(facts=some_facts(redis_url="redis://other")))) == before.keys()
    rotated = Generated(facts.generated.encryption_keys, {**facts.generated.passwords, "ledger": "new"})
    assert changed(before, checksums(of(facts=replace(facts, generated=rotated)))) == {"ledger"}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("services", [FIVE, thirteen(), real_services()], ids=["five", "thirteen", "real"])
@pytest.mark.parametrize("tier", ["Compact", "Distributed"])
def test_the_quota_has_room_for_all_pods_twice(services: Sequence[Any], tier: str) -> None:
    options = {services[0].name: {"replicas": {"min": 1, "max": 9}, "resources": {"requests": {"memory": "3Gi"}}}}
    objects = of(tier, some_facts(services), services=options)
    hard = one(objects, "ResourceQuota")["spec"]["hard"]
    for which, amount in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        needed = sum(
            number(container["resources"][which][amount]) * 2 * most(objects, deployment)
            for deployment in found(objects, "Deployment")
            for container in containers([deployment])
        )
        assert number(hard[f"{which}.{amount}"]) > needed, "and the preparation's"
    assert int(hard["pods"]) > 2 * sum(most(objects, each) for each in found(objects, "Deployment"))


def test_the_quota_is_the_same_in_both_tiers_and_with_a_service_less() -> None:
    """Else a move, or a service that is switched off, could not start what must run before the old pods go."""
    quotas = [one(of(tier), "ResourceQuota") for tier in ("Compact", "Distributed")]
    assert quotas[0] == quotas[1]
    assert one(of(services={"mail_events": {"enabled": False}}), "ResourceQuota") == quotas[0]


def most(objects: Desired, deployment: Manifest) -> int:
    """The most replicas that a Deployment may have."""
    scaler = found(objects, "HorizontalPodAutoscaler", deployment["metadata"]["name"])
    replicas: int = scaler[0]["spec"]["maxReplicas"] if scaler else deployment["spec"]["replicas"]
    return replicas


def test_resources_of_a_compact_pod_grow_with_what_a_service_asks_for() -> None:
    options = {"ledger": {"resources": {"requests": {"memory": "2Gi"}}}}
    (container,) = containers(found(of("Compact", services=options), "Deployment"))
    assert container["resources"]["requests"] == {"cpu": "250m", "memory": "2Gi"}
    assert container["resources"]["limits"] == {"memory": "2Gi"}


def test_prometheus_is_told_only_where_it_is() -> None:
    assert not found(of(), "ServiceMonitor")
    for tier, monitors in (("Compact", 1), ("Distributed", 1), ("Pooled", 0)):
        assert (
            len(found(of(tier, some_facts(capabilities=Capabilities(prometheus=True))), "ServiceMonitor")) == monitors
        )


@pytest.mark.parametrize(
    ("domain", "host", "tls", "url"),
    [
        ("loyalty.example", None, False, "http://acme.loyalty.example"),
        ("loyalty.example", "points.acme.example", True, "https://points.acme.example"),
        ("", "points.acme.example", False, "http://points.acme.example"),
        ("", None, True, "http://front-door.loyalnest-acme.svc:8080"),
    ],
)
def test_where_the_dashboard_is(domain: str, host: str | None, tls: bool, url: str) -> None:
    dashboard = {"host": host} if host else {}
    objects = of(facts=some_facts(domain=domain, ingress_tls=tls), dashboard=dashboard)
    assert objects.public_url == one(objects, "ConfigMap")["data"]["LOYALNEST_PUBLIC_URL"] == url
    assert bool(objects.dashboard) == bool(domain or host)
    for ingress in objects.dashboard:
        assert ingress["spec"]["rules"][0]["host"] == url.partition("//")[2]
        assert ingress["spec"].get("tls") == ([{"hosts": [host], "secretName": "dashboard-tls"}] if tls else None)
