"""Declares the service gamification."""

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.core.events import SettingsChanged
from loyalnest.gamification import gamification_pb2
from loyalnest.gamification.cache import BadgeCache
from loyalnest.gamification.consumers import FactBatches, Projections
from loyalnest.gamification.evaluation import Evaluator
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.gamification.gamification_pb2_grpc import (
    GamificationServiceStub,
    add_GamificationServiceServicer_to_server,
)
from loyalnest.gamification.grpc import GamificationGrpc
from loyalnest.gamification.http import routes
from loyalnest.gamification.jobs import BadgeJobs
from loyalnest.gamification.leaderboard import Leaderboard
from loyalnest.gamification.privacy_repository import BadgesKept, PrivacyConsumer
from loyalnest.gamification.service import BadgeService
from loyalnest.gamification.shopper_http import shopper_routes
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.points.events import PointsClawedBack, PointsEarned
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of gamification."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    rules = RulesProjection(database.schema)
    cache = BadgeCache(environment.redis, environment.redis_prefix)
    evaluator = Evaluator(outbox, rules, clock)
    service = BadgeService(database, outbox, rules, evaluator, cache, clock)
    leaderboard = Leaderboard(database, outbox, environment.keys, evaluator, clock)
    batches = FactBatches(database, evaluator, cache)
    projections = Projections(database, rules, evaluator)
    kept = BadgesKept()
    privacy = PrivacyRequests(database, outbox, environment.keys, clock, kept, GdprRequestCreated.read)
    jobs = BadgeJobs(database, outbox, evaluator, cache, clock)
    return Parts(
        servicer=GamificationGrpc(service, leaderboard),
        consumers=(
            Consumer(PointsEarned.topic, batches.earned),
            Consumer(PointsClawedBack.topic, batches.clawed_back),
            Consumer(ReferralCompleted.topic, batches.referrals),
            Consumer(ReferralReversed.topic, batches.referrals),
            Consumer(WebhookReceived.topic, projections.delivered),
            Consumer(SettingsChanged.topic, projections.settings_changed),
            Consumer(GdprRequestCreated.topic, PrivacyConsumer(privacy, kept, cache).handle, batch=10),
        ),
        jobs=(
            Job("sweep", every=10, run=jobs.sweep),
            Job("drop_deleted", every=30, run=jobs.drop_deleted),
            Job("reseal", every=60, run=leaderboard.reseal),
        ),
        provision=service.provision,
    )


SERVICE = Service(
    name="gamification",
    summary="Badges by rule, and a leaderboard for those who ask to be shown.",
    build=build,
    needs=("auth",),  # the merchants' keys come from there
    produces=(BadgeAwarded, AuditLog, GdprRequestConfirmed),
    consumes=(
        PointsEarned.topic,
        PointsClawedBack.topic,
        ReferralCompleted.topic,
        ReferralReversed.topic,
        WebhookReceived.topic,
        SettingsChanged.topic,
        GdprRequestCreated.topic,
    ),
    rpc=Rpc(
        name="gamification.v1.GamificationService",
        register=add_GamificationServiceServicer_to_server,
        stub=GamificationServiceStub,
        descriptor=gamification_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.gamification.migrations",
    routes=routes,
    shopper_routes=shopper_routes,
)
