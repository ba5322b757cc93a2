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
    backend = {"service": {"name": packing.gateway, "port": {"number": HTTP_PORT}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
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
