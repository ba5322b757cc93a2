"""The gRPC face of event_tracking, through the channel that other services call it by."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from integration.event_tracking.support import START, EventTracking, Script
from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.models import NotTaken, Unknown
from loyalnest.event_tracking.task_queue import Round
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, PreconditionFailed, Unauthenticated

MESSAGE = pb.Message(to="anna@example.com", subject="Hello", text="Hello, Anna")


def wanted(**fields: Any) -> dict[str, Any]:
    return {"kind": "email", "unique_key": "hello-1", "reason": "hello", "message": MESSAGE} | fields


async def test_a_task_is_made_once_and_shows_no_message(tracking: EventTracking) -> None:
    made = await tracking.call("CreateTask", **wanted(customer_id=7, priority=0))
    assert made.created
    assert made.task == pb.Task(
        task_id=made.task.task_id,
        kind="email",
        unique_key="hello-1",
        customer_id=7,
        reason="hello",
        priority=0,
        status="waiting",
        due_at="2026-05-01T12:00:00+00:00",
        expires_at="2026-05-04T12:00:00+00:00",
        max_attempts=15,
        created_at="2026-05-01T12:00:00+00:00",
    )
    again = await tracking.call("CreateTask", **wanted(customer_id=8, message=pb.Message(to="b@example.com", text="b")))
    assert (again.created, again.task) == (False, made.task)
    other = await tracking.call("CreateTask", merchant="globex", **wanted())
    assert other.created
    everything = await tracking.sql(
        "SELECT q::text, o::text FROM event_tracking.queue_tasks q, event_tracking.outbox o"
    )
    assert "anna" not in str(everything).lower()
    (audit, _) = await tracking.published("audit_log")
    assert (audit["action"], audit["actor"], audit["subject"]) == (
        "task.created",
        "ann",
        f"task:{made.task.task_id}",
    )
    script = Script()
    assert await tracking.worker_with(script.handler).run_due() == 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "fax"}, "kind"),
        ({"unique_key": ""}, "unique_key"),
        ({"unique_key": "x" * 201}, "unique_key"),
        ({"unique_key": "a\nb"}, "unique_key"),
        ({"reason": " "}, "reason"),
        ({"customer_id": -1}, "customer_id"),
        ({"priority": 10}, "priority"),
        ({"priority": -1}, "priority"),
        ({"max_attempts": 101}, "max_attempts"),
        ({"max_attempts": -1}, "max_attempts"),
        ({"not_before": "tomorrow"}, "not_before"),
        ({"not_before": "2026-05-01T12:00:00"}, "not_before"),
        ({"not_before": "2028-05-01T12:00:00Z"}, "not_before"),
        ({"expires_at": "2026-05-01T11:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-05-01T11:00:00Z"}, "expires_at"),
        ({"message": pb.Message(to="a@example.com")}, "text"),
        ({"message": pb.Message(text="hello")}, "to must be"),
        ({"message": pb.Message(to="a@example.com", text="x" * 600_000)}, "bytes"),
    ],
)
async def test_what_no_task_can_be(tracking: EventTracking, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        await tracking.call("CreateTask", **wanted(**fields))
    assert await tracking.sql("SELECT FROM event_tracking.queue_tasks") == []


async def test_who_may_do_what(tracking: EventTracking) -> None:
    task_id = str(await tracking.add())
    for method, fields in (
        ("CreateTask", wanted()),
        ("RetryTask", {"task_id": task_id}),
        ("CancelTask", {"task_id": task_id, "reason": "x"}),
    ):
        with pytest.raises(Forbidden):
            await tracking.call(method, role="support", **fields)
    assert (await tracking.call("GetTask", role="support", task_id=task_id)).task.status == "waiting"
    for method, fields in (("GetQueueStats", {}), ("ListTasks", {}), ("GetTask", {"task_id": task_id})):
        with pytest.raises(Unauthenticated):
            await tracking.call(method, merchant="", **fields)


async def test_another_merchants_task_is_not_there(tracking: EventTracking) -> None:
    task_id = str(await tracking.add())
    for method in ("GetTask", "RetryTask", "CancelTask"):
        fields = {"reason": "x"} if method == "CancelTask" else {}
        with pytest.raises(NotFound):
            await tracking.call(method, merchant="globex", task_id=task_id, **fields)
        with pytest.raises(NotFound):
            await tracking.call(method, task_id=str(uuid4()), **fields)
        with pytest.raises(InvalidInput, match="task id"):
            await tracking.call(method, task_id="x", **fields)
    assert list((await tracking.call("ListTasks", merchant="globex")).tasks) == []
    assert await tracking.call("GetQueueStats", merchant="globex") == pb.QueueStats()


async def test_a_task_with_its_attempts_and_why_it_waits(tracking: EventTracking) -> None:
    task_id = str(await tracking.add())
    tracking.queue._jitter = lambda: 0.5
    await tracking.worker_with(Script(NotTaken("busy", 60)).handler).run_due()
    found = await tracking.call("GetTask", task_id=task_id)
    assert (found.task.status, found.task.attempts, found.task.failures) == ("waiting", 1, 1)
    assert (found.task.last_error, found.task.due_at) == ("busy", "2026-05-01T12:01:00+00:00")
    (attempt,) = found.attempts
    assert (attempt.attempt, attempt.provider, attempt.outcome, attempt.error) == (1, "script", "not_taken", "busy")
    tracking.clock.advance(minutes=1)
    (claimed,) = await tracking.queue.claim("email", 1, Round())
    running = (await tracking.call("GetTask", task_id=task_id)).task
    assert (running.status, running.attempts, running.sending_with) == ("running", 2, "")
    await tracking.queue.begin(claimed, Script().handler)
    assert (await tracking.call("GetTask", task_id=task_id)).task.sending_with == "script"


async def test_pages_by_status(tracking: EventTracking) -> None:
    done = [str(await tracking.add()) for _ in range(3)]
    await tracking.worker_with(Script().handler).run_due()
    waiting = [str(await tracking.add()) for _ in range(2)]
    first = await tracking.call("ListTasks", page_size=2)
    assert [each.task_id for each in first.tasks] == waiting[::-1]
    second = await tracking.call("ListTasks", page_size=2, page_token=first.next_page_token)
    third = await tracking.call("ListTasks", page_size=2, page_token=second.next_page_token)
    assert [each.task_id for each in (*second.tasks, *third.tasks)] == done[::-1]
    assert third.next_page_token == ""
    assert {each.status for each in (await tracking.call("ListTasks", status="done")).tasks} == {"done"}
    for fields in ({"status": "lost"}, {"page_token": "x"}, {"page_size": -1}):
        with pytest.raises(InvalidInput):
            await tracking.call("ListTasks", **fields)


async def test_a_waiting_task_is_tried_again_at_once(tracking: EventTracking) -> None:
    task_id = str(await tracking.add())
    worker = tracking.worker_with(Script(NotTaken("busy", 3600)).handler)
    await worker.run_due()
    assert await worker.run_due() == 0
    again = await tracking.call("RetryTask", task_id=task_id)
    assert (again.status, again.failures, again.due_at) == ("waiting", 0, "2026-05-01T12:00:00+00:00")
    assert await worker.run_due() == 1
    with pytest.raises(PreconditionFailed, match="Have the message made anew"):
        await tracking.call("RetryTask", task_id=task_id)
    assert [each["action"] for each in await tracking.published("audit_log")] == ["task.retried"]


async def test_a_task_is_cancelled_before_it_is_sent_and_not_after(tracking: EventTracking) -> None:
    waiting = str(await tracking.add(send_after=START + timedelta(days=1)))
    for _ in range(2):
        ended = await tracking.call("CancelTask", task_id=waiting, reason="not wanted any more")
        assert (ended.status, ended.last_error) == ("cancelled", "Cancelled by a person.")
    assert (await tracking.task(UUID(waiting)))["sealed"] is None
    (told,) = await tracking.completed()
    assert (told.outcome, told.attempts) == ("cancelled", 0)
    (audit,) = await tracking.published("audit_log")
    assert audit["after"] == {"status": "cancelled", "reason": "not wanted any more"}

    claimed = str(await tracking.add())
    (task,) = await tracking.queue.claim("email", 1, Round())
    await tracking.call("CancelTask", task_id=claimed, reason="in time")
    assert await tracking.queue.begin(task, Script().handler) is None, "its worker must not send it any more"

    sending = str(await tracking.add())
    (task,) = await tracking.queue.claim("email", 1, Round())
    sent = await tracking.queue.begin(task, Script().handler)
    with pytest.raises(PreconditionFailed, match="being sent"):
        await tracking.call("CancelTask", task_id=sending, reason="too late")
    await tracking.queue.end(task, "script", Unknown("?"), sent)
    ended = await tracking.call("CancelTask", task_id=sending, reason="it waits again")
    assert "script may have taken this message" in ended.last_error
    for reason in ("", " ", "x" * 201):
        with pytest.raises(InvalidInput, match="reason"):
            await tracking.call("CancelTask", task_id=sending, reason=reason)


async def test_stats_say_what_is_stuck_and_why(tracking: EventTracking) -> None:
    for _ in range(3):
        await tracking.add()
    await tracking.worker_with(Script(NotTaken("busy", 60), NotTaken("busy", 60)).handler).run_due()
    await tracking.add(channel="sms", send_after=START - timedelta(minutes=5))
    stats = await tracking.call("GetQueueStats")
    assert [(each.kind, each.status, each.tasks) for each in stats.counts] == [
        ("email", "done", 1),
        ("email", "waiting", 2),
        ("sms", "waiting", 1),
    ]
    assert [(each.kind, each.error, each.tasks) for each in stats.stuck] == [("email", "busy", 2)]
    assert stats.oldest_due_at == "2026-05-01T11:55:00+00:00"
