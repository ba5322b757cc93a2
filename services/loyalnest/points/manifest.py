"""Declares the service points."""

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.campaign.events import CampaignChanged, TierChanged
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.kit.shopify.connections import ShopConnections
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.points import points_pb2
from loyalnest.points.consumers import Projections
from loyalnest.points.deliveries import DeliveryBatches
from loyalnest.points.discounts import ShopifyDiscounts
from loyalnest.points.events import (
    GrantReversed,
    PointsClawedBack,
    PointsEarned,
    PointsExpired,
    PointsExpiring,
    PointsRedeemed,
)
from loyalnest.points.grpc import PointsGrpc
from loyalnest.points.http import routes
from loyalnest.points.jobs import LotJobs
from loyalnest.points.notices import ExpiryNotices
from loyalnest.points.points_pb2_grpc import PointsServiceStub, add_PointsServiceServicer_to_server
from loyalnest.points.privacy_repository import LEDGER
from loyalnest.points.redemptions import Redemptions
from loyalnest.points.referral_rewards import ReferralRewards
from loyalnest.points.service import PointsService
from loyalnest.points.shopper_http import shopper_routes
from loyalnest.points.verification import NightlyVerification
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed
from loyalnest.rfm.events import RfmUpdated

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of points."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    rules = RulesProjection(database.schema)
    service = PointsService(database, outbox, rules, clock)
    auth = AuthServiceStub(environment.channel("auth"))
    shops = ShopConnections(
        ShopEndpoint(environment.settings),
        lambda refused: auth.GetShopAccess(auth_pb2.GetShopAccessRequest(refused_token=refused)),
    )
    redemptions = Redemptions(database, outbox, rules, ShopifyDiscounts(shops), clock)
    projections = Projections(database, rules)
    rewards = ReferralRewards(database, outbox, rules, clock)
    lots = LotJobs(database, outbox, clock)
    privacy = PrivacyRequests(database, outbox, environment.keys, clock, LEDGER, GdprRequestCreated.read)
    verification = NightlyVerification(database, service, clock)
    return Parts(
        servicer=PointsGrpc(service, redemptions),
        consumers=(
            Consumer(WebhookReceived.topic, DeliveryBatches(database, outbox, rules, clock).handle, workers=2),
            Consumer(SettingsChanged.topic, projections.settings_changed),
            Consumer(TierChanged.topic, projections.tier_changed),
            Consumer(ReferralCompleted.topic, rewards.completed),
            Consumer(ReferralReversed.topic, rewards.reversed),
            Consumer(CampaignChanged.topic, projections.campaign_changed),
            Consumer(RfmUpdated.topic, projections.segment_changed),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        jobs=(
            Job("approve_lots", every=30, run=lots.approve),
            Job("expire_lots", every=60, run=lots.expire),
            Job("announce_expiring", every=600, run=ExpiryNotices(database, outbox, clock).run),
            Job("finish_left_held", every=15, run=redemptions.finish_left_held),
            Job("verify_ledgers", every=600, run=verification.run),
        ),
        observe=verification.observe,
        provision=service.provision,
        stop=shops.close,
    )


SERVICE = Service(
    name="points",
    summary="The points ledger: accruals, lots, redemptions, clawbacks.",
    build=build,
    needs=("auth",),
    produces=(
        PointsEarned,
        GrantReversed,
        PointsClawedBack,
        PointsRedeemed,
        PointsExpired,
        PointsExpiring,
        AuditLog,
        GdprRequestConfirmed,
    ),
    consumes=(
        WebhookReceived.topic,
        SettingsChanged.topic,
        TierChanged.topic,
        CampaignChanged.topic,
        RfmUpdated.topic,
        ReferralCompleted.topic,
        ReferralReversed.topic,
        GdprRequestCreated.topic,
    ),
    rpc=Rpc(
        name="points.v1.PointsService",
        register=add_PointsServiceServicer_to_server,
        stub=PointsServiceStub,
        descriptor=points_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.points.migrations",
    routes=routes,
    shopper_routes=shopper_routes,
    calls_out=True,
)
