"""The gRPC side of event_tracking: messages in and out, no decisions."""

from typing import Any
from uuid import UUID

import msgspec

from loyalnest.admin_features.events import Message
from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceServicer
from loyalnest.event_tracking.service import TaskService, Wanted
from loyalnest.event_tracking.webhook_service import WebhookService
from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.rpc.fields import moment_of, time_text, uuid_of


class WebhookMethods:
    """The methods of webhooks, for the servicer."""

    _webhooks: WebhookService

    async def CreateWebhookSubscription(
        self, request: pb.CreateWebhookSubscriptionRequest, context: Any
    ) -> pb.WebhookSubscriptionWithSecret:
        require_role("owner", "staff")
        row, secret = await self._webhooks.create(required_merchant(), request.url, request.topics)
        return pb.WebhookSubscriptionWithSecret(subscription=self._subscription(row), secret=secret)

    async def GetWebhookSubscription(
        self, request: pb.GetWebhookSubscriptionRequest, context: Any
    ) -> pb.WebhookSubscription:
        return self._subscription(await self._webhooks.get(required_merchant(), _id(request.subscription_id)))

    async def ListWebhookSubscriptions(
        self, request: pb.ListWebhookSubscriptionsRequest, context: Any
    ) -> pb.ListWebhookSubscriptionsResponse:
        rows = await self._webhooks.list_all(required_merchant())
        return pb.ListWebhookSubscriptionsResponse(subscriptions=[self._subscription(row) for row in rows])

    async def UpdateWebhookSubscription(
        self, request: pb.UpdateWebhookSubscriptionRequest, context: Any
    ) -> pb.WebhookSubscription:
        require_role("owner", "staff")
        row = await self._webhooks.update(
            required_merchant(),
            _id(request.subscription_id),
            request.url if request.HasField("url") else None,
            request.topics,
            request.enabled if request.HasField("enabled") else None,
        )
        return self._subscription(row)

    async def DeleteWebhookSubscription(
        self, request: pb.DeleteWebhookSubscriptionRequest, context: Any
    ) -> pb.DeleteWebhookSubscriptionResponse:
        require_role("owner", "staff")
        await self._webhooks.delete(required_merchant(), _id(request.subscription_id))
        return pb.DeleteWebhookSubscriptionResponse()

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Any
    ) -> pb.WebhookSubscriptionWithSecret:
        require_role("owner", "staff")
        hours = request.overlap_hours if request.HasField("overlap_hours") else None
        row, secret = await self._webhooks.rotate(required_merchant(), _id(request.subscription_id), hours)
        return pb.WebhookSubscriptionWithSecret(subscription=self._subscription(row), secret=secret)

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: Any
    ) -> pb.ListWebhookDeliveriesResponse:
        rows, token = await self._webhooks.deliveries(
            required_merchant(),
            _id(request.subscription_id),
            request.status,
            request.page_size,
            request.page_token,
        )
        return pb.ListWebhookDeliveriesResponse(deliveries=[_delivery(row) for row in rows], next_page_token=token)

    async def ReplayWebhookDeliveries(
        self, request: pb.ReplayWebhookDeliveriesRequest, context: Any
    ) -> pb.ReplayWebhookDeliveriesResponse:
        require_role("owner", "staff")
        merchant_id, subscription_id = required_merchant(), _id(request.subscription_id)
        since = moment_of(request.failed_since, "failed_since")
        if bool(request.delivery_id) == (since is not None):
            raise InvalidInput("Give either delivery_id, for one delivery, or failed_since, for all that failed since.")
        if since is not None:
            count = await self._webhooks.replay_failed(merchant_id, subscription_id, since)
        else:
            delivery_id = uuid_of(request.delivery_id, "delivery")
            count = await self._webhooks.replay(merchant_id, subscription_id, delivery_id)
        return pb.ReplayWebhookDeliveriesResponse(deliveries=count)

    def _subscription(self, row: Any) -> pb.WebhookSubscription:
        until = row["previous_until"]
        return pb.WebhookSubscription(
            subscription_id=str(row["subscription_id"]),
            url=row["url"],
            topics=row["topics"],
            enabled=row["enabled"],
            disabled_reason=row["disabled_reason"],
            status=self._webhooks.status(row),
            failing_since=time_text(row["failing_since"]),
            previous_secret_until=time_text(until if until and until > self._webhooks.now() else None),
            created_at=time_text(row["created_at"]),
        )


class EventTrackingGrpc(WebhookMethods, EventTrackingServiceServicer):
    """Serves `event_tracking.v1.EventTrackingService` for the merchant of the call's context."""

    def __init__(self, service: TaskService, webhooks: WebhookService) -> None:
        self._service = service
        self._webhooks = webhooks

    async def CreateTask(self, request: pb.CreateTaskRequest, context: Any) -> pb.CreateTaskResponse:
        require_role("owner", "staff")
        message = request.message
        wanted = Wanted(
            kind=request.kind,
            unique_key=request.unique_key,
            customer_id=request.customer_id,
            reason=request.reason,
            priority=request.priority if request.HasField("priority") else None,
            not_before=moment_of(request.not_before, "not_before"),
            expires_at=moment_of(request.expires_at, "expires_at"),
            max_attempts=request.max_attempts,
            message=Message(
                to=message.to,
                sender=message.sender,
                reply_to=message.reply_to,
                subject=message.subject,
                text=message.text,
                html=message.html,
                headers=dict(message.headers),
            ),
        )
        row, created = await self._service.create(required_merchant(), wanted)
        return pb.CreateTaskResponse(task=_task(row), created=created)

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> pb.GetTaskResponse:
        row, attempts = await self._service.get(required_merchant(), uuid_of(request.task_id, "task"))
        return pb.GetTaskResponse(
            task=_task(row),
            attempts=[
                pb.Attempt(
                    attempt=each["attempt"],
                    provider=each["provider"],
                    outcome=each["outcome"],
                    error=each["error"],
                    started_at=time_text(each["started_at"]),
                    ended_at=time_text(each["ended_at"]),
                )
                for each in attempts
            ],
        )

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        rows, token = await self._service.list_by(
            required_merchant(), request.status, request.page_size, request.page_token
        )
        return pb.ListTasksResponse(tasks=[_task(row) for row in rows], next_page_token=token)

    async def RetryTask(self, request: pb.RetryTaskRequest, context: Any) -> pb.Task:
        require_role("owner", "staff")
        return _task(await self._service.retry(required_merchant(), uuid_of(request.task_id, "task")))

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Any) -> pb.Task:
        require_role("owner", "staff")
        task_id = uuid_of(request.task_id, "task")
        return _task(await self._service.cancel(required_merchant(), task_id, request.reason))

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, context: Any) -> pb.QueueStats:
        counts, stuck, oldest_due_at = await self._service.stats(required_merchant())
        return pb.QueueStats(
            counts=[pb.TaskCount(kind=each["kind"], status=each["status"], tasks=each["tasks"]) for each in counts],
            stuck=[pb.StuckReason(kind=each["kind"], error=each["error"], tasks=each["tasks"]) for each in stuck],
            oldest_due_at=time_text(oldest_due_at),
        )


def _task(row: Any) -> pb.Task:
    return pb.Task(
        task_id=str(row["task_id"]),
        kind=row["kind"],
        unique_key=row["unique_key"],
        customer_id=row["customer_id"] or 0,
        reason=row["reason"],
        priority=row["priority"],
        status=row["status"],
        due_at=time_text(row["due_at"]),
        expires_at=time_text(row["expires_at"]),
        attempts=row["attempt"],
        failures=row["failures"],
        max_attempts=row["max_attempts"],
        lease_until=time_text(row["lease_until"]),
        sending_with=row["open_provider"],
        provider=row["provider"],
        provider_id=row["provider_id"],
        last_error=row["error"],
        created_at=time_text(row["created_at"]),
        finished_at=time_text(row["finished_at"]),
    )


def _id(text: str) -> UUID:
    return uuid_of(text, "webhook")


def _delivery(row: Any) -> pb.WebhookDelivery:
    return pb.WebhookDelivery(
        delivery_id=str(row["task_id"]),
        event_id=row["unique_key"].rpartition(":")[2],
        topic=row["reason"],
        status=row["status"],
        due_at=time_text(row["due_at"]),
        last_error=row["error"],
        created_at=time_text(row["created_at"]),
        finished_at=time_text(row["finished_at"]),
        attempts=[
            pb.Attempt(
                **{name: each[name] for name in ("attempt", "provider", "outcome", "error", "started_at", "ended_at")}
            )
            for each in msgspec.json.decode(row["attempts"])
        ],
        answer=row["provider_id"],
    )
