"""The maths of a limit, the breaker, and one question for all that wait."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from loyalnest.api_gateway.limits import Limit, Limiter
from loyalnest.kit.breaker import Breaker
from loyalnest.kit.errors import RateLimited


@pytest.mark.parametrize(
    ("per_minute", "interval", "burst"),
    [(60, 1_000_000, 10), (120_000, 500, 20_000), (1, 60_000_000, 1), (7, 60e6 / 7, 1)],
)
def test_a_limit_in_the_scripts_units(per_minute: int, interval: float, burst: int) -> None:
    limit = Limit(per_minute)
    assert (limit.interval, limit.burst) == (interval, burst)


def test_the_breaker_lets_one_caller_try_after_each_pause() -> None:
    now = 0.0
    breaker = Breaker(pause=2.0, monotonic=lambda: now)
    assert breaker.allows()
    assert breaker.failed()
    assert not breaker.failed()
    assert not breaker.allows()
    now = 2.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed()
    now = 4.0
    assert breaker.allows()
    assert breaker.succeeded()
    assert not breaker.succeeded()
    assert breaker.allows()


class Script:
    """Stands for Redis: grants what is left, and is as slow or as broken as the test wants."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.asked: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def evalsha(self, _sha: str, _keys: int, _key: str, _interval: float, _burst: int, wanted: int) -> Any:
        self.asked.append(wanted)
        await self.gate.wait()
        if self.error:
            raise self.error
        granted = min(wanted, self.left)
        self.left -= granted
        return [granted, 0 if granted == wanted else 1_500_000]


async def outcomes(limiter: Limiter, count: int) -> list[float]:
    async def one() -> float:
        try:
            await limiter.count("acme", "x", Limit(60))
        except RateLimited as error:
            return error.retry_after
        return 0.0

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def test_those_that_wait_share_the_next_question() -> None:
    script = Script(left=7)
    script.gate.clear()
    waiting = asyncio.create_task(outcomes(Limiter(script), 10))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    script.gate.set()
    assert await waiting == [0.0] * 7 + [1.5] * 3
    assert sum(script.asked) == 10
    assert len(script.asked) <= 2


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    script = Script(left=10)
    script.gate.clear()
    limiter = Limiter(script)  # type: ignore[arg-type]
    first = asyncio.create_task(limiter.count("acme", "x", Limit(60)))
    second = asyncio.create_task(limiter.count("acme", "x", Limit(60)))
    await asyncio.sleep(0.01)
    first.cancel()
    script.gate.set()
    await second
    assert limiter._waiting == {}


async def test_a_dead_redis_refuses_nobody_and_is_left_alone() -> None:
    script = Script(left=0)
    script.error = RedisConnectionError("away")
    now = 0.0
    limiter = Limiter(script, breaker=Breaker(pause=2.0, monotonic=lambda: now))  # type: ignore[arg-type]
    for _ in range(20):
        assert await outcomes(limiter, 1) == [0.0]
    assert len(script.asked) == 1
    now = 2.0
    assert await outcomes(limiter, 1) == [0.0]
    assert len(script.asked) == 2


async def test_a_redis_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.api_gateway.limits.ANSWER_SECONDS", 0.05)
    script = Script(left=0)
    script.gate.clear()
    limiter = Limiter(script)  # type: ignore[arg-type]
    async with asyncio.timeout(1):
        for _ in range(20):
            assert await outcomes(limiter, 1) == [0.0]
    assert len(script.asked) == 1
