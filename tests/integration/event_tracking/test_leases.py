"""A task is in the hands of one worker at a time, and whoever lost it can change nothing any more."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.event_tracking.support import EventTracking, Script
from loyalnest.event_tracking.models import Delivered, NotTaken, Open, Task
from loyalnest.event_tracking.task_queue import LEASE, Round


async def test_who_lost_the_lease_can_neither_send_nor_end(tracking: EventTracking) -> None:
    task_id = await tracking.add()
    script = Script()
    (slow,) = await tracking.queue.claim("email", 5, Round())
    assert await tracking.queue.claim("email", 5, Round()) == []
    tracking.clock.advance(seconds=LEASE.total_seconds() - 1)
    await tracking.queue.renew([slow])
    tracking.clock.advance(seconds=LEASE.total_seconds() - 1)
    assert await tracking.queue.take_from_the_dead() == 0, "it was renewed"
    tracking.clock.advance(seconds=1)
    assert await tracking.queue.begin(slow, script.handler) is None, "its lease is over, though nobody else has it yet"
    await tracking.queue.renew([slow])
    assert await tracking.queue.take_from_the_dead() == 1
    tracking.clock.advance(hours=1)
    (other,) = await tracking.queue.claim("email", 5, Round())
    assert (slow.attempt, other.attempt) == (1, 2)
    assert not await tracking.queue.end(slow, "script", Delivered("late"))
    await tracking.queue.release([slow])
    sent = await tracking.queue.begin(other, script.handler)
    assert sent is not None
    assert await tracking.queue.end(other, "script", Delivered("mine"), sent)
    row = await tracking.task(task_id)
    assert (row["status"], row["provider_id"], await tracking.outcomes(task_id)) == (
        "done",
        "mine",
        ["lost", "delivered"],
    )


async def test_an_old_worker_that_wakes_up_after_all_sends_nothing_new(tracking: EventTracking) -> None:
    """It had marked the task and slept for longer than its lease: the task has ended, whatever it says now."""
    task_id = await tracking.add()
    at_most_once = Script(remembers=timedelta()).handler
    (slow,) = await tracking.queue.claim("email", 5, Round())
    sent = await tracking.queue.begin(slow, at_most_once)
    tracking.clock.advance(seconds=LEASE.total_seconds())
    assert await tracking.queue.take_from_the_dead() == 1
    assert not await tracking.queue.end(slow, "script", Delivered("x"), sent)
    row = await tracking.task(task_id)
    assert row["status"] == "failed"
    assert "script may have taken this message" in row["error"]
    assert len(await tracking.completed()) == 1


WORKERS = st.integers(0, 2)
STEP = st.one_of(
    st.tuples(st.sampled_from(["claim", "begin", "deliver", "busy", "renew"]), WORKERS),
    st.tuples(st.just("sweep"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([30, 119, 120, 400])),
)
SECONDS = LEASE.total_seconds()


class Model:
    """A lease in plain words: who holds the task, until when, whether it is being sent, and whether it has ended."""

    def __init__(self) -> None:
        self.now, self.until = 0.0, 0.0
        self.holder: int | None = None
        self.sending = self.over = False

    def step(self, name: str, who: int) -> bool:
        """Do a step. Returns whether it changed anything."""
        valid = self.holder == who and self.now < self.until
        match name:
            case "wait":
                self.now += who
                return True
            case "claim":
                can = self.holder is None and not self.over
                if can:
                    self.holder, self.sending, self.until = who, False, self.now + SECONDS
                return can
            case "begin" | "renew":
                if valid:
                    self.until, self.sending = self.now + SECONDS, self.sending or name == "begin"
                return valid
            case "sweep":
                can = self.holder is not None and self.now >= self.until
                if can:  # at most once: what was being sent is not sent again
                    self.holder, self.over = None, self.sending
                return can
            case _:
                can = self.holder == who
                if can:
                    self.holder, self.over = None, name == "deliver"
                return can


class Real:
    """The same with the queue, and a provider that knows no repeats."""

    def __init__(self, tracking: EventTracking) -> None:
        self._tracking, self._queue = tracking, tracking.queue
        self._handler = Script(remembers=timedelta()).handler
        self._hands: dict[int, Task] = {}
        self._sent: dict[int, Open | None] = {}

    async def step(self, name: str, who: int) -> bool:
        task = self._hands.get(who)
        match name:
            case "wait":
                self._tracking.clock.advance(seconds=who)
                return True
            case "sweep":
                return await self._queue.take_from_the_dead() > 0
            case "claim":
                claimed = await self._queue.claim("email", 1, Round())
                if claimed:
                    self._hands[who], self._sent[who] = claimed[0], None
                return bool(claimed)
        return task is not None and await self._held(name, who, task)

    async def _held(self, name: str, who: int, task: Task) -> bool:
        if name == "renew":
            return task.task_id in await self._queue.renew([task])
        if name == "begin":
            self._sent[who] = await self._queue.begin(task, self._handler)
            return self._sent[who] is not None
        outcome = Delivered("x") if name == "deliver" else NotTaken("busy")
        return await self._queue.end(task, "script", outcome, self._sent[who])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=25))
async def test_a_lease_behaves_like_its_model(tracking: EventTracking, story: list[tuple[str, int]]) -> None:
    """Three workers and the sweep, in any order."""
    await tracking.sql("TRUNCATE event_tracking.queue_tasks, event_tracking.outbox CASCADE")
    tracking.queue._jitter = lambda: 0.0
    model, real, begun = Model(), Real(tracking), tracking.clock()
    task_id = await tracking.add()
    for name, who in story:
        assert await real.step(name, who) is model.step(name, who), name
        row = await tracking.task(task_id)
        held = model.holder is not None
        assert (row["status"] == "running", row["finished_at"] is not None) == (held, model.over)
        assert row["lease_until"] == (begun + timedelta(seconds=model.until) if held else None)
    assert len(await tracking.completed()) == int(model.over)
