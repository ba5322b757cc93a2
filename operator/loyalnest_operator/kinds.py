"""The kinds of Kubernetes objects that the operator deals with, and how the API server names them."""

from dataclasses import dataclass

from loyalnest.kit.program.spec import API_VERSION
from loyalnest.kit.program.spec import KIND as PROGRAM_KIND


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object. `optional`: it comes with an extension that a cluster may not have."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    optional: bool = False

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path at the API server of one object, or of all in `namespace`, or of all there are."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


PROGRAM = Kind(API_VERSION, PROGRAM_KIND, "loyaltyprograms", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
SECRET = Kind("v1", "Secret", "secrets")
POD = Kind("v1", "Pod", "pods")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
JOB = Kind("batch/v1", "Job", "jobs")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
EVENT = Kind("events.k8s.io/v1", "Event", "events")

OWNED = (
    NAMESPACE,
    Kind("v1", "ResourceQuota", "resourcequotas"),
    Kind("v1", "LimitRange", "limitranges"),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("v1", "ConfigMap", "configmaps"),
    SECRET,
    Kind("v1", "Service", "services"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    JOB,
    DEPLOYMENT,
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("networking.k8s.io/v1", "Ingress", "ingresses"),
    Kind("keda.sh/v1alpha1", "ScaledObject", "scaledobjects", optional=True),
    Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors", optional=True),
)
"""What a program may consist of: what is watched, and pruned when it is no longer desired."""

_BY_NAME = {(each.api_version, each.kind): each for each in (*OWNED, PROGRAM, POD, LEASE, EVENT)}


def kind_of(api_version: str, kind: str) -> Kind:
    """The kind that an object names. Raises KeyError for one that the operator does not deal with."""
    return _BY_NAME[api_version, kind]
