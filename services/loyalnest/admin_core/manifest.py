"""Declares the service admin_core."""

from loyalnest.admin_core import admin_core_pb2, shops
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub, add_AdminCoreServiceServicer_to_server
from loyalnest.admin_core.audit import AuditTrail
from loyalnest.admin_core.confirmations import Confirmations
from loyalnest.admin_core.deliveries import Deliveries
from loyalnest.admin_core.events import AuditLog, GdprRequestCompleted, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.admin_core.exports import Exports
from loyalnest.admin_core.grpc import AdminCoreGrpc
from loyalnest.admin_core.http import routes
from loyalnest.admin_core.jobs import Advance, Deadlines, Forgetting
from loyalnest.admin_core.privacy_repository import AuditAndRequests
from loyalnest.admin_core.requests import GdprRequests
from loyalnest.admin_core.verification import NightlyVerification
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.auth.events import MerchantInstalled
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service

__all__ = ["SERVICE"]


def participants(environment: Environment) -> list[str]:
    """The services that have to confirm a GDPR request: those that consume it, of those that run for this merchant."""
    topic = GdprRequestCreated.topic
    return sorted(name for name, service in environment.services.items() if topic in service.consumes)


def build(environment: Environment) -> Parts:
    """The live parts of admin_core."""
    database, outbox, clock, keys = environment.database, environment.outbox, environment.clock, environment.keys
    waited_for = participants(environment)
    installed_at = shops.asked_of(AuthServiceStub(environment.channel("auth")))
    trail = AuditTrail(database, keys)
    verification = NightlyVerification(database, trail, clock)
    requests = GdprRequests(database, outbox, keys, installed_at, clock, waited_for)
    deliveries = Deliveries(database, outbox, keys, installed_at, clock)
    confirmations = Confirmations(database, outbox, keys, clock, waited_for)
    privacy = PrivacyRequests(database, outbox, keys, clock, AuditAndRequests(outbox), GdprRequestCreated.read)
    advance = Advance(database, outbox, keys, installed_at, clock, confirmations, waited_for)
    deadlines = Deadlines(database, clock)

    async def observe() -> None:
        await deadlines.observe()
        await verification.observe()

    return Parts(
        servicer=AdminCoreGrpc(trail, verification, requests, Exports(database, outbox, keys, clock)),
        consumers=(
            Consumer(AuditLog.topic, trail.handle),
            Consumer(WebhookReceived.topic, deliveries.handle),
            Consumer(MerchantInstalled.topic, deliveries.installed),
            Consumer(GdprRequestConfirmed.topic, confirmations.handle, batch=50),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        jobs=(
            Job("advance_requests", every=30, run=advance.run),
            Job("forget_requests", every=3600, run=Forgetting(database, outbox, clock).run),
            Job("verify_audit_logs", every=3600, run=verification.run),
        ),
        observe=observe,
    )


SERVICE = Service(
    name="admin_core",
    summary="The audit log, and GDPR requests until every service has confirmed.",
    build=build,
    needs=("auth",),
    produces=(AuditLog, GdprRequestCreated, GdprRequestConfirmed, GdprRequestCompleted),
    consumes=(
        AuditLog.topic,
        WebhookReceived.topic,
        MerchantInstalled.topic,
        GdprRequestConfirmed.topic,
        GdprRequestCreated.topic,
    ),
    rpc=Rpc(
        name="admin_core.v1.AdminCoreService",
        register=add_AdminCoreServiceServicer_to_server,
        stub=AdminCoreServiceStub,
        descriptor=admin_core_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.admin_core.migrations",
    routes=routes,
)
