"""The gRPC side of event_tracking: messages in and out, no decisions."""

from typing import Any

from loyalnest.admin_features.events import Message
from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceServicer
from loyalnest.event_tracking.service import TaskService, Wanted
from loyalnest.event_tracking.webhook_grpc import WebhookMethods
from loyalnest.event_tracking.webhook_service import WebhookService
from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.rpc.fields import moment_of, time_text, uuid_of


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
