"""Declares the service campaign."""

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.campaign import campaign_pb2
from loyalnest.campaign.campaign_pb2_grpc import CampaignServiceStub, add_CampaignServiceServicer_to_server
from loyalnest.campaign.campaigns import Campaigns
from loyalnest.campaign.consumers import Earnings, Rules
from loyalnest.campaign.events import CampaignChanged, TierChanged
from loyalnest.campaign.grpc import CampaignGrpc
from loyalnest.campaign.http import routes
from loyalnest.campaign.jobs import TierJobs
from loyalnest.campaign.memberships import Memberships
from loyalnest.campaign.privacy_repository import MEMBERS
from loyalnest.campaign.service import TierService
from loyalnest.campaign.spending import PointsSpending
from loyalnest.core.events import CustomerCreated, SettingsChanged
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.points.events import GrantReversed, PointsClawedBack, PointsEarned
from loyalnest.points.points_pb2_grpc import PointsServiceStub

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of campaign."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    rules = RulesProjection(database.schema)
    service = TierService(database, rules, clock)
    spending = PointsSpending(PointsServiceStub(environment.channel("points")))
    campaigns = Campaigns(database, outbox, rules, spending, clock)
    memberships = Memberships(outbox, rules, clock)
    earnings = Earnings(database, memberships)
    jobs = TierJobs(database, memberships, clock)
    privacy = PrivacyRequests(database, outbox, environment.keys, clock, MEMBERS, GdprRequestCreated.read)
    return Parts(
        servicer=CampaignGrpc(service, campaigns),
        consumers=(
            Consumer(CustomerCreated.topic, earnings.customer_created),
            Consumer(PointsEarned.topic, earnings.earned),
            Consumer(PointsClawedBack.topic, earnings.clawed_back),
            Consumer(GrantReversed.topic, earnings.grant_reversed),
            Consumer(SettingsChanged.topic, Rules(database, rules).settings_changed),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        jobs=(
            Job("evaluate_due", every=60, run=jobs.evaluate_due),
            Job("reevaluate", every=5, run=jobs.reevaluate),
        ),
        provision=service.provision,
    )


SERVICE = Service(
    name="campaign",
    summary="VIP tiers and who is in which, and bonus campaigns.",
    build=build,
    needs=("auth", "points"),  # the merchants' keys come from auth; points knows what campaigns have given
    produces=(TierChanged, CampaignChanged, AuditLog, GdprRequestConfirmed),
    consumes=(
        CustomerCreated.topic,
        PointsEarned.topic,
        PointsClawedBack.topic,
        GrantReversed.topic,
        SettingsChanged.topic,
        GdprRequestCreated.topic,
    ),
    rpc=Rpc(
        name="campaign.v1.CampaignService",
        register=add_CampaignServiceServicer_to_server,
        stub=CampaignServiceStub,
        descriptor=campaign_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.campaign.migrations",
    routes=routes,
)
