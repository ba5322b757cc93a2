"""The work queue."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loyalnest_operator.queue import Queue, Work


@asynccontextmanager
async def running(work: Work, workers: int = 4, longest_pause: float = 0.01) -> AsyncIterator[Queue]:
    queue = Queue(work, workers, longest_pause)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(check: asyncio.Event) -> None:
    await asyncio.wait_for(check.wait(), 20)


async def test_many_wishes_for_one_program_are_one_reconcile() -> None:
    done, begun = Counter[str](), asyncio.Event()

    async def work(name: str) -> None:
        done[name] += 1
        begun.set()

    async with running(work) as queue:
        for _ in range(50):
            queue.add("acme")
        await until(begun)
        await asyncio.sleep(0.05)
    assert done == {"acme": 1}


async def test_a_program_is_never_reconciled_twice_at_once_and_no_wish_is_lost() -> None:
    active, most, last = Counter[str](), Counter[str](), Counter[str]()
    wishes, settled = Counter[str](), asyncio.Event()
    names = [f"p{number}" for number in range(5)]

    async def work(name: str) -> None:
        seen = wishes[name]
        active[name] += 1
        most[name] = max(most[name], active[name])
        await asyncio.sleep(0.001)
        active[name] -= 1
        last[name] = seen
        if all(last[each] == 40 for each in names):
            settled.set()

    async with running(work) as queue:
        for _ in range(40):
            for name in names:
                wishes[name] += 1
                queue.add(name)
            await asyncio.sleep(0.0005)
        await until(settled)
    assert set(most.values()) == {1}


async def test_at_most_so_many_at_a_time() -> None:
    active = most = 0
    done: set[str] = set()
    all_done = asyncio.Event()

    async def work(name: str) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.002)
        active -= 1
        done.add(name)
        if len(done) == 30:
            all_done.set()

    async with running(work, workers=3) as queue:
        for number in range(30):
            queue.add(f"p{number}")
        await until(all_done)
    assert most == 3


async def test_a_failing_program_is_tried_again_and_holds_up_nobody() -> None:
    tries, well = Counter[str](), asyncio.Event()

    async def work(name: str) -> None:
        tries[name] += 1
        if name == "bad" and tries[name] < 5:
            raise ValueError("no")
        if tries["bad"] == 5 and tries["good"]:
            well.set()

    async with running(work, workers=1) as queue:
        queue.add("bad")
        queue.add("good")
        await until(well)
    assert tries == {"bad": 5, "good": 1}


async def test_pauses_grow_to_the_longest() -> None:
    async def work(_: str) -> None:
        return None

    queue = Queue(work, 1, 60.0)
    pauses = [queue._pause(failures) for failures in range(1, 40)]
    assert 0.5 <= pauses[0] <= 1.0
    assert 16.0 <= pauses[5] <= 32.0
    assert all(30.0 <= pause <= 60.0 for pause in pauses[8:])


async def test_a_reconcile_that_asks_for_another_look_gets_it() -> None:
    looks, twice = Counter[str](), asyncio.Event()

    async def work(name: str) -> float | None:
        looks[name] += 1
        if looks[name] == 2:
            twice.set()
            return None
        return 0.01

    async with running(work) as queue:
        queue.add("acme")
        await until(twice)
        await asyncio.sleep(0.05)
        assert len(queue) == 0
    assert looks == {"acme": 2}


async def test_the_age_of_what_waits_is_known() -> None:
    blocked = asyncio.Event()

    async def work(_: str) -> None:
        await blocked.wait()

    async with running(work, workers=1) as queue:
        queue.add("first")
        await asyncio.sleep(0.02)
        assert queue.oldest() == 0.0
        queue.add("second")
        queue.add("later", after=60)
        await asyncio.sleep(0.05)
        assert queue.oldest() >= 0.04
        assert len(queue) == 1
        blocked.set()
