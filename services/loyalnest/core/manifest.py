"""Declares the service core."""

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.core import core_pb2
from loyalnest.core.consumers import DeliveryBatches, Scores
from loyalnest.core.core_pb2_grpc import CoreServiceStub, add_CoreServiceServicer_to_server
from loyalnest.core.events import CustomerCreated, CustomerUpdated, SettingsChanged
from loyalnest.core.grpc import CoreGrpc
from loyalnest.core.http import routes
from loyalnest.core.imports import CustomerImports
from loyalnest.core.jobs import Resealing
from loyalnest.core.privacy_repository import CustomersKept
from loyalnest.core.program_settings import ProgramSettings
from loyalnest.core.sealing import Vault
from loyalnest.core.service import CoreService
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.rfm.events import RfmUpdated

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of core."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    vault = Vault(environment.keys)
    settings = ProgramSettings(database, outbox, clock)
    privacy = PrivacyRequests(database, outbox, environment.keys, clock, CustomersKept(), GdprRequestCreated.read)
    return Parts(
        servicer=CoreGrpc(
            CoreService(database, outbox, vault, clock), settings, CustomerImports(database, outbox, vault, clock)
        ),
        consumers=(
            Consumer(WebhookReceived.topic, DeliveryBatches(database, outbox, vault, clock).handle),
            Consumer(RfmUpdated.topic, Scores(database, outbox, clock).handle),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        jobs=(Job("reseal", every=60, run=Resealing(database, vault).run),),
        provision=settings.provision,
    )


SERVICE = Service(
    name="core",
    summary="Customers, program settings, imports of customers.",
    build=build,
    needs=("auth",),  # the merchants' keys come from there
    produces=(CustomerCreated, CustomerUpdated, SettingsChanged, AuditLog, GdprRequestConfirmed),
    consumes=(WebhookReceived.topic, RfmUpdated.topic, GdprRequestCreated.topic),
    rpc=Rpc(
        name="core.v1.CoreService",
        register=add_CoreServiceServicer_to_server,
        stub=CoreServiceStub,
        descriptor=core_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.core.migrations",
    routes=routes,
)
