"""event_tracking's routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceStub
from loyalnest.event_tracking.webhook_http import webhook_routes
from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import PageSize, PageToken, ShortText

StatusName = Literal["waiting", "running", "done", "failed", "cancelled"]


class TaskView(BaseModel):
    """A task of the queue: a message or a webhook that waits, is being sent, or has been."""

    task_id: str
    kind: str = Field(description="email, sms or webhook")
    unique_key: str = Field(description="No other task of this kind has it.")
    customer_id: str | None = Field(description="Whom it concerns.")
    reason: str = Field(description="What it is about, such as points_earned.")
    priority: int = Field(description="0 goes first, 9 last.")
    status: StatusName
    due_at: str = Field(description="Of a waiting task: it is not attempted before.")
    expires_at: str = Field(description="It is not attempted any more after that.")
    attempts: int = Field(description="So far, the present one included.")
    failures: int = Field(description="Attempts that count against max_attempts.")
    max_attempts: int
    lease_until: str = Field(description="Of a running task: if its worker is not heard of until then, another has it.")
    sending_with: str = Field(description="The provider that may have the message already, as far as is known.")
    provider: str
    provider_id: str = Field(description="The provider's name of the message.")
    last_error: str
    created_at: str
    finished_at: str


class AttemptView(BaseModel):
    """One attempt that ended."""

    attempt: int
    provider: str
    outcome: str = Field(description="delivered, rejected, not_taken, throttled, unknown or lost")
    error: str
    started_at: str
    ended_at: str


class TaskWithAttemptsView(BaseModel):
    task: TaskView
    attempts: list[AttemptView] = Field(description="First to last.")


class TasksView(BaseModel):
    tasks: list[TaskView]
    next_page_token: str


class TaskCountView(BaseModel):
    kind: str
    status: StatusName
    tasks: int


class StuckReasonView(BaseModel):
    """Why tasks wait that were attempted before."""

    kind: str
    error: str
    tasks: int


class QueueStatsView(BaseModel):
    counts: list[TaskCountView]
    stuck: list[StuckReasonView] = Field(description="Most frequent first, twenty at most.")
    oldest_due_at: str = Field(description="When the task was due that is due for the longest time; empty for none.")


class CancelTaskBody(BaseModel):
    reason: ShortText = Field(description="For the audit log.")


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/tasks…` and `/frontend/webhooks…`."""
    router = APIRouter()
    router.include_router(_task_routes(environment))
    router.include_router(webhook_routes(environment))
    return router


def _task_routes(environment: Environment) -> APIRouter:
    router = APIRouter(prefix="/frontend/tasks", tags=["tasks"])
    queue = EventTrackingServiceStub(environment.channel("event_tracking"))

    @router.get("", summary="Tasks, newest first")
    async def tasks(
        status: Annotated[StatusName | None, Query(description="Only those of this status.")] = None,
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> TasksView:
        request = pb.ListTasksRequest(status=status or "", page_size=page_size, page_token=page_token)
        page = await queue.ListTasks(request)
        return TasksView(tasks=[_task(each) for each in page.tasks], next_page_token=page.next_page_token)

    @router.get("/stats", summary="How many tasks there are, and why they are stuck")
    async def stats() -> QueueStatsView:
        found = await queue.GetQueueStats(pb.GetQueueStatsRequest())
        return QueueStatsView(
            counts=[TaskCountView.model_validate(each, from_attributes=True) for each in found.counts],
            stuck=[StuckReasonView.model_validate(each, from_attributes=True) for each in found.stuck],
            oldest_due_at=found.oldest_due_at,
        )

    @router.get("/{task_id}", summary="A task and its attempts")
    async def task(task_id: ShortText) -> TaskWithAttemptsView:
        found = await queue.GetTask(pb.GetTaskRequest(task_id=task_id))
        return TaskWithAttemptsView(
            task=_task(found.task),
            attempts=[AttemptView.model_validate(each, from_attributes=True) for each in found.attempts],
        )

    @router.post("/{task_id}/retry", summary="Try a waiting task again now")
    async def retry(task_id: ShortText) -> TaskView:
        return _task(await queue.RetryTask(pb.RetryTaskRequest(task_id=task_id)))

    @router.post("/{task_id}/cancel", summary="End a task before it is sent")
    async def cancel(task_id: ShortText, body: CancelTaskBody) -> TaskView:
        return _task(await queue.CancelTask(pb.CancelTaskRequest(task_id=task_id, reason=body.reason)))

    return router


def _task(found: pb.Task) -> TaskView:
    values = {name: getattr(found, name) for name in TaskView.model_fields if name != "customer_id"}
    return TaskView(customer_id=str(found.customer_id) if found.customer_id else None, **values)
