"""What the queue speaks of: tasks, how an attempt ended, and what becomes of a task then."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID


class Status(StrEnum):
    """Where a task stands. The last three are its end."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED})

DEFAULT_PRIORITY: Final = 5
URGENT_PRIORITY: Final = 1
"""Of what a person waits for in front of a screen: a test send."""
MAX_ATTEMPTS: Final = 15
"""Unless told otherwise: with the backoff of `transitions`, half a day or so of trying."""
EXPIRES_AFTER: Final = timedelta(days=3)
"""Unless told otherwise, a task is not started any more so long after it was due."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be made. priority: 0 goes first, 9 last, among the merchant's own tasks.

    subscription_id: whom a webhook is for.
    """

    merchant_id: str
    task_id: UUID
    kind: str
    unique_key: str
    customer_id: int | None
    reason: str
    priority: int
    due_at: datetime
    expires_at: datetime
    max_attempts: int
    created_at: datetime
    sealed: bytes = field(repr=False)
    subscription_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """`provider` may have taken the message, and nobody knows. Until `until` it knows a repeat as such."""

    provider: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """A task that somebody holds: a worker by a claim, or whoever has locked its row.

    attempt: number of the claim, counted from 1; whoever holds an older number has lost the task.
    failures: earlier attempts that count against `max_attempts`.
    open: what earlier attempts left unknown.
    """

    merchant_id: str
    task_id: UUID
    kind: str
    unique_key: str
    status: Status
    attempt: int
    failures: int
    max_attempts: int
    expires_at: datetime
    started_at: datetime | None
    open: Open | None = None
    sealed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The provider took the message and calls it `provider_id`."""

    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message was certainly not taken, and never will be."""

    error: str


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The message was certainly not taken; a later attempt may succeed.

    retry_after: not before so many seconds, if the provider said so.
    throttled: we were only too fast, which is not held against the task.
    """

    error: str
    retry_after: float = 0.0
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Whether the message was taken cannot be known."""

    error: str


Outcome = Delivered | Rejected | NotTaken | Unknown
"""How an attempt ended. Errors hold no personal data: they are stored, logged and told to other services."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What becomes of a task. due_at: when it is tried again, if it is `waiting`.

    outcome: of the attempt, for its record; empty if no attempt ended (a cancellation).
    """

    status: Status
    outcome: str
    error: str = ""
    provider_id: str = ""
    failures: int = 0
    due_at: datetime | None = None
    open: Open | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    """Does the tasks of one kind.

    provider: who does it in the end, such as `resend`.
    purpose: what payloads are sealed for.
    remembers: for how long the provider knows a repeat by the task's id; zero if it never does.
    per_second: most attempts a second.
    perform: one attempt with the opened payload. It raises nothing that is expected to happen, and ends in time.
    close: let connections go.
    """

    provider: str
    purpose: str
    remembers: timedelta
    per_second: float
    perform: Callable[[UUID, bytes], Awaitable[Outcome]]
    close: Callable[[], Awaitable[None]]
