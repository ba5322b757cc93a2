"""What runs: a Deployment per workload and what goes with it."""

from typing import Any

from loyalnest_operator import names
from loyalnest_operator.desired.autoscaling import autoscaler
from loyalnest_operator.desired.configuration import DRAIN_SECONDS, checksum
from loyalnest_operator.desired.manifests import manifest, selector
from loyalnest_operator.desired.packing import GRPC_PORT, HTTP_PORT, Packing, Workload
from loyalnest_operator.desired.pods import KEYS, container, pod, variables
from loyalnest_operator.facts import Manifest

CHECKSUM = f"{names.GROUP}/checksum"
"""Annotation of pods: digest of their variables."""

_LEAVE_SECONDS = 5
"""How long a pod that ends goes on as before, until nobody has its address any more."""
_GRACE_SECONDS = _LEAVE_SECONDS + 4 * DRAIN_SECONDS + 5
"""HTTP, gRPC, loops and relays are drained one after another."""

_SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def workloads(packing: Packing) -> tuple[Manifest, ...]:
    """Every workload with its Service and what keeps it going, and how Prometheus finds them."""
    found = [each for workload in packing.workloads for each in _objects(packing, workload)]
    if packing.workloads and packing.facts.capabilities.prometheus:
        found.append(_monitor(packing))
    return tuple(found)


def _objects(packing: Packing, workload: Workload) -> list[Manifest]:
    found = [_deployment(packing, workload), _service(packing, workload)]
    if _scales(packing, workload):
        found += [autoscaler(packing, workload), _budget(packing, workload)]
    return found


def _scales(packing: Packing, workload: Workload) -> bool:
    """Whether the number of replicas is the autoscaler's. Of one replica there is nothing to scale or to protect."""
    return workload.most > 1 and not packing.program.spec.suspend


def _deployment(packing: Packing, workload: Workload) -> Manifest:
    selected = selector(packing.name, workload.component)
    template = {
        "metadata": {
            "labels": packing.labels(workload.component),
            "annotations": {CHECKSUM: checksum(packing, workload)},
        },
        "spec": _pod(packing, workload, selected),
    }
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selected},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "revisionHistoryLimit": 3,
        "template": template,
    }
    if not _scales(packing, workload):
        spec["replicas"] = 0 if packing.program.spec.suspend else 1
    labels = packing.labels(workload.component)
    return manifest("Deployment", workload.name, packing.namespace, labels, api="apps/v1", spec=spec)


def _pod(packing: Packing, workload: Workload, selected: dict[str, str]) -> dict[str, Any]:
    process = container(
        packing,
        "loyalnest",
        ["loyalnest", "serve", "--services", workload.argument],
        variables=variables(workload.purpose),
        files=[KEYS],
        resources=workload.resources,
    )
    process |= {
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _ports(packing, workload)],
        "lifecycle": {"preStop": {"sleep": {"seconds": _LEAVE_SECONDS}}},
        # Ready waits for the database (2 s at most, so the probe waits longer); alive only for the process.
        "startupProbe": _probe("/readyz", every=3, failures=100),
        "readinessProbe": _probe("/readyz", every=5, failures=2),
        "livenessProbe": _probe("/healthz", every=10, failures=6),
    }
    return pod(
        packing,
        [KEYS],
        serviceAccountName=workload.name,
        terminationGracePeriodSeconds=_GRACE_SECONDS,
        topologySpreadConstraints=[_spread(key, selected) for key in _SPREAD_OVER],
        containers=[process],
    )


def _probe(path: str, *, every: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _spread(key: str, selected: dict[str, str]) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selected},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _ports(packing: Packing, workload: Workload) -> list[tuple[str, int]]:
    ports = [("http", HTTP_PORT)]
    return [*ports, ("grpc", GRPC_PORT)] if _called(packing, workload) else ports


def _called(packing: Packing, workload: Workload) -> bool:
    return any(called == workload.component for _, called in packing.calls)


def _service(packing: Packing, workload: Workload) -> Manifest:
    """Without an address of its own where others call it by gRPC, whose clients spread their calls over the pods."""
    ports = [
        {"name": name, "port": port, "protocol": "TCP", "targetPort": name} for name, port in _ports(packing, workload)
    ]
    spec: dict[str, Any] = {"selector": selector(packing.name, workload.component), "ports": ports}
    if _called(packing, workload) and not workload.edge:
        spec["clusterIP"] = "None"
    return manifest("Service", workload.name, packing.namespace, packing.labels(workload.component), spec=spec)


def _budget(packing: Packing, workload: Workload) -> Manifest:
    spec = {
        "selector": {"matchLabels": selector(packing.name, workload.component)},
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",  # what does not run must not hold up a node's maintenance
    }
    labels = packing.labels(workload.component)
    return manifest("PodDisruptionBudget", workload.name, packing.namespace, labels, api="policy/v1", spec=spec)


def _monitor(packing: Packing) -> Manifest:
    spec = {
        "selector": {"matchLabels": {names.PROGRAM: packing.name}},
        "targetLabels": [names.PROGRAM, names.COMPONENT],
        "endpoints": [{"port": "http", "path": "/metrics", "interval": "30s"}],
    }
    return manifest(
        "ServiceMonitor", "loyalnest", packing.namespace, packing.labels(), api="monitoring.coreos.com/v1", spec=spec
    )
