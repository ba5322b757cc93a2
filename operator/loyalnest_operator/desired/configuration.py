"""The environment of a program's processes: what is plain, what is secret, and when pods must start again for it."""

import json

from loyalnest_operator import names
from loyalnest_operator.desired.addresses import login_url
from loyalnest_operator.desired.manifests import dashed, digest
from loyalnest_operator.desired.packing import GRPC_PORT, HTTP_PORT, Packing, Workload

COMMON = "loyalnest"
"""The ConfigMap and the Secret that every process gets its variables from."""
KEYS_SECRET = "encryption-keys"  # noqa: S105 - its name
KEYS_FILE = "keys"
KEYS_FOLDER = "/run/loyalnest/encryption-keys"

DRAIN_SECONDS = 10
"""Time that requests and batches get, each of the four times that a process drains something at its stop."""


def plain(packing: Packing) -> dict[str, str]:
    """Variables that are no secret. What the operator decides goes before what the platform adds."""
    settings, retention = packing.facts.settings, packing.program.spec.retention
    found = {
        "LOYALNEST_BUS": "kafka",
        "LOYALNEST_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "LOYALNEST_ENCRYPTION_KEYS_FILE": f"{KEYS_FOLDER}/{KEYS_FILE}",
        "LOYALNEST_GRPC_PORT": str(GRPC_PORT),
        "LOYALNEST_HOST": "0.0.0.0",  # noqa: S104 - a pod's own address; NetworkPolicies say who reaches it
        "LOYALNEST_HTTP_PORT": str(HTTP_PORT),
        "LOYALNEST_INBOX_DAYS": str(retention.inbox_days),
        "LOYALNEST_KAFKA_BROKERS": settings.kafka_brokers,
        "LOYALNEST_PUBLIC_URL": packing.public_url,
        "LOYALNEST_REDIS_PREFIX": names.redis_prefix(packing.name),
        "LOYALNEST_TOPIC_PARTITIONS": str(settings.kafka_partitions),
        "LOYALNEST_TOPIC_PREFIX": names.topic_prefix(packing.name),
        "LOYALNEST_TOPIC_RETENTION_HOURS": str(retention.topic_hours),
    }
    if peers := _peers(packing):
        found["LOYALNEST_PEERS"] = json.dumps(peers, sort_keys=True)
    if packing.disabled:
        found["LOYALNEST_DISABLED_SERVICES"] = json.dumps(packing.disabled)
    return dict(sorted((settings.environment | found).items()))


def confidential(packing: Packing) -> dict[str, str]:
    """Variables of every process that are secret."""
    return {"LOYALNEST_REDIS_URL": packing.facts.settings.redis_url.get_secret_value()}


def database_variables(packing: Packing, purpose: str) -> dict[str, str]:
    """Variables of a process whose database login is that of `purpose`."""
    server = packing.facts.settings.postgres_url.get_secret_value()
    url = login_url(server, packing.name, purpose, packing.facts.generated)
    return {"LOYALNEST_DATABASE_URL": url}


def database_secret(purpose: str) -> str:
    """Name of the Secret with the variables of a login."""
    return f"database-{dashed(purpose)}"


def checksum(packing: Packing, workload: Workload) -> str:
    """Changes when the processes of `workload` must start again: with their variables.

    Not with a rule, which the services tell each other, and not with an encryption key, whose file is read again.
    """
    return digest([plain(packing), confidential(packing), database_variables(packing, workload.purpose)])


def _peers(packing: Packing) -> dict[str, str]:
    """Addresses of the services that run in processes of their own."""
    if len(packing.workloads) < 2:
        return {}
    return {
        service.name: f"{workload.name}.{packing.namespace}.svc:{GRPC_PORT}"
        for workload in packing.workloads
        for service in workload.services
        if service.rpc is not None
    }
