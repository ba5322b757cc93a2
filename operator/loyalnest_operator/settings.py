"""What the operator is told about the platform. Every variable begins with `LOYALNEST_OPERATOR_`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

import loyalnest
from loyalnest.kit.program.spec import SYSTEM_NAMESPACE, ResourceAmounts, Resources
from loyalnest.kit.settings import EnvironmentSettings


def _complete(resources: Resources) -> Resources:
    """`resources`, if a program's quota can count with them."""
    if None in (resources.requests.cpu, resources.requests.memory, resources.limits.memory):
        raise ValueError("must have requests.cpu, requests.memory and limits.memory")
    return resources


_PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
_PRIVATE_6 = ("::1/128", "fc00::/7", "fe80::/10")


def _outside() -> list[dict[str, Any]]:
    """Everywhere but private networks and the clouds' metadata services."""
    return [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_PRIVATE)}},
        {"ipBlock": {"cidr": "::/0", "except": list(_PRIVATE_6)}},
    ]


PodResources = Annotated[Resources, AfterValidator(_complete)]


class OperatorSettings(EnvironmentSettings):
    """The platform that programs are provisioned on. The chart fills it; durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="LOYALNEST_OPERATOR_", extra="ignore", hide_input_in_errors=True)

    namespace: str = Field(default=SYSTEM_NAMESPACE, description="The operator's own namespace.")
    pool_namespace: str = Field(default="loyalnest-pool", description="Where the services of Pooled programs run.")
    image: str = Field(
        default=f"loyalnest/loyalnest:{loyalnest.__version__}", description="Image of the services and their Jobs."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When nodes pull the image."
    )
    image_pull_secrets: list[str] = Field(
        default_factory=list, description="Secrets in the operator's namespace that pull the image, copied to programs."
    )
    domain: str = Field(
        default="", description="A program without a dashboard host gets <name>.<domain>. Empty: no Ingress for it."
    )
    ingress_class: str = Field(default="", description="IngressClass of the Ingresses. Empty: the cluster's default.")
    ingress_annotations: dict[str, str] = Field(default_factory=dict, description="Put on every Ingress, as JSON.")
    ingress_tls: bool = Field(
        default=False,
        description="Whether Ingresses have TLS, with Secret dashboard-tls; dashboard-tls-<name> for a Pooled program.",
    )
    postgres_url: SecretStr = Field(
        default=SecretStr(""), description="PostgreSQL address with a login that may create databases and roles."
    )
    redis_url: SecretStr = Field(default=SecretStr(""), description="Redis address of the services.")
    kafka_brokers: str = Field(default="", description="Kafka bootstrap servers.")
    kafka_partitions: int = Field(default=4, ge=1, description="Partitions of a program's topic.")
    kafka_replication: int = Field(default=1, ge=1, description="Replicas of a program's topic.")
    backing_peers: list[dict[str, Any]] = Field(
        default_factory=lambda: [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
        description="NetworkPolicy peers of PostgreSQL, Kafka and Redis, as JSON.",
    )
    dns_peers: list[dict[str, Any]] = Field(
        default_factory=list,
        description="NetworkPolicy peers that resolve names on port 53, as JSON. Empty: any, for clusters have them in"
        " many places.",
    )
    outside_peers: list[dict[str, Any]] = Field(
        default_factory=_outside,
        description="NetworkPolicy peers of servers outside the platform, such as Shopify's, on port 443, as JSON."
        " Without it: everywhere but private networks.",
    )
    edge_peers: list[dict[str, Any]] = Field(
        default_factory=list,
        description="NetworkPolicy peers that may call the gateway, such as the Ingress controller's namespace."
        " Empty: everybody.",
    )
    monitoring_peers: list[dict[str, Any]] = Field(
        default_factory=list, description="NetworkPolicy peers that may read /metrics. Empty: nobody."
    )
    more_egress: list[dict[str, Any]] = Field(
        default_factory=list,
        description="More NetworkPolicy egress rules of every service, as JSON, such as to a collector of traces.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="More environment variables of every service, as JSON; no secrets."
    )
    service_resources: PodResources = Field(
        default=Resources(requests=ResourceAmounts(cpu="100m", memory="192Mi"), limits=ResourceAmounts(memory="512Mi")),
        description="What a pod of one service gets unless its program says otherwise, as JSON.",
    )
    compact_resources: PodResources = Field(
        default=Resources(requests=ResourceAmounts(cpu="250m", memory="384Mi"), limits=ResourceAmounts(memory="1Gi")),
        description="What a pod of all services gets, and a preparation Job, as JSON.",
    )
    exports_claim: str = Field(
        default="", description="PersistentVolumeClaim in the operator's namespace that final exports are written to."
    )
    move_keep_seconds: float = Field(
        default=3900,
        ge=0,
        description="How long the place that a program moved away from is kept before it is cleared. A gateway that"
        " cannot ask auth goes by what it knew for an hour, and what it takes is sent after the program then.",
    )
    workers: int = Field(default=8, ge=1, le=100, description="Programs that are reconciled at the same time.")
    resync_seconds: float = Field(default=600, ge=10, description="How often each program is looked at unasked.")
    retry_seconds: float = Field(
        default=300, ge=1, description="Longest pause before a failing program is tried again."
    )
    lease_seconds: int = Field(default=15, ge=5, description="How long a leader that has died keeps the lead.")
    wave_percents: list[int] = Field(
        default=[5, 25, 100], description="Percent of the fleet that a new image reaches with each wave, as JSON."
    )
    health_port: int = Field(default=8081, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="What is logged.")
    log_format: Literal["json", "console"] = Field(default="json", description="json, or console for people.")
