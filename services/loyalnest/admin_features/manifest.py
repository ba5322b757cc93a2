"""Declares the service admin_features."""

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.admin_features import admin_features_pb2
from loyalnest.admin_features.admin_features_pb2_grpc import (
    AdminFeaturesServiceStub,
    add_AdminFeaturesServiceServicer_to_server,
)
from loyalnest.admin_features.consumers import Notices, Outcomes, Rules
from loyalnest.admin_features.events import EmailEventCreated
from loyalnest.admin_features.feedback import MAILGUN, RESEND
from loyalnest.admin_features.grpc import AdminFeaturesGrpc
from loyalnest.admin_features.http import routes
from loyalnest.admin_features.notices import TOLD
from loyalnest.admin_features.privacy_repository import MessagesKept
from loyalnest.admin_features.public_http import public_routes
from loyalnest.admin_features.sending import Sending
from loyalnest.admin_features.service import AdminFeatures
from loyalnest.admin_features.templates import Templates
from loyalnest.core.core_pb2_grpc import CoreServiceStub
from loyalnest.core.events import SettingsChanged
from loyalnest.event_tracking.events import TaskCompleted
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.points.events import PointsEarned

__all__ = ["SERVICE"]

_SECONDS_AN_HOUR = 3600.0


def build(environment: Environment) -> Parts:
    """The live parts of admin_features."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    settings, keys = environment.settings, environment.keys
    rules = RulesProjection(database.schema)
    secrets = {
        RESEND: settings.resend_webhook_secret.get_secret_value(),
        MAILGUN: settings.mailgun_signing_key.get_secret_value(),
    }
    service = AdminFeatures(database, outbox, keys, rules, clock, secrets)
    templates = Templates(database, outbox, keys, rules, clock, settings.email_from)

    async def bus_lag() -> int:
        return (await environment.bus.lag(database.schema, PointsEarned.topic)).events

    sending = Sending(
        database,
        outbox,
        keys,
        rules,
        CoreServiceStub(environment.channel("core")),
        clock,
        public_url=settings.public_url,
        email_from=settings.email_from,
        bus_lag=bus_lag,
    )
    notices, outcomes = Notices(database, clock), Outcomes(database, clock)
    privacy = PrivacyRequests(database, outbox, keys, clock, MessagesKept(), GdprRequestCreated.read)
    return Parts(
        servicer=AdminFeaturesGrpc(service, templates),
        consumers=(
            *(Consumer(each.topic, notices.handle) for each in TOLD),
            Consumer(TaskCompleted.topic, outcomes.handle),
            Consumer(SettingsChanged.topic, Rules(database, rules).settings_changed),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        jobs=(
            Job("send", every=1, run=sending.run),
            Job("tidy", every=_SECONDS_AN_HOUR, run=sending.tidy),
        ),
        observe=sending.observe,
        provision=service.provision,
    )


SERVICE = Service(
    name="admin_features",
    summary="What customers are written: templates, consent, messages and what became of them.",
    build=build,
    needs=("auth", "core"),  # the merchants' keys and the customers' contacts come from there
    produces=(EmailEventCreated, AuditLog, GdprRequestConfirmed),
    consumes=(
        *(each.topic for each in TOLD),
        TaskCompleted.topic,
        SettingsChanged.topic,
        GdprRequestCreated.topic,
    ),
    rpc=Rpc(
        name="admin_features.v1.AdminFeaturesService",
        register=add_AdminFeaturesServiceServicer_to_server,
        stub=AdminFeaturesServiceStub,
        descriptor=admin_features_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.admin_features.migrations",
    routes=routes,
    public_routes=public_routes,
)
