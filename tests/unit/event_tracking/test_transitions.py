"""What becomes of a task, checked against a model of what a provider may have: no history sends a message twice."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from loyalnest.event_tracking.transitions import LONGEST_BACKOFF, after, backoff, lost, opened, refusal

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TASK = Task(
    merchant_id="acme",
    task_id=UUID(int=1),
    kind="email",
    unique_key="k",
    status=Status.RUNNING,
    attempt=1,
    failures=0,
    max_attempts=3,
    expires_at=NOW + timedelta(days=3),
    started_at=NOW,
)
JITTER = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 200), JITTER)
def test_backoff_is_bounded_and_jitter_reaches_from_nothing_to_all_of_it(failures: int, jitter: float) -> None:
    full = backoff(failures, 1.0)
    assert full == min(LONGEST_BACKOFF, 10 * 2 ** (failures - 1))
    assert backoff(failures, jitter) == pytest.approx(full * jitter)
    assert backoff(failures, 0.0) == 0


def test_the_defaults_try_for_hours() -> None:
    assert sum(backoff(failures, 0.5) for failures in range(1, 15)) > 10 * 3600


@given(st.floats(0, 80_000), JITTER)
def test_retry_after_is_the_least_wait(retry_after: float, jitter: float) -> None:
    change = after(TASK, None, NotTaken("busy", retry_after), NOW, jitter)
    assert change.due_at is not None
    assert change.due_at >= NOW + timedelta(seconds=retry_after)


def test_throttling_is_not_held_against_a_task() -> None:
    worn = replace(TASK, failures=2)
    assert after(worn, None, NotTaken("429", 5, throttled=True), NOW, 0).status is Status.WAITING
    failed = after(worn, None, NotTaken("busy"), NOW, 0)
    assert (failed.status, failed.error) == (Status.FAILED, "busy No attempt is left.")


def test_no_attempt_begins_when_a_task_has_expired() -> None:
    assert refusal(TASK, "smtp", TASK.expires_at - timedelta(seconds=1)) is None
    assert refusal(TASK, "smtp", TASK.expires_at) == Rejected("It expired before it could be sent.")
    failed = after(TASK, None, NotTaken("busy", 3 * 86_400), NOW, 0)
    assert (failed.status, failed.error) == (Status.FAILED, "busy It expires before the next attempt.")


def test_a_worker_that_vanishes_before_it_sends_is_only_a_lost_attempt() -> None:
    assert lost(TASK, NOW, 0).outcome == "lost"
    sending = replace(TASK, open=Open("smtp", NOW))
    assert (lost(sending, NOW, 0).status, lost(sending, NOW, 0).outcome) == (Status.FAILED, "unknown")
    known = replace(TASK, open=Open("resend", NOW + timedelta(hours=23)))
    assert lost(known, NOW, 0).status is Status.WAITING


@dataclass
class World:
    """What really happens to one task, told by a plain simulation: who has the message, and since when."""

    inboxes: int = 0
    taken_at: dict[str, datetime] = field(default_factory=dict)

    def send(self, provider: str, remembers: timedelta, now: datetime) -> None:
        """A provider takes the message; within its memory a repeat is nothing new to it."""
        known = self.taken_at.get(provider)
        if known is None or now >= known + remembers:
            self.inboxes += 1
            self.taken_at[provider] = now


PROVIDERS = {"resend": timedelta(hours=23), "smtp": timedelta(), "mailgun": timedelta()}
STEP = st.tuples(
    st.sampled_from(sorted(PROVIDERS)),
    st.sampled_from(["delivered", "rejected", "not_taken", "throttled", "unknown", "dies before", "dies sending"]),
    st.booleans(),  # whether the provider took a message whose fate nobody learns
    st.floats(0, 30),  # hours that pass besides
    JITTER,
)


@settings(max_examples=600)
@given(st.lists(STEP, min_size=1, max_size=8), st.integers(1, 9))
def test_no_history_delivers_twice_and_every_doubt_is_said(
    steps: list[tuple[str, str, bool, float, float]], most: int
) -> None:
    world, task, now = World(), replace(TASK, max_attempts=most, attempt=0), NOW
    change: Transition | None = None
    for provider, happens, took, hours, jitter in steps:
        now += timedelta(hours=hours)
        if task.open is not None or change is not None:
            assert change is not None
            assert change.due_at is not None
            now = max(now, change.due_at)
        task = replace(task, attempt=task.attempt + 1)
        change = _attempt(task, provider, happens, took, world, now, jitter)
        assert change.failures <= most + 1
        if change.status is not Status.WAITING:
            break
        assert change.failures < most
        task = replace(task, failures=change.failures, open=change.open)
    assert world.inboxes <= 1
    assert change is not None
    if change.status is Status.DONE:
        assert world.inboxes == 1
    if change.status is Status.FAILED and world.inboxes:
        assert "may have taken this message" in change.error


def _attempt(
    task: Task, provider: str, happens: str, took: bool, world: World, now: datetime, jitter: float
) -> Transition:
    refused = refusal(task, provider, now)
    if refused is not None:
        return after(task, None, refused, now, jitter)
    if happens == "dies before":
        return lost(task, now + timedelta(minutes=2), jitter)
    sent = opened(task, provider, PROVIDERS[provider], now)
    if happens == "delivered" or (took and happens in {"unknown", "dies sending"}):
        world.send(provider, PROVIDERS[provider], now)
    if happens == "dies sending":
        return lost(replace(task, open=sent), now + timedelta(minutes=2), jitter)
    outcomes: dict[str, Outcome] = {
        "delivered": Delivered("id"),
        "rejected": Rejected("no"),
        "not_taken": NotTaken("busy"),
        "throttled": NotTaken("429", 1, throttled=True),
        "unknown": Unknown("?"),
    }
    return after(task, sent, outcomes[happens], now, jitter)
