"""A program moves into the pool and out of it: in steps that any operator can take up, and never twice."""

import asyncio
import random
from typing import Any

from fixtures.kubelet import Kubelet, jobs_succeed
from fixtures.operating import Object, Operator, World, until
from fixtures.outside import Outside
from loyalnest_operator import names
from loyalnest_operator.kinds import JOB, NAMESPACE, PROGRAM, SECRET

AT_ONCE = {"LOYALNEST_OPERATOR_MOVE_KEEP_SECONDS": "0"}


async def make_pool(world: World) -> str:
    """The pool's namespace."""
    pool = world.name("pool")
    await world.make_namespace(pool)
    return pool


def waiting_for(kind: str) -> Any:
    """Pods of Jobs succeed, but for those of one kind."""

    def ending(pod: dict[str, Any]) -> tuple[int, str] | None:
        return None if pod["metadata"]["name"].startswith(f"{kind}-") else jobs_succeed(pod)

    return ending


async def status(world: World, program: str) -> Object:
    """A program's status."""
    found: Object = (await world.live(PROGRAM, program))["status"]
    return found


async def jobs(world: World, program: str, namespace: str, kind: str = "") -> list[str]:
    """Names of a program's Jobs."""
    found = await world.cluster.all_of(JOB, namespace, f"{names.PROGRAM}={program}")
    return [each["metadata"]["name"] for each in found if each["metadata"]["name"].startswith(kind)]


async def until_cleared(world: World, program: str, tier: str) -> None:
    """Wait until a program is in its new place, and the old one is cleared."""

    async def check() -> bool:
        found = await status(world, program)
        return found.get("tier") == tier and "leftBehind" not in found

    await until(check)
    await world.until(program, "Ready")


async def test_out_of_the_pool_and_back_step_by_step(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name, pool = world.name(), await make_pool(world)
    own = names.namespace(name)
    await world.make(name, tier="Pooled")
    async with world.operator(LOYALNEST_OPERATOR_POOL_NAMESPACE=pool, **AT_ONCE) as operator:
        await world.until(name, "Ready")
        kubelet.ending = waiting_for("move")
        await world.change(name, tier="Compact")
        told = await world.until(name, "Progressing", reason="Moving")
        assert "503" in told["message"]
        # The pool's own preparation is gone: only so would a way back open the merchant again.
        assert await jobs(world, name, pool, "prepare-") == []
        (job,) = await jobs(world, name, pool)
        assert await outside.has_database(name)
        assert (await status(world, name))["tier"] == "Pooled"
        assert await world.cluster.get(NAMESPACE, own) is None
        place = await world.live(SECRET, f"{name}-place", pool)
        assert {"LOYALNEST_DATABASE_URL", "LOYALNEST_ENCRYPTION_KEYS", "LOYALNEST_TOPIC_PREFIX"} <= set(place["data"])

        operator.kill()
        await world.end_lead()
        operator.start()
        await operator.until_leading()
        await operator.until_quiet()
        assert await jobs(world, name, pool) == [job]
        kubelet.ending = waiting_for("clear")
        await world.until(name, "Progressing", reason="Clearing")
        assert (await world.conditions(name))["Ready"]["status"] == "True"  # it serves meanwhile
        found = await status(world, name)
        assert (found["tier"], found["leftBehind"]["tier"]) == ("Compact", "Pooled")
        assert len(await jobs(world, name, pool, "clear-")) == 1
        kubelet.ending = jobs_succeed
        await until_cleared(world, name, "Compact")
        quiet = await operator.until_quiet()
        assert await jobs(world, name, pool) == []
        assert await world.cluster.all_of(SECRET, pool, f"{names.PROGRAM}={name}") == []
        await outside.mark(name)

        await world.change(name, tier="Pooled")
        await until_cleared(world, name, "Pooled")
        assert await operator.until_quiet() > quiet
        assert await world.cluster.get(NAMESPACE, own) is None
        assert not await outside.has_database(name)
        assert await outside.topics(name) == set()
        assert "database" not in await status(world, name)
        assert len(await jobs(world, name, pool)) == len(await jobs(world, name, pool, "prepare-")) == 1
        assert len(await world.told(name, "Moved")) == 2


async def test_a_move_that_fails_leaves_everything_where_it_was(world: World, kubelet: Kubelet) -> None:
    name, pool = world.name(), await make_pool(world)
    await world.make(name, tier="Pooled")

    def moves_fail(pod: dict[str, Any]) -> tuple[int, str] | None:
        is_move = pod["metadata"]["name"].startswith("move-")
        return (1, "Error: 3 events of tier.changed stay under way.") if is_move else jobs_succeed(pod)

    async with world.operator(LOYALNEST_OPERATOR_POOL_NAMESPACE=pool, LOYALNEST_OPERATOR_RETRY_SECONDS="5"):
        await world.until(name, "Ready")
        (before,) = await jobs(world, name, pool)
        kubelet.ending = moves_fail
        await world.change(name, tier="Distributed")
        told = await world.until(name, "Degraded", reason="MoveFailed")
        assert "3 events of tier.changed" in told["message"]
        assert "nothing of it is lost" in told["message"]
        assert "Set spec.tier to Pooled" in told["message"]
        assert await jobs(world, name, pool, "prepare-") == []
        await world.change(name, tier="Pooled")
        await world.until(name, "Ready")
        assert await jobs(world, name, pool) == [before]  # made again, it has opened the merchant again


async def test_the_old_place_is_kept_for_a_while(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name, pool = world.name(), await make_pool(world)
    await world.make(name)
    async with world.operator(LOYALNEST_OPERATOR_POOL_NAMESPACE=pool) as operator:
        await world.until(name, "Ready")
        await outside.mark(name)
        await world.change(name, tier="Pooled")

        async def has_moved() -> bool:
            return (await status(world, name)).get("tier") == "Pooled"

        await until(has_moved)
        told = await world.until(name, "Progressing", "False", reason="OldPlaceKept")
        assert "cleared at" in told["message"]
        assert (await world.conditions(name))["Ready"]["status"] == "True"
        quiet = await operator.until_quiet()
        await world.change(name, tier="Compact")  # not before the place it would go to is cleared
        told = await world.until(name, "Progressing", reason="Moving")
        assert "cleared first" in told["message"]
        assert await outside.is_marked(name)
        assert await operator.until_quiet() <= quiet + 2
        assert await jobs(world, name, pool, "move-") == []


async def test_operators_killed_at_every_step_of_a_move(world: World, kubelet: Kubelet, outside: Outside) -> None:
    dice, kills = random.Random(7), 0
    pool = await make_pool(world)
    leaving, coming = world.name("leaving"), world.name("coming")
    wanted = {leaving: "Compact", coming: "Pooled"}
    await world.make(leaving, tier="Pooled")
    await world.make(coming, tier="Compact")
    async with world.operator(LOYALNEST_OPERATOR_POOL_NAMESPACE=pool, **AT_ONCE) as operator:
        for name in wanted:
            await world.until(name, "Ready")
        await outside.mark(coming)
        watching = [asyncio.create_task(watch_the_order(world, outside, pool, name)) for name in wanted]
        for name, tier in wanted.items():
            await world.change(name, tier=tier)
        while [name for name, tier in wanted.items() if not await has_settled(world, name, tier)]:
            operator.kill()
            kills += 1
            await world.end_lead()
            operator.start()
            await some_writes(operator, world, wanted, dice.randint(3, 9))
    assert kills > 5
    for task in watching:
        task.cancel()
    results = await asyncio.gather(*watching, return_exceptions=True)
    assert [each for each in results if not isinstance(each, asyncio.CancelledError)] == []
    assert not await outside.has_database(coming)
    assert await outside.has_database(leaving)
    assert await world.cluster.get(NAMESPACE, names.namespace(coming)) is None


async def has_settled(world: World, program: str, tier: str) -> bool:
    """Whether a program is in its new place, and the old one is cleared."""
    found = await status(world, program)
    ready = {each["type"]: each["status"] for each in found["conditions"]}["Ready"]
    return found.get("tier") == tier and "leftBehind" not in found and ready == "True"


async def some_writes(operator: Operator, world: World, wanted: dict[str, str], times: int) -> None:
    """Return as soon as the operator has written so many times, or nothing is left to be done."""

    async def check() -> bool:
        done = [await has_settled(world, name, tier) for name, tier in wanted.items()]
        return all(done) or await operator.writes() >= times

    await until(check)


async def watch_the_order(world: World, outside: Outside, pool: str, program: str) -> None:
    """Nothing is prepared in the new place, nor cleared in the old, before the data has moved."""
    moved = False
    before = (await status(world, program))["tier"]
    new_place = names.namespace(program) if before == "Pooled" else pool
    while True:
        prepared = await jobs(world, program, new_place, "prepare-")
        cleared = await jobs(world, program, pool, "clear-")
        gone = before != "Pooled" and not await outside.has_database(program)
        # Asked after the others: what they show came after it.
        moved = moved or (await status(world, program)).get("tier") != before
        assert moved or not (prepared or cleared or gone)
        await asyncio.sleep(0.02)
