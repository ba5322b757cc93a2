"""Declares the service rfm."""

from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.points.events import PointsClawedBack, PointsEarned
from loyalnest.rfm import rfm_pb2
from loyalnest.rfm.consumers import OrderBatches, Schedules
from loyalnest.rfm.events import RfmUpdated
from loyalnest.rfm.grpc import RfmGrpc
from loyalnest.rfm.http import routes
from loyalnest.rfm.jobs import RfmJobs
from loyalnest.rfm.privacy_repository import SCORES
from loyalnest.rfm.refresh import Refresher
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub, add_RfmServiceServicer_to_server
from loyalnest.rfm.service import RfmService

__all__ = ["SERVICE"]

_SECONDS_A_DAY = 86_400.0


def build(environment: Environment) -> Parts:
    """The live parts of rfm."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    refresher = Refresher(database, outbox, clock)
    service = RfmService(database, refresher, clock)
    batches = OrderBatches(database, outbox, refresher, clock)
    privacy = PrivacyRequests(database, outbox, environment.keys, clock, SCORES, GdprRequestCreated.read)
    jobs = RfmJobs(database, refresher, clock)
    return Parts(
        servicer=RfmGrpc(service),
        consumers=(
            Consumer(PointsEarned.topic, batches.earned),
            Consumer(PointsClawedBack.topic, batches.clawed_back),
            Consumer(SettingsChanged.topic, Schedules(database, clock).settings_changed),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        jobs=(
            Job("refresh_due", every=30, run=jobs.refresh_due),
            Job("make_partitions", every=_SECONDS_A_DAY, run=jobs.make_partitions),
        ),
        observe=jobs.observe,
        provision=service.provision,
    )


SERVICE = Service(
    name="rfm",
    summary="Recency, frequency and monetary scores, and the segments they make.",
    build=build,
    needs=("auth",),  # the merchants' keys come from there
    produces=(RfmUpdated, GdprRequestConfirmed),
    consumes=(PointsEarned.topic, PointsClawedBack.topic, SettingsChanged.topic, GdprRequestCreated.topic),
    rpc=Rpc(
        name="rfm.v1.RfmService",
        register=add_RfmServiceServicer_to_server,
        stub=RfmServiceStub,
        descriptor=rfm_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.rfm.migrations",
    routes=routes,
)
