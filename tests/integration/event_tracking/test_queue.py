"""The queue: one task a key, in the right order, at the right time, fair, and only in the hands of one worker."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from integration.event_tracking.support import KEEP, START, EventTracking, Script
from loyalnest.event_tracking.models import NotTaken
from loyalnest.event_tracking.queue_repository import CLAIM, NEXT_MERCHANTS
from loyalnest.event_tracking.task_queue import Round, share
from loyalnest.kit.errors import InvalidInput


async def test_a_message_that_is_told_often_is_one_task(tracking: EventTracking) -> None:
    event = await tracking.told()
    again = await tracking.told(message_id=UUID(event.key), created_at=START + timedelta(seconds=1))
    assert event.id != again.id
    await tracking.handle(event, event, again)
    await tracking.handle(again)
    await tracking.handle(await tracking.told("globex", message_id=UUID(event.key)))
    rows = await tracking.sql("SELECT merchant_id FROM event_tracking.queue_tasks ORDER BY 1")
    assert [row["merchant_id"] for row in rows] == ["acme", "globex"]
    assert len(await tracking.published("task.created")) == 2
    script = Script()
    assert await tracking.worker_with(script.handler).run_due() == 2
    await tracking.handle(again, event)
    assert await tracking.worker_with(script.handler).run_due() == 0


async def test_the_message_rests_as_it_came_and_is_erased_at_the_end(tracking: EventTracking) -> None:
    sealed = await tracking.sealed()
    task_id = await tracking.add(sealed=sealed)
    assert (await tracking.task(task_id))["sealed"] == sealed
    everything = await tracking.sql("SELECT q::text FROM event_tracking.queue_tasks q")
    assert "anna" not in str(everything)
    await tracking.worker_with(Script(NotTaken("busy")).handler).run_due()
    assert (await tracking.task(task_id))["sealed"] == sealed
    await tracking.finish(tracking.worker_with(Script().handler))
    assert (await tracking.task(task_id))["sealed"] is None


async def test_bad_events_are_refused_and_pseudonyms_get_nothing(tracking: EventTracking) -> None:
    with pytest.raises(InvalidInput, match="fax"):
        await tracking.events.handle([await tracking.told(channel="fax")])
    with pytest.raises(InvalidInput, match="bytes"):
        await tracking.events.handle([await tracking.told(sealed=b"x" * 1_048_577)])
    await tracking.handle(await tracking.told(customer_id=-5))
    assert await tracking.sql("SELECT FROM event_tracking.queue_tasks") == []


async def test_by_schedule_then_by_priority_then_by_age(tracking: EventTracking) -> None:
    later = await tracking.add(send_after=START + timedelta(hours=1))
    oldest = await tracking.add(send_after=START - timedelta(hours=1))
    plain = await tracking.add()
    urgent = await tracking.add(customer_id=None)  # a test send

    async def claimed() -> list[UUID]:
        return [task.task_id for task in await tracking.queue.claim("email", 20, Round())]

    assert await claimed() == [urgent, oldest, plain]
    tracking.clock.advance(minutes=59)
    assert await claimed() == []
    tracking.clock.advance(minutes=1)
    assert await claimed() == [later]


async def test_what_has_expired_is_not_sent(tracking: EventTracking) -> None:
    task_id = await tracking.add(expires_at=START + timedelta(hours=1))
    tracking.clock.advance(hours=1)
    script = Script()
    await tracking.worker_with(script.handler).run_due()
    row = await tracking.task(task_id)
    assert (script.asked, row["status"], row["error"]) == ([], "failed", "It expired before it could be sent.")
    assert row["sealed"] is None


async def test_a_flood_does_not_starve_the_others(tracking: EventTracking) -> None:
    await tracking.handle(*[await tracking.told("flood", customer_id=None) for _ in range(300)])
    small = [f"small-{number:02}" for number in range(30)]
    for merchant in small:
        await tracking.add(merchant)
    script = Script()
    worker = tracking.worker_with(script.handler)
    order: list[str] = []
    while claimed := await tracking.queue.claim("email", 20, worker._turn):
        order.extend(task.merchant_id for task in claimed)
        assert sum(task.merchant_id == "flood" for task in claimed) <= share(20, len({t.merchant_id for t in claimed}))
        if len(order) < 40:
            await tracking.add("late")
    last = max(place for place, merchant in enumerate(order) if merchant in small)
    assert order[: last + 1].count("flood") <= 3, "each round of the merchants gives the flood its share only"
    assert order.count("late") >= 1
    assert order.index("late") < 60
    assert len(order) == 300 + 30 + order.count("late")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    queued=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 25), min_size=1),
    room=st.integers(1, 12),
    start=st.sampled_from(["", "a", "d", "h", "z"]),
)
async def test_everybody_is_served_once_a_round_and_nothing_is_left(
    tracking: EventTracking, queued: dict[str, int], room: int, start: str
) -> None:
    await tracking.sql("TRUNCATE event_tracking.queue_tasks CASCADE")
    events = [await tracking.told(each, customer_id=None) for each, count in queued.items() for _ in range(count)]
    await tracking.handle(*events)
    turn, left, waited = Round(start), dict(queued), dict.fromkeys(queued, 0)
    while claimed := await tracking.queue.claim("email", room, turn):
        assert len(claimed) <= room
        got = {each: sum(task.merchant_id == each for task in claimed) for each in left}
        assert max(got.values()) <= share(room, 1)
        for each, count in got.items():
            left[each] -= count
            waited[each] = 0 if count or not left[each] else waited[each] + 1
        # With m merchants and room for n, everybody's turn comes within ceil(m / n) claims, or one more at the wrap.
        assert max(waited.values()) <= -(-len(queued) // room) + 1
    assert set(left.values()) == {0}


async def test_ended_tasks_are_forgotten_and_waiting_ones_are_not(tracking: EventTracking) -> None:
    done = await tracking.add()
    await tracking.worker_with(Script(NotTaken("busy")).handler).run_due()
    await tracking.finish(tracking.worker_with(Script().handler))
    waiting = await tracking.add(send_after=tracking.clock() + timedelta(days=200))
    tracking.clock.advance(seconds=KEEP.total_seconds() - 3600)
    assert await tracking.jobs.prune() == 0
    assert len(await tracking.outcomes(done)) == 2
    tracking.clock.advance(days=2)
    assert await tracking.jobs.prune() == 1
    rows = await tracking.sql("SELECT task_id FROM event_tracking.queue_tasks")
    assert [row["task_id"] for row in rows] == [waiting]
    assert await tracking.sql("SELECT FROM event_tracking.task_attempts") == []
    assert await tracking.sql("SELECT FROM event_tracking.recipients") == []


async def test_no_index_of_claims_holds_ended_tasks(tracking: EventTracking) -> None:
    await tracking.handle(*[await tracking.told(customer_id=None) for _ in range(200)])
    await tracking.worker_with(Script().handler).run_due()
    await tracking.add()
    await tracking.sql("VACUUM ANALYZE event_tracking.queue_tasks")
    sizes = await tracking.sql(
        "SELECT relname, reltuples FROM pg_class WHERE relname IN ('queue_tasks_waiting', 'queue_tasks_due')"
    )
    assert {row["relname"]: row["reltuples"] for row in sizes} == {"queue_tasks_waiting": 1, "queue_tasks_due": 1}


async def test_the_gauges_say_how_deep_and_how_late_the_queue_is(tracking: EventTracking) -> None:
    def gauge(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    await tracking.add()
    await tracking.queue.claim("email", 1, Round())
    await tracking.add(send_after=START - timedelta(minutes=10))
    await tracking.add("globex", send_after=START - timedelta(minutes=20))
    await tracking.add(send_after=START + timedelta(minutes=10))
    await tracking.jobs.observe()
    found = {state: gauge("loyalnest_tasks", kind="email", state=state) for state in ("due", "later", "running")}
    assert found == {"due": 2, "later": 1, "running": 1}
    assert gauge("loyalnest_tasks_oldest_due_seconds", kind="email") == 1200
    assert gauge("loyalnest_tasks_oldest_due_seconds", kind="sms") == 0
    before = gauge("loyalnest_task_outcomes_total", kind="email", provider="script", outcome="delivered") or 0
    await tracking.worker_with(Script().handler).run_due()
    assert gauge("loyalnest_task_outcomes_total", kind="email", provider="script", outcome="delivered") == before + 2
    await tracking.jobs.observe()
    assert gauge("loyalnest_tasks_oldest_due_seconds", kind="email") == 0


async def test_claims_go_by_their_own_index_also_before_the_first_analyze(tracking: EventTracking) -> None:
    await tracking.handle(*[await tracking.told(f"m{n % 9}", customer_id=None) for n in range(2000)])
    arguments: dict[str, tuple[object, ...]] = {
        NEXT_MERCHANTS: ("email", "", 20),
        CLAIM: (["m1", "m2"], "email", 5, START, START),
    }
    for analyze in (False, True):
        if analyze:
            await tracking.sql("ANALYZE event_tracking.queue_tasks")
        for statement, values in arguments.items():
            plan = "\n".join(row[0] for row in await tracking.sql(f"EXPLAIN {statement}", *values))
            used = set(re.findall(r"using (\w+)", plan))
            assert "queue_tasks_waiting" in used, plan
            assert used <= {"queue_tasks_waiting", "queue_tasks_pkey"}, plan
            assert "Seq Scan" not in plan
