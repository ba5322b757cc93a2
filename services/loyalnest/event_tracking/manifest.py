"""Declares the service event_tracking."""

from datetime import timedelta

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.admin_features.events import EmailEventCreated
from loyalnest.event_tracking import event_tracking_pb2
from loyalnest.event_tracking.consumers import EmailEvents
from loyalnest.event_tracking.event_tracking_pb2_grpc import (
    EventTrackingServiceStub,
    add_EventTrackingServiceServicer_to_server,
)
from loyalnest.event_tracking.events import TaskCompleted, TaskCreated
from loyalnest.event_tracking.grpc import EventTrackingGrpc
from loyalnest.event_tracking.handlers import WEBHOOK, handlers
from loyalnest.event_tracking.http import routes
from loyalnest.event_tracking.jobs import TaskJobs
from loyalnest.event_tracking.privacy_repository import TasksKept
from loyalnest.event_tracking.service import TaskService
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.event_tracking.webhook_bodies import TOPICS
from loyalnest.event_tracking.webhook_consumers import WebhookEvents
from loyalnest.event_tracking.webhook_delivery import WebhookSender
from loyalnest.event_tracking.webhook_service import WebhookService
from loyalnest.event_tracking.workers import Workers
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of event_tracking."""
    database, outbox, clock, keys = environment.database, environment.outbox, environment.clock, environment.keys
    settings = environment.settings
    queue = TaskQueue(database, outbox, clock)
    sender = WebhookSender(database, outbox, keys, settings, clock)
    workers = Workers(
        {**handlers(settings, clock), WEBHOOK: sender.handler()},
        queue,
        keys,
        environment.redis,
        environment.redis_prefix,
        drain_seconds=settings.drain_seconds,
    )
    privacy = PrivacyRequests(database, outbox, keys, clock, TasksKept(queue), GdprRequestCreated.read)
    private = settings.webhooks_to_private_addresses
    webhooks = WebhookService(database, outbox, queue, keys, clock, private=private)
    told = WebhookEvents(database, queue, keys, clock).handle
    jobs = TaskJobs(database, outbox, timedelta(days=settings.kept_task_days), clock)
    return Parts(
        servicer=EventTrackingGrpc(TaskService(database, outbox, queue, keys, clock), webhooks),
        consumers=(
            Consumer(EmailEventCreated.topic, EmailEvents(database, queue, clock).handle),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
            *(Consumer(topic, told) for topic in TOPICS),
        ),
        jobs=(
            Job("take_from_the_dead", every=15, run=queue.take_from_the_dead),
            Job("tell_failing_webhooks", every=300, run=jobs.tell_failing),
            Job("prune_tasks", every=3600, run=jobs.prune),
        ),
        observe=jobs.observe,
        start=workers.start,
        stop=workers.stop,
    )


SERVICE = Service(
    name="event_tracking",
    summary="The task queue, and the e-mails, text messages and merchants' webhooks that run on it.",
    build=build,
    needs=("auth",),  # the merchants' keys come from there
    produces=(TaskCreated, TaskCompleted, AuditLog, GdprRequestConfirmed),
    consumes=(EmailEventCreated.topic, GdprRequestCreated.topic, *TOPICS),
    rpc=Rpc(
        name="event_tracking.v1.EventTrackingService",
        register=add_EventTrackingServiceServicer_to_server,
        stub=EventTrackingServiceStub,
        descriptor=event_tracking_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.event_tracking.migrations",
    routes=routes,
    calls_out=True,
)
