"""Rate limits, counted in Redis for all the gateway's processes together.

The algorithm is GCRA (the generic cell rate algorithm, ITU-T I.371): one number per key, the time at which its
bucket would be full again. Requests of one key that come while Redis is being asked share the next question.
Without Redis nothing is refused: a limit protects the platform, and shops must not wait for it.
"""

import asyncio
import contextvars
import hashlib
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from loyalnest.api_gateway.metrics import LIMITS_SKIPPED
from loyalnest.kit.breaker import Breaker
from loyalnest.kit.errors import RateLimited

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 0.25
"""Longest wait for Redis."""
BURST_SECONDS: Final = 10
"""How many seconds' worth of requests may come at once."""

_MINUTE: Final = 60_000_000  # in microseconds, the script's unit

# Keeps the time `due` when the key's bucket is full again: a request moves it by one interval, and must not bring it
# more than `burst` intervals before now. Redis's clock is the only one that all processes share.
SCRIPT: Final = """
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local granted = math.max(0, math.min(wanted, burst + math.floor((now - due) / interval)))
if granted > 0 then
  due = due + granted * interval
  redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
end
local wait = 0
if granted < wanted then wait = math.max(0, math.ceil(due - (burst - 1) * interval - now)) end
return {granted, wait}
"""
_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests a minute, of which `BURST_SECONDS` worth (at least one) may come at once."""

    per_minute: int

    @property
    def interval(self) -> float:
        """Microseconds between two requests that come evenly."""
        return _MINUTE / self.per_minute

    @property
    def burst(self) -> int:
        """Requests that a rested key may make at once."""
        return max(1, self.per_minute * BURST_SECONDS // 60)


class Limiter:
    """Counts requests per merchant and endpoint, under `{prefix}rate_limit:{merchant_id}:{endpoint}`."""

    def __init__(self, redis: "Redis", prefix: str = "", breaker: Breaker | None = None) -> None:
        self._redis: Any = redis
        self._prefix = prefix
        self._breaker = breaker or Breaker()
        self._waiting: dict[str, list[asyncio.Future[float]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def count(self, merchant_id: str, endpoint: str, limit: Limit) -> None:
        """Count one request. Raises RateLimited, with the seconds to wait, if it is one too many."""
        wait = await self._ask(f"{self._prefix}rate_limit:{merchant_id}:{endpoint}", limit)
        if wait > 0:
            raise RateLimited(
                f"More than {limit.per_minute} requests a minute to {endpoint}; try again in {wait:.1f} seconds.", wait
            )

    async def _ask(self, key: str, limit: Limit) -> float:
        """Seconds to wait, 0 if the request may go on."""
        waiting = self._waiting.get(key)
        if waiting is None and not self._breaker.allows():
            LIMITS_SKIPPED.inc()
            return 0.0
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if waiting is not None:
            waiting.append(answer)
        else:
            self._waiting[key] = [answer]
            # in a context of its own: it serves others than the one who happened to be the first
            task = asyncio.create_task(self._send(key, limit), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _send(self, key: str, limit: Limit) -> None:
        """Ask for all that wait for `key`, until nobody does."""
        while group := self._waiting[key]:
            self._waiting[key] = []
            granted, wait = await self._take(key, limit, len(group))
            for place, answer in enumerate(group):
                if not answer.done():  # its caller may have gone away
                    answer.set_result(0.0 if place < granted else max(wait, 0.001))
        del self._waiting[key]

    async def _take(self, key: str, limit: Limit, wanted: int) -> tuple[int, float]:
        arguments = (1, key, limit.interval, limit.burst, wanted)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                try:
                    granted, microseconds = await self._redis.evalsha(_SHA, *arguments)
                except NoScriptError:
                    granted, microseconds = await self._redis.eval(SCRIPT, *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            LIMITS_SKIPPED.inc(wanted)
            if self._breaker.failed():
                log.warning("limits.redis_away", error=type(error).__name__)
            return wanted, 0.0
        if self._breaker.succeeded():
            log.info("limits.redis_back")
        return int(granted), int(microseconds) / 1_000_000
