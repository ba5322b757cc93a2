"""The pace at which a provider is called.

The algorithm is GCRA (the generic cell rate algorithm, ITU-T I.371) with no burst: calls are spread evenly. All
processes share one reckoning in Redis; while it is away, each keeps the pace by itself.
"""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 0.25
"""Longest wait for Redis."""
AWAY_SECONDS: Final = 5.0
"""How long Redis is left alone after it failed."""

# Gives the caller the next free moment, and moves it on by one interval, unless that moment is further away than the
# caller will wait. Redis's clock is the only one that all processes share. Times are in microseconds.
SCRIPT: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if due - now <= tonumber(ARGV[2]) then
  local after = due + tonumber(ARGV[1])
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
end
return math.ceil(due - now)
"""


class Pace:
    """So many calls a second to one provider, which may also ask for a break."""

    def __init__(
        self,
        name: str,
        per_second: float,
        redis: "Redis | None" = None,
        prefix: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = f"{prefix}task_pace:{name}"
        self._interval = 1.0 / per_second
        self._redis: Any = redis
        self._monotonic = monotonic
        self._due = self._held_until = self._away_until = -math.inf

    def hold(self, seconds: float) -> None:
        """Call nobody for so long, at least one interval: the provider asked for it."""
        self._held_until = max(self._held_until, self._monotonic() + max(seconds, self._interval))

    def blocked(self) -> float:
        """Seconds for which the provider asked to be left alone."""
        return max(0.0, self._held_until - self._monotonic())

    async def wait(self, most: float, stopping: asyncio.Event) -> float:
        """Wait for the caller's turn, and return 0; or at once the seconds to wait, if they are more than `most`.

        It returns early when `stopping` is set.
        """
        held = self.blocked()
        delay = held if held > most else max(held, await self._take(most))
        if delay > most:
            return delay
        if delay > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), delay)
        return 0.0

    async def _take(self, most: float) -> float:
        """Seconds until the caller's turn, which is taken if that is at most `most`."""
        if self._redis is not None and self._monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    microseconds = await self._redis.eval(
                        SCRIPT, 1, self._key, round(self._interval * 1e6), round(most * 1e6)
                    )
                return int(microseconds) / 1e6
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("tasks.pace_alone", error=type(error).__name__)
                self._away_until = self._monotonic() + AWAY_SECONDS
        now = self._monotonic()
        delay = max(0.0, self._due - now)
        if delay <= most:
            self._due = now + delay + self._interval
        return delay
