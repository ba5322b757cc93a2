"""What becomes of a task after an attempt: pure decisions, and the rule of who may send a message again.

A message must not reach anybody twice. So an attempt whose outcome is unknown is repeated only at a provider that
knows the repeat by the task's id, and only for as long as it does. Where none does, the task fails and says so: at
most once. What was certainly not taken is tried again anywhere.
"""

from datetime import datetime, timedelta
from typing import Final

from loyalnest.event_tracking.models import (
    Delivered,
    NotTaken,
    Open,
    Outcome,
    Rejected,
    Status,
    Task,
    Transition,
    Unknown,
)

FIRST_BACKOFF: Final = 10.0
LONGEST_BACKOFF: Final = 6 * 3600.0
"""Seconds."""

UNKNOWN: Final = (
    "{provider} may have taken this message: the outcome of an attempt is unknown, so nothing sends it again by itself."
)


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after the `failures`-th failure, for a random `jitter` in [0, 1).

    Exponential with full jitter, so that what failed together does not come back together.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return jitter * min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 30))


def refusal(task: Task, provider: str, now: datetime) -> Outcome | None:
    """Why a claimed task must not be attempted with `provider` now; None if it may be."""
    if task.expires_at <= now:
        return Rejected("It expired before it could be sent.")
    if task.open is not None and (task.open.provider != provider or task.open.until <= now):
        return Rejected(f"An earlier attempt was with {task.open.provider}, who would not know this one as its repeat.")
    return None


def opened(task: Task, provider: str, remembers: timedelta, now: datetime) -> Open:
    """What is unknown from the moment in which an attempt begins to send. The first attempt began the time."""
    return task.open or Open(provider, now + remembers)


def after(task: Task, sent: Open | None, outcome: Outcome, now: datetime, jitter: float) -> Transition:
    """What becomes of a task whose attempt ended with `outcome`. sent: what the attempt opened; None if nothing."""
    match outcome:
        case Delivered(provider_id):
            return Transition(Status.DONE, "delivered", provider_id=provider_id, failures=task.failures)
        case Rejected(error):
            return _ended(Status.FAILED, "rejected", error, task.failures + 1, task.open)
        case NotTaken(error, retry_after, throttled):
            label = "throttled" if throttled else "not_taken"
            return _again(task, task.open, label, error, now, jitter, retry_after, counts=not throttled)
        case Unknown(error):
            return _again(task, sent or task.open, "unknown", error, now, jitter)


def lost(task: Task, now: datetime, jitter: float) -> Transition:
    """What becomes of a task whose worker is gone. `task.open` is also what that worker had opened."""
    if task.open is None:
        error = "Its worker disappeared before it sent anything."
        return _again(task, None, "lost", error, now, jitter)
    return _again(task, task.open, "unknown", "Its worker disappeared while sending.", now, jitter)


def cancelled(task: Task, why: str) -> Transition:
    """The end of a task that is not being sent just now."""
    return _ended(Status.CANCELLED, "", why, task.failures, task.open)


def _again(
    task: Task,
    still_open: Open | None,
    label: str,
    error: str,
    now: datetime,
    jitter: float,
    retry_after: float = 0.0,
    *,
    counts: bool = True,
) -> Transition:
    """Another attempt, unless the task's attempts or its time are used up, or a repeat would not be known as such."""
    failures = task.failures + counts
    if failures >= task.max_attempts:
        return _ended(Status.FAILED, label, f"{error} No attempt is left.", failures, still_open)
    due_at = now + timedelta(seconds=max(retry_after, backoff(max(failures, 1), jitter)))
    if due_at >= task.expires_at:
        return _ended(Status.FAILED, label, f"{error} It expires before the next attempt.", failures, still_open)
    if still_open is not None and due_at >= still_open.until:
        return _ended(Status.FAILED, label, error, failures, still_open)
    return Transition(Status.WAITING, label, error, failures=failures, due_at=due_at, open=still_open)


def _ended(status: Status, label: str, error: str, failures: int, still_open: Open | None) -> Transition:
    """The end. What may have been delivered is said, whatever else stood in the way."""
    if still_open is not None:
        error = f"{error} {UNKNOWN.format(provider=still_open.provider)}"
    return Transition(status, label, error, failures=failures)
