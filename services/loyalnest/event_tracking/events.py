"""What event_tracking publishes."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from loyalnest.kit.events import Payload


class TaskCreated(Payload, frozen=True, kw_only=True):
    """A task was queued. kind: what it does: `email`, `sms` or `webhook`. unique_key: none other has it of its kind."""

    topic: ClassVar[str] = "task.created"

    task_id: UUID
    kind: str
    unique_key: str
    created_at: datetime


class TaskCompleted(Payload, frozen=True, kw_only=True):
    """A task came to its end.

    outcome: `done`, `failed` (no attempt is left, or trying again is of no use) or `cancelled`.
    provider, provider_id: who took the message, and its name for it. error: why it failed, without personal data.
    """

    topic: ClassVar[str] = "task.completed"

    task_id: UUID
    kind: str
    unique_key: str
    outcome: str
    attempts: int
    provider: str = ""
    provider_id: str = ""
    error: str = ""
    completed_at: datetime
