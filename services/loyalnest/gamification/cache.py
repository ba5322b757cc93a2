"""Customers' badges in Redis, under `{prefix}badge:{merchant_id}:{customer_id}`, for hot reads.

PostgreSQL holds the truth: without Redis everything is read there. A reader that finds nothing leaves a mark of its
own, and what it then read is kept only if the mark is still there. Whoever changes a customer deletes the key after the
commit, and the mark with it, so no reader keeps what was true before. If Redis could not be told of a change, what it
holds is at most `SECONDS` old.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from loyalnest.gamification.models import Key, Progress
from loyalnest.kit.breaker import Breaker
from loyalnest.kit.events import new_id

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 0.25
"""Longest wait for Redis."""
SECONDS: Final = 60
"""How long a customer's badges are kept."""
MARK_SECONDS: Final = 10
"""How long a reader may take."""

KEEP: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return false
"""
_MARK: Final = b"reading "

T = TypeVar("T")

_decoder = msgspec.json.Decoder(list[Progress])
_encoder = msgspec.json.Encoder(decimal_format="string")


class BadgeCache:
    """Reads through Redis. Never raises because of it."""

    def __init__(self, redis: "Redis", prefix: str = "", breaker: Breaker | None = None) -> None:
        self._redis: Any = redis
        self._prefix = prefix
        self._breaker = breaker or Breaker()

    async def get(self, key: Key, read: Callable[[], Awaitable[list[Progress]]]) -> list[Progress]:
        """The customer's badges, from Redis or else by `read`."""
        name, mark = self._name(key), _MARK + new_id().bytes
        found = await self._ask(lambda: self._redis.get(name))
        if found is not None and not found.startswith(_MARK):
            try:
                return _decoder.decode(found)
            except msgspec.MsgspecError:  # of another version of this code
                await self.forget([key])
                return await read()
        marked = found is None and await self._ask(lambda: self._redis.set(name, mark, ex=MARK_SECONDS, nx=True))
        badges = await read()
        if marked:
            await self._ask(lambda: self._redis.eval(KEEP, 1, name, mark, _encoder.encode(badges), SECONDS))
        return badges

    async def forget(self, keys: Sequence[Key]) -> None:
        """Drop what is kept of the customers, after the commit that changed them."""
        names = [self._name(key) for key in keys]
        if names:
            await self._ask(lambda: self._unlink(names))

    async def _unlink(self, names: Sequence[str]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:  # a key each: they may lie on several nodes
            for name in names:
                pipeline.unlink(name)
            await pipeline.execute()

    def _name(self, key: Key) -> str:
        merchant_id, customer_id = key
        return f"{self._prefix}badge:{merchant_id}:{customer_id}"

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answers; None without an answer."""
        if not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await ask()
        except (RedisError, OSError, TimeoutError) as error:
            if self._breaker.failed():
                log.warning("badges.redis_away", error=type(error).__name__)
            return None
        if self._breaker.succeeded():
            log.info("badges.redis_back")
        return answer
