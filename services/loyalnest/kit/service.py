"""How a service declares itself.

Each service folder has a `manifest.py` with one `SERVICE = Service(...)`; the runtime finds it there, so a new
service is a new folder and no edit of a list. Importing a manifest does nothing but build that value; `build` makes
the live parts when the runtime starts.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loyalnest.kit.events import Event, Payload

if TYPE_CHECKING:
    from fastapi import APIRouter

    from loyalnest.kit.crypto.kek import KeyEncryptionKeys
    from loyalnest.kit.crypto.keyring import Source
    from loyalnest.kit.database import Connection
    from loyalnest.kit.environment import Environment
    from loyalnest.kit.program import Program

BatchHandler = Callable[[Sequence[Event]], Awaitable[None]]
"""Applies a batch in one transaction. Raising means nothing of the batch was applied, and it comes again."""


Observe = Callable[[], Awaitable[None]]
"""Sets gauges by a cheap look at the service's tables. Every process of the service does so, every few seconds, so
that none shows what another has changed since."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """The gRPC side of a service.

    name: full name, e.g. `points.v1.PointsService`.
    register: the generated `add_…Servicer_to_server`.
    stub: the generated stub class; `environment.stub(...)` binds it to a channel.
    descriptor: the generated module's DESCRIPTOR, for reflection and `loyalnest services`.
    """

    name: str
    register: Callable[[Any, Any], None]
    stub: Callable[[Any], Any]
    descriptor: Any


@dataclass(frozen=True, slots=True)
class Residence:
    """How the service that keeps the merchants helps one to move, in a transaction on the tables of one place.

    is_open: whether the place takes anything for the merchant: it is known there, and not closed.
    rewrap: given the key-encryption keys of the place that a merchant's keys came from, and those of this place,
        wraps them under these. Returns how many.
    """

    is_open: "Callable[[Connection, str], Awaitable[bool]]"
    rewrap: "Callable[[Connection, str, KeyEncryptionKeys, KeyEncryptionKeys], Awaitable[int]]"


@dataclass(frozen=True, slots=True)
class Consumer:
    """Reads one topic under the service's own group. `workers` members share the topic's partitions in one process."""

    topic: str
    handle: BatchHandler
    batch: int = 1000
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """Work that runs every `every` seconds, in one process at a time however many there are.

    `run` must be safe to kill at any point and to run again; it returns how many things it did, for the metrics.
    """

    name: str
    every: float
    run: Callable[[], Awaitable[int]]


@dataclass(slots=True)
class Parts:
    """The live parts of one service in one process.

    servicer: implements the generated gRPC servicer.
    provision: makes a program's first rows in this service's tables; idempotent, run at every start.
    observe: sets the gauges that only a look at its tables can tell.
    start, stop: for what needs more than the runtime's own lifecycle.
    app: the ASGI application that answers on the process's HTTP port: the edge's is a FastAPI, others have `paths`.
    """

    servicer: object | None = None
    consumers: Sequence[Consumer] = ()
    jobs: Sequence[Job] = ()
    provision: Callable[["Program"], Awaitable[None]] | None = None
    observe: Observe | None = None
    start: Callable[[], Awaitable[None]] | None = None
    stop: Callable[[], Awaitable[None]] | None = None
    app: Any = None


@dataclass(frozen=True, slots=True)
class Service:
    """One service's declaration.

    name: the folder's name, the PostgreSQL schema, the consumer group.
    summary: one line for `loyalnest services`.
    needs: services it calls over gRPC; they start before it and stop after it.
    produces: payload types it publishes (through its outbox, or straight to the bus for the gateway).
    consumes: topics its consumers read.
    migrations: package with its Alembic `versions`, or None if it has no tables.
    routes: its HTTP routes at the gateway, which reach it over gRPC only; called in the gateway's process. They stand
        behind the bearer token.
    shopper_routes: those for the storefront widget, below `/proxy`: they stand behind the signature of Shopify's app
        proxy, and run as the shop's shopper (see `loyalnest.kit.http.shopper`).
    public_routes: those that need no token, such as the OAuth callback.
    key_source: given a channel to this service, where every process gets the merchants' wrapped keys (auth has it).
    residence: how merchants move between places (auth, which keeps them, has it).
    edge: whether it answers requests from outside the platform on its HTTP port, whatever their path.
    paths: those that it answers instead of the edge, such as pages; one that ends in a slash stands for all below
        it, and `/` for itself alone.
    calls_out: whether it calls servers outside the platform, such as Shopify's.
    """

    name: str
    summary: str
    build: Callable[["Environment"], Parts]
    needs: tuple[str, ...] = ()
    produces: tuple[type[Payload], ...] = ()
    consumes: tuple[str, ...] = ()
    rpc: Rpc | None = None
    migrations: str | None = None
    routes: Callable[["Environment"], "APIRouter"] | None = None
    shopper_routes: Callable[["Environment"], "APIRouter"] | None = None
    public_routes: Callable[["Environment"], "APIRouter"] | None = None
    key_source: Callable[[Any], "Source"] | None = None
    residence: Residence | None = None
    edge: bool = False
    paths: tuple[str, ...] = ()
    calls_out: bool = False

    def __post_init__(self) -> None:
        if self.name in self.needs:
            raise ValueError(f"service {self.name} cannot need itself")
