"""NetworkPolicies: nothing gets in or out but on the paths that services need."""

from collections.abc import Mapping, Sequence
from typing import Any

from loyalnest_operator import names
from loyalnest_operator.desired.addresses import ports
from loyalnest_operator.desired.manifests import manifest, selector
from loyalnest_operator.desired.packing import GRPC_PORT, HTTP_PORT, Packing, Workload
from loyalnest_operator.facts import Manifest

_DNS_PORT = 53
_HTTPS_PORT = 443


def policies(packing: Packing) -> list[Manifest]:
    """Deny everything; allow every pod of the program its stores; allow each workload what is its own."""
    return [_nothing(packing), _stores(packing), *filter(None, (_own(packing, each) for each in packing.workloads))]


def _nothing(packing: Packing) -> Manifest:
    """An empty selector is every pod, also one that somebody else puts into the namespace."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return _policy(packing, "default-deny", spec)


def _stores(packing: Packing) -> Manifest:
    """Names, PostgreSQL, Kafka and Redis, and what the platform adds: for every pod, the preparation's too."""
    settings = packing.facts.settings
    names_ports: list[dict[str, Any]] = [{"port": _DNS_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]
    spec = {
        "podSelector": {"matchLabels": {names.PROGRAM: packing.name}},
        "policyTypes": ["Egress"],
        "egress": [
            _rule("to", settings.dns_peers, names_ports),
            _rule("to", settings.backing_peers, [_tcp(port) for port in ports(settings)]),
            *settings.more_egress,
        ],
    }
    return _policy(packing, "stores", spec)


def _own(packing: Packing, workload: Workload) -> Manifest | None:
    ingress, egress = _ingress(packing, workload), _egress(packing, workload)
    types = [kind for kind, rules in (("Ingress", ingress), ("Egress", egress)) if rules]
    if not types:
        return None
    spec: dict[str, Any] = {"podSelector": _pods(packing, workload.component), "policyTypes": types}
    spec |= {"ingress": ingress} if ingress else {}
    spec |= {"egress": egress} if egress else {}
    return _policy(packing, workload.name, spec, workload.component)


def _ingress(packing: Packing, workload: Workload) -> list[dict[str, Any]]:
    settings, http = packing.facts.settings, [_tcp(HTTP_PORT)]
    rules: list[dict[str, Any]] = []
    if callers := sorted(caller for caller, called in packing.calls if called == workload.component):
        rules.append(_rule("from", _peers(packing, callers), [_tcp(GRPC_PORT)]))
    if workload.edge or workload.paths:
        rules.append(_rule("from", settings.edge_peers, http))
    if settings.monitoring_peers:
        rules.append(_rule("from", settings.monitoring_peers, http))
    return rules


def _egress(packing: Packing, workload: Workload) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    if called := sorted(called for caller, called in packing.calls if caller == workload.component):
        rules.append(_rule("to", _peers(packing, called), [_tcp(GRPC_PORT)]))
    if workload.calls_out:
        rules.append(_rule("to", packing.facts.settings.outside_peers, [_tcp(_HTTPS_PORT)]))
    return rules


def _rule(
    direction: str, peers: Sequence[Mapping[str, Any]], open_ports: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Allows `open_ports` for `peers`; for no peers, as Kubernetes has it, for everybody."""
    return ({direction: list(peers)} if peers else {}) | {"ports": list(open_ports)}


def _peers(packing: Packing, components: list[str]) -> list[dict[str, Any]]:
    return [{"podSelector": _pods(packing, component)} for component in components]


def _pods(packing: Packing, component: str) -> dict[str, Any]:
    return {"matchLabels": selector(packing.name, component)}


def _tcp(port: int) -> dict[str, Any]:
    return {"port": port, "protocol": "TCP"}


def _policy(packing: Packing, name: str, spec: dict[str, Any], component: str = "") -> Manifest:
    labels = packing.labels(component)
    return manifest("NetworkPolicy", name, packing.namespace, labels, api="networking.k8s.io/v1", spec=spec)
