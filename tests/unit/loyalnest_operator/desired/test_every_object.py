"""What holds for every object of every program, whatever the services are."""

import base64
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from loyalnest.kit.service import Service
from loyalnest_operator import names
from loyalnest_operator.desired import desired, problems
from loyalnest_operator.facts import Capabilities, Manifest
from unit.loyalnest_operator.desired.support import (
    FIVE,
    KEYS,
    LONGEST,
    SECRETS,
    a_program,
    as_text,
    containers,
    found,
    pods,
    real_services,
    some_facts,
    thirteen,
)

SERVICES: dict[str, Callable[[], Sequence[Service]]] = {
    "five": lambda: FIVE,
    "thirteen": thirteen,
    "real": real_services,
}
TIERS = ("Compact", "Distributed", "Pooled")
EVERYTHING = Capabilities(keda=True, prometheus=True)
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")

EVERY_SET = pytest.mark.parametrize("services", [pytest.param(make(), id=name) for name, make in SERVICES.items()])


@pytest.fixture(
    params=itertools.product(SERVICES, TIERS, (False, True), ("acme", LONGEST), (Capabilities(), EVERYTHING)),
    ids=lambda case: f"{case[0]}-{case[1]}-{'suspended' if case[2] else 'runs'}-{len(case[3])}-keda-{case[4].keda}",
)
def objects(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """Everything of a program: of each set of services, in each tier, suspended or not, with a short or long name."""
    services, tier, suspend, name, capabilities = request.param
    facts = some_facts(SERVICES[services](), capabilities=capabilities)
    return tuple(desired(a_program(name, tier=tier, suspend=suspend), facts))


def test_is_labelled_and_named_within_limits(objects: Sequence[Manifest]) -> None:
    (program,) = {each["metadata"]["labels"][names.PROGRAM] for each in objects}
    seen = set()
    for each in objects:
        metadata = each["metadata"]
        assert names.labels(program).items() <= metadata["labels"].items()
        assert all(LABEL_VALUE.fullmatch(value) for value in metadata["labels"].values())
        assert DNS_LABEL.fullmatch(metadata["name"]), metadata["name"]
        assert DNS_LABEL.fullmatch(metadata.get("namespace", "none-is-cluster-scoped"))
        assert names.DESIRED_HASH not in metadata.get("annotations", {})
        assert ("namespace" in metadata) == (each["kind"] != "Namespace")
        seen.add((each["apiVersion"], each["kind"], metadata["name"]))
    assert len(seen) == len(objects), "no object is made twice"


def test_has_nothing_that_the_api_server_would_drop(objects: Sequence[Manifest]) -> None:
    for path, value in (pair for each in objects for pair in everything(each)):
        # An empty pod selector means every pod and is kept.
        assert value not in (None, {}, [], ()) or path.endswith(".podSelector"), path
        assert not isinstance(value, float | tuple), f"{path} is given back as something else"
        if ".data." in path or path.endswith(".env.value"):
            assert isinstance(value, str), path


def test_every_container_is_hardened(objects: Sequence[Manifest]) -> None:
    for pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(not {"hostPath"} & volume.keys() for volume in pod["volumes"])
    for container in containers(objects):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
        assert {"cpu", "memory"} == container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    for pod in pods(objects):
        writable = {volume["name"] for volume in pod["volumes"] if "secret" not in volume}
        assert writable == {"tmp"}, "there is nothing else to write to"


def test_no_account_has_a_token(objects: Sequence[Manifest]) -> None:
    assert all(each["automountServiceAccountToken"] is False for each in found(objects, "ServiceAccount"))


def test_every_reference_is_to_what_is_made(objects: Sequence[Manifest]) -> None:
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    of_the_pool = {("ConfigMap", "pool"), ("Secret", "pool"), ("Service", "api-gateway"), ("Service", "frontend")}
    pooled = not found(objects, "Namespace")
    for kind, name in references(objects):
        assert (kind, name) in there or (pooled and (kind, name) in of_the_pool), f"{kind} {name} is not made"


def test_every_selector_selects_pods_that_are_made(objects: Sequence[Manifest]) -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in objects if "template" in each.get("spec", {})]
    for path, value in (pair for each in objects for pair in everything(each) if each["kind"] != "ServiceMonitor"):
        if path.endswith((".podSelector.matchLabels", ".selector.matchLabels", ".labelSelector.matchLabels")):
            assert any(value.items() <= each.items() for each in labels), path


def test_secrets_are_in_secrets_only(objects: Sequence[Manifest]) -> None:
    for each in objects:
        if each["kind"] != "Secret":
            assert not any(part in as_text(each) for part in SECRETS)
            assert not any(base64.b64encode(part.encode()).decode()[:12] in as_text(each) for part in SECRETS)
    if found(objects, "Namespace"):
        assert KEYS in str(base64.b64decode(found(objects, "Secret", "encryption-keys")[0]["data"]["keys"]))


@pytest.mark.parametrize("tier", TIERS)
@EVERY_SET
def test_the_same_is_written_in_the_same_way(services: Sequence[Service], tier: str) -> None:
    """Whatever the order in which mappings were read; so that nothing is applied again for it."""
    some = {each.name: {"replicas": {"min": 1, "max": 3}} for each in services}
    environment = {"A_VARIABLE": "1", "B_VARIABLE": "2"}
    once = desired(a_program(tier=tier, services=some), some_facts(services, environment=environment))
    backwards = some_facts(services, environment=dict(reversed(environment.items())))
    again = desired(a_program(tier=tier, services=dict(reversed(some.items()))), backwards)
    assert as_text(list(once)) == as_text(list(again))


@pytest.mark.parametrize("tier", TIERS)
@EVERY_SET
def test_a_program_of_defaults_can_be_had(services: Sequence[Service], tier: str) -> None:
    assert not problems(a_program(LONGEST, tier=tier), some_facts(services))


def everything(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Every value below `value` with its path, without the places in lists."""
    yield path, value
    if isinstance(value, dict):
        for key, below in value.items():
            yield from everything(below, f"{path}.{key}")
    elif isinstance(value, list):
        for below in value:
            yield from everything(below, path)


def references(objects: Iterable[Manifest]) -> Iterable[tuple[str, str]]:
    """(kind, name) of everything in the namespace that an object speaks of."""
    listed = list(objects)
    for pod in pods(listed):
        if "serviceAccountName" in pod:
            yield "ServiceAccount", pod["serviceAccountName"]
        for volume in pod["volumes"]:
            if "secret" in volume:
                yield "Secret", volume["secret"]["secretName"]
    for container in containers(listed):
        for source in container["envFrom"]:
            if "configMapRef" in source:
                yield "ConfigMap", source["configMapRef"]["name"]
            else:
                yield "Secret", source["secretRef"]["name"]
    for scaler in (*found(listed, "HorizontalPodAutoscaler"), *found(listed, "ScaledObject")):
        yield "Deployment", scaler["spec"]["scaleTargetRef"]["name"]
    for ingress in found(listed, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                yield "Service", path["backend"]["service"]["name"]
