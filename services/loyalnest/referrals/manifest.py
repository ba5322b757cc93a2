"""Declares the service referrals."""

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.kit.service import Consumer, Parts, Rpc, Service
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.referrals import referrals_pb2
from loyalnest.referrals.cache import StatusCache
from loyalnest.referrals.consumers import Terms
from loyalnest.referrals.deliveries import DeliveryBatches
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed, ReferralShared
from loyalnest.referrals.grpc import ReferralsGrpc
from loyalnest.referrals.http import routes
from loyalnest.referrals.links import Links
from loyalnest.referrals.privacy_repository import ReferralsKept
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceStub, add_ReferralsServiceServicer_to_server
from loyalnest.referrals.service import ReferralsService
from loyalnest.referrals.sharing import Sharing
from loyalnest.referrals.shopper_http import shopper_routes
from loyalnest.referrals.shops import Shops

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of referrals."""
    database, outbox, clock, keys = environment.database, environment.outbox, environment.clock, environment.keys
    projection = RulesProjection(database.schema)
    cache = StatusCache(environment.redis, environment.redis_prefix)
    shops = Shops(AuthServiceStub(environment.channel("auth")), ShopEndpoint(environment.settings))
    service = ReferralsService(database, outbox, projection, cache, clock)
    links = Links(database, projection, shops, clock)
    batches = DeliveryBatches(database, outbox, projection, keys, cache, clock)
    privacy = PrivacyRequests(database, outbox, keys, clock, ReferralsKept(), GdprRequestCreated.read)
    return Parts(
        servicer=ReferralsGrpc(service, links, Sharing(database, outbox, keys, links, clock)),
        consumers=(
            Consumer(WebhookReceived.topic, batches.handle, workers=2),
            Consumer(SettingsChanged.topic, Terms(database, projection).settings_changed),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        provision=service.provision,
    )


SERVICE = Service(
    name="referrals",
    summary="Referral links, what became of the friends, and checks against abuse.",
    build=build,
    needs=("auth",),
    produces=(ReferralCompleted, ReferralReversed, ReferralShared, AuditLog, GdprRequestConfirmed),
    consumes=(WebhookReceived.topic, SettingsChanged.topic, GdprRequestCreated.topic),
    rpc=Rpc(
        name="referrals.v1.ReferralsService",
        register=add_ReferralsServiceServicer_to_server,
        stub=ReferralsServiceStub,
        descriptor=referrals_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.referrals.migrations",
    routes=routes,
    shopper_routes=shopper_routes,
)
