"""The script in a real Redis against GCRA written another way, with exact fractions."""

import asyncio
from fractions import Fraction

import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalnest.api_gateway.limits import SCRIPT, Limit

# The model's Redis time is passed in, so that runs are exact: TIME is replaced, and nothing else.
AT = SCRIPT.replace("redis.call('TIME')", "{math.floor(ARGV[4] / 1000000), ARGV[4] % 1000000}")
START = 1_795_000_000_000_000


class Model:
    """A bucket that holds `burst` and refills by one each interval: the same rule, told the other way round."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.level = Fraction(limit.burst)
        self.at = START

    def take(self, now: int, wanted: int) -> int:
        refilled = Fraction(now - self.at) * self.limit.per_minute / 60_000_000
        self.level = min(Fraction(self.limit.burst), self.level + refilled)
        self.at = now
        granted = min(wanted, int(self.level))
        self.level -= granted
        return granted


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([1, 6, 60, 600, 6_000, 120_000]),
    st.lists(st.tuples(st.integers(0, 30_000_000), st.integers(1, 30)), min_size=1, max_size=25),
)
def _agrees(client: "redis.Redis", per_minute: int, requests: list[tuple[int, int]]) -> None:
    client.flushall()
    limit, model, now = Limit(per_minute), Model(Limit(per_minute)), START
    for pause, wanted in requests:
        now += pause
        granted, wait = client.eval(AT, 1, "k", limit.interval, limit.burst, wanted, now)
        assert granted == model.take(now, wanted)
        if granted < wanted:
            assert wait > 0
            assert model.level + Fraction(wait * limit.per_minute, 60_000_000) >= 1
            assert model.level + Fraction((wait - 2) * limit.per_minute, 60_000_000) < 1
    assert client.pttl("k") <= 11_000 or per_minute < 60


async def test_the_script_is_gcra(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        await asyncio.to_thread(_agrees, client)


async def test_the_script_by_redis_own_clock(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        limit = Limit(60)
        granted = [client.eval(SCRIPT, 1, "k", limit.interval, limit.burst, 4)[0] for _ in range(4)]
        assert granted == [4, 4, 2, 0]
        assert 9_000 < client.pttl("k") <= 10_001
