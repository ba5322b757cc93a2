"""Where a merchant's dashboard is reached from outside, and Shopify's deliveries with it."""

from typing import Any

from loyalnest_operator.desired.manifests import manifest
from loyalnest_operator.desired.packing import HTTP_PORT, Packing
from loyalnest_operator.facts import Manifest


def dashboard(packing: Packing) -> tuple[Manifest, ...]:
    """The Ingress, if the program has a host."""
    if not packing.host:
        return ()
    settings = packing.facts.settings
    end = f"-{packing.name}" if packing.pooled else ""
    pages = [(path, service) for path, service in packing.pages if service != packing.gateway]
    paths = [*(_path(path, _kind(path), service) for path, service in pages), _path("/", "Prefix", packing.gateway)]
    spec: dict[str, Any] = {"rules": [{"host": packing.host, "http": {"paths": paths}}]}
    if settings.ingress_class:
        spec["ingressClassName"] = settings.ingress_class
    if settings.ingress_tls:
        spec["tls"] = [{"hosts": [packing.host], "secretName": f"dashboard-tls{end}"}]
    return (
        manifest(
            "Ingress",
            f"dashboard{end}",
            packing.namespace,
            packing.labels(),
            api="networking.k8s.io/v1",
            annotations=settings.ingress_annotations,
            spec=spec,
        ),
    )


def _kind(path: str) -> str:
    """As `loyalnest.kit.service.Service.paths` has it: what ends in a slash stands for all below it, but not `/`."""
    return "Prefix" if path.endswith("/") and path != "/" else "Exact"


def _path(path: str, kind: str, service: str) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": {"number": HTTP_PORT}}}
    return {"path": path, "pathType": kind, "backend": backend}
