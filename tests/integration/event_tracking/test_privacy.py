"""Privacy requests: a redacted customer gets no message that waits or comes late, and nothing says whose a task was."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked, exported
from integration.event_tracking.support import START, EventTracking, Script, until_done
from loyalnest.event_tracking.models import NotTaken, Unknown
from loyalnest.event_tracking.privacy_repository import TasksKept
from loyalnest.event_tracking.task_queue import Round
from loyalnest.kit.errors import PreconditionFailed
from loyalnest.kit.privacy import PrivacyRequests

ANNA = 7_770_001_110_777
"""An id that nothing else in a row happens to contain."""


async def traces(tracking: EventTracking, merchant_id: str = "acme") -> set[str]:
    """Tables with a row that names Anna, but for the list of whom to send nothing."""
    found = set()
    for name in ("queue_tasks", "task_attempts"):
        query = f"SELECT FROM event_tracking.{name} t WHERE merchant_id = $1 AND t::text LIKE '%' || $2 || '%'"
        if await tracking.sql(query, merchant_id, str(ANNA)):
            found.add(name)
    return found


async def live(tracking: EventTracking, merchant_id: str = "acme") -> dict[str, Any]:
    """Give Anna a task of every status."""
    tasks = {"done": await tracking.add(merchant_id, customer_id=ANNA)}
    await tracking.worker_with(Script().handler).run_due()
    tasks["tried"] = await tracking.add(merchant_id, customer_id=ANNA)
    await tracking.worker_with(Script(NotTaken("busy", 9000)).handler).run_due()
    tasks["later"] = await tracking.add(merchant_id, customer_id=ANNA, send_after=START + timedelta(days=1))
    return tasks


async def test_what_waits_is_cancelled_and_erased_and_nothing_says_whose_it_was(tracking: EventTracking) -> None:
    mine, others = await live(tracking), await live(tracking, "globex")
    other = await tracking.add(customer_id=5)
    made = await tracking.call(
        "CreateTask",
        kind="email",
        unique_key=f"hello-{ANNA}",
        customer_id=ANNA,
        reason="hello",
        message={"to": "anna@example.com", "text": "Hello"},
    )
    before = len(await tracking.completed())
    (confirmed,) = await tracking.ask(asked("customer_redact", ANNA, "acme"))
    assert confirmed.counts == {"tasks": 4, "cancelled": 3}
    assert await traces(tracking) == set()
    for name, status in (("done", "done"), ("tried", "cancelled"), ("later", "cancelled")):
        row = await tracking.task(mine[name])
        assert (row["status"], row["sealed"], row["customer_id"]) == (status, None, None)
    rows = await tracking.sql("SELECT status, unique_key FROM event_tracking.queue_tasks WHERE reason = 'hello'")
    assert [tuple(row) for row in rows] == [("cancelled", made.task.task_id)]
    told = (await tracking.completed())[before:]
    assert {(each.outcome, each.error) for each in told} == {("cancelled", "Its customer was redacted.")}
    assert len(told) == 3
    assert await traces(tracking, "globex") == {"queue_tasks"}
    script = Script()
    tracking.clock.advance(days=2)
    await tracking.worker_with(script.handler).run_due()
    assert set(script.asked) == {other, others["tried"], others["later"]}


async def test_what_comes_late_is_not_sent_and_what_is_made_later_is(tracking: EventTracking) -> None:
    late = [await tracking.told(customer_id=ANNA, created_at=START + timedelta(seconds=n)) for n in (0, 60)]
    tracking.clock.advance(seconds=60)
    await tracking.ask(asked("customer_redact", ANNA, "acme"))
    tracking.clock.advance(days=3)
    await tracking.jobs.prune()  # the mark stays as long as anything may come late
    await tracking.handle(*late, await tracking.told("globex", customer_id=ANNA, created_at=START))
    rows = await tracking.sql("SELECT merchant_id FROM event_tracking.queue_tasks")
    assert [row["merchant_id"] for row in rows] == ["globex"]
    await tracking.handle(await tracking.told(customer_id=ANNA))
    assert len(await tracking.sql("SELECT FROM event_tracking.queue_tasks")) == 2


async def test_a_message_that_is_being_sent_goes_its_way_once(tracking: EventTracking) -> None:
    handler = Script().handler
    tasks = [await tracking.add(customer_id=ANNA) for _ in range(3)]
    claimed, failing, ending = await tracking.queue.claim("email", 3, Round())
    sent = [await tracking.queue.begin(each, handler) for each in (failing, ending)]
    (confirmed,) = await tracking.ask(asked("customer_redact", ANNA, "acme"))
    assert confirmed.counts == {"tasks": 3, "cancelled": 1}
    assert await tracking.queue.begin(claimed, handler) is None
    assert await tracking.queue.end(failing, "script", Unknown("?"), sent[0])
    row = await tracking.task(failing.task_id)
    assert (row["status"], row["error"]) == ("cancelled", "Its customer was redacted."), "it is not tried again"
    tracking.clock.advance(hours=1)
    assert await tracking.queue.take_from_the_dead() == 1
    assert (await tracking.task(ending.task_id))["status"] == "cancelled"
    assert await tracking.worker_with(handler).run_due() == 0
    assert await traces(tracking) == set()
    assert len(await tracking.completed()) == len(tasks)


async def test_a_redaction_and_a_message_at_the_same_time_do_not_miss_each_other(tracking: EventTracking) -> None:
    for customer_id in range(1, 13):
        event = await tracking.told(customer_id=customer_id, created_at=START - timedelta(seconds=1))
        request = asked("customer_redact", customer_id, "acme")
        await asyncio.gather(
            until_done(lambda: tracking.events.handle([event])),  # noqa: B023 - run at once
            until_done(lambda: tracking.privacy.handle([request])),  # noqa: B023
        )
    rows = await tracking.sql("SELECT status, customer_id FROM event_tracking.queue_tasks")
    assert {tuple(row) for row in rows} <= {("cancelled", None)}
    assert len(await tracking.published("gdpr_request.confirmed")) == 12


async def test_a_request_is_done_once_and_an_unknown_customer_is_confirmed(tracking: EventTracking) -> None:
    event = asked("customer_redact", ANNA, "acme")
    (confirmed,) = await tracking.ask(event, event)
    assert confirmed.counts == {"tasks": 0, "cancelled": 0}
    assert len(await tracking.ask(event)) == 1


async def test_a_shop_that_is_killed_anywhere_is_redacted_whole(
    tracking: EventTracking, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.event_tracking.privacy_repository.CHUNK", 2)
    other = await tracking.add("globex")
    shops = partly = 0
    async for database in killed_before_each_statement(tracking.database, migrated):
        shops += 1
        for customer_id in range(1, 5):
            await tracking.add(customer_id=customer_id)
        victim = PrivacyRequests(
            database,
            tracking.outbox,
            tracking.keys,
            tracking.clock,
            TasksKept(EventTracking(database, tracking.clock, tracking.store).queue),
            tracking.privacy._read,
        )
        request = asked("shop_redact", None, "acme")
        await until_death(lambda: victim.handle([request]))  # noqa: B023 - run at once
        left = await tracking.sql("SELECT FROM event_tracking.queue_tasks WHERE merchant_id = 'acme'")
        partly += 0 < len(left) < 4
        confirmed = (await tracking.ask(request))[-1]
        assert confirmed.counts == {"tasks": 4, "cancelled": 4}
        for table in ("queue_tasks", "task_attempts", "recipients"):
            assert await tracking.sql(f"SELECT FROM event_tracking.{table} WHERE merchant_id = 'acme'") == []
        assert len(await tracking.completed()) == 4 * shops
    assert partly > 3, "no kill fell between two chunks"
    assert (await tracking.task(other))["status"] == "waiting"


async def test_an_export_says_everything_and_leaves_sealed(tracking: EventTracking) -> None:
    tasks = await live(tracking)
    await tracking.add(customer_id=5)
    confirmed = await tracking.ask(asked("customer_data", ANNA, "acme"), asked("customer_data", 12345, "acme"))
    assert (confirmed[1].sealed, set(confirmed[1].counts.values())) == (b"", {0})
    assert b"anna" not in confirmed[0].sealed
    document = exported(await tracking.keys.for_merchant("acme"), confirmed[:1])
    assert (document["service"], document["customer_id"]) == ("event_tracking", str(ANNA))
    assert {each["task_id"]: (each["message"] or {}).get("to") for each in document["tasks"]} == {
        str(tasks["done"]): None,
        str(tasks["tried"]): "anna@example.com",
        str(tasks["later"]): "anna@example.com",
    }
    assert [each["outcome"] for each in document["attempts"]] == ["delivered", "not_taken"]
    assert confirmed[0].counts == {"tasks": 3, "attempts": 2}
    tracking.store.destroy("acme")
    with pytest.raises(PreconditionFailed):
        await tracking.privacy.handle([asked("customer_data", ANNA, "acme")])


async def test_keys_that_rotate_are_followed(tracking: EventTracking) -> None:
    await tracking.add(customer_id=ANNA)
    tracking.store.rotate("acme")
    await tracking.keys.refresh("acme")
    await tracking.add(customer_id=ANNA)
    (confirmed,) = await tracking.ask(asked("customer_data", ANNA, "acme"))
    document = exported(await tracking.keys.for_merchant("acme"), [confirmed])
    assert {each["message"]["to"] for each in document["tasks"]} == {"anna@example.com"}
    script = Script()
    assert await tracking.worker_with(script.handler).run_due() == 2
    assert len(script.asked) == 2
