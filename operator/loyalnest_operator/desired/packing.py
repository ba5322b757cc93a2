"""How a program's services are packed: which run, in which Deployments, and who calls whom.

Compact and Distributed differ here and nowhere after. A Pooled program has no workloads of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from loyalnest.kit.program import LoyaltyProgram, ProgramTier, ServiceOptions
from loyalnest.kit.service import Service
from loyalnest_operator import names
from loyalnest_operator.desired.manifests import dashed
from loyalnest_operator.desired.resources import fitted, raised
from loyalnest_operator.facts import Facts
from loyalnest_operator.generated import APP

HTTP_PORT = 8080
GRPC_PORT = 9090
COMPACT = "loyalnest"
"""The one workload of a Compact program, and its component label."""
POOL_GATEWAY = "api-gateway"
"""The Service of the pool's gateway."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One Deployment and what belongs to it.

    component: the value of its component label. argument: what `loyalnest serve --services` is given.
    purpose: of its database login. resources: of its container. fewest, most: bounds of its replicas.
    """

    component: str
    services: tuple[Service, ...]
    argument: str
    purpose: str
    resources: dict[str, dict[str, str]]
    fewest: int = 1
    most: int = 1

    @property
    def name(self) -> str:
        """Name of the Deployment, its Service and everything else of it."""
        return dashed(self.component)

    @property
    def edge(self) -> bool:
        """Whether it answers requests from outside the platform."""
        return any(service.edge for service in self.services)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths at which it answers requests from outside, instead of the edge."""
        return tuple(path for service in self.services for path in service.paths)

    @property
    def calls_out(self) -> bool:
        """Whether it calls servers outside the platform."""
        return any(service.calls_out for service in self.services)

    @property
    def consumes(self) -> tuple[str, ...]:
        """Topics that it reads, each once."""
        return tuple(sorted({topic for service in self.services for topic in service.consumes}))


@dataclass(frozen=True, slots=True)
class Packing:
    """A program with what its tier makes of it.

    services: those that run. disabled: names of those that do not. workloads: none in the Pooled tier.
    calls: pairs of (caller, called) workloads that speak gRPC with each other over the network.
    """

    program: LoyaltyProgram
    facts: Facts
    services: tuple[Service, ...]
    disabled: tuple[str, ...]
    workloads: tuple[Workload, ...]
    calls: frozenset[tuple[str, str]]

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.metadata.name

    @property
    def pooled(self) -> bool:
        """Whether the program runs in the shared services."""
        return self.program.spec.tier is ProgramTier.POOLED

    @property
    def namespace(self) -> str:
        """Where the program's objects are."""
        return self.facts.settings.pool_namespace if self.pooled else names.namespace(self.name)

    @property
    def host(self) -> str:
        """Host name of the dashboard, or nothing."""
        domain = self.facts.settings.domain
        return self.program.spec.dashboard.host or (f"{self.name}.{domain}" if domain else "")

    @property
    def gateway(self) -> str:
        """The Service that answers requests from outside."""
        return next((each.name for each in self.workloads if each.edge), POOL_GATEWAY)

    @property
    def pages(self) -> tuple[tuple[str, str], ...]:
        """Paths that other Services than the gateway answer, and which."""
        if self.pooled:
            return tuple((path, dashed(each.name)) for each in self.services for path in each.paths)
        return tuple((path, each.name) for each in self.workloads for path in each.paths)

    @property
    def public_url(self) -> str:
        """Where the gateway is reached: from outside, or inside the cluster if there is no host."""
        if not self.host:
            return f"http://{self.gateway}.{self.namespace}.svc:{HTTP_PORT}"
        return f"{'https' if self.facts.settings.ingress_tls else 'http'}://{self.host}"

    def labels(self, component: str = "") -> dict[str, str]:
        """Labels of an object of the program, or of one of its components."""
        return names.labels(self.name, component)


def pack(program: LoyaltyProgram, facts: Facts) -> Packing:
    """How `program` is packed."""
    running = tuple(each for each in facts.services if _options(program, each).enabled)
    disabled = tuple(sorted(each.name for each in facts.services if each not in running))
    match program.spec.tier:
        case ProgramTier.POOLED:
            workloads: tuple[Workload, ...] = ()
        case ProgramTier.COMPACT:
            workloads = (_compact(program, running, facts),)
        case ProgramTier.DISTRIBUTED:
            workloads = tuple(_distributed(each, _options(program, each), facts) for each in running)
    calls = _calls(workloads, running)
    return Packing(program, facts, running, disabled, workloads, calls)


def bounds(service: Service, options: ServiceOptions, partitions: int) -> tuple[int, int]:
    """Fewest and most replicas of `service`: who consumes has no work for more processes than a topic's partitions."""
    most = min(options.replicas.max, partitions) if service.consumes else options.replicas.max
    return min(options.replicas.min, most), most


def grpc_paths(services: Iterable[Service]) -> set[tuple[str, str]]:
    """(caller, called) for every gRPC path that `services` need.

    A service calls what it needs, and the service that has the merchants' keys; the edge serves everybody's routes.
    """
    there = {each.name: each for each in services}
    keys = {name for name, each in there.items() if each.key_source is not None}
    routed = {name for name, each in there.items() if each.routes or each.shopper_routes or each.public_routes}
    paths: set[tuple[str, str]] = set()
    for name, service in there.items():
        called = {*service.needs, *keys, *(routed if service.edge else ())} - {name}
        paths |= {(name, other) for other in called if other in there and there[other].rpc is not None}
    return paths


def _calls(workloads: Iterable[Workload], services: Iterable[Service]) -> frozenset[tuple[str, str]]:
    home = {service.name: each.component for each in workloads for service in each.services}
    paths = ((home.get(caller), home.get(called)) for caller, called in grpc_paths(services))
    return frozenset((a, b) for a, b in paths if a is not None and b is not None and a != b)


def _compact(program: LoyaltyProgram, running: tuple[Service, ...], facts: Facts) -> Workload:
    """Its process leaves out by itself what is disabled: an image may have services that this version does not know."""
    asked = (_options(program, each).resources for each in running)
    resources = raised(facts.settings.compact_resources, asked)
    return Workload(COMPACT, running, "all", APP, fitted(resources, resources))


def _distributed(service: Service, options: ServiceOptions, facts: Facts) -> Workload:
    fewest, most = bounds(service, options, facts.settings.kafka_partitions)
    resources = fitted(options.resources, facts.settings.service_resources)
    return Workload(service.name, (service,), service.name, service.name, resources, fewest, most)


def _options(program: LoyaltyProgram, service: Service) -> ServiceOptions:
    return program.spec.services.get(service.name, ServiceOptions())
