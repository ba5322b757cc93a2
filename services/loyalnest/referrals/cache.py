"""Referrals' statuses in Redis, at `{prefix}referral:{merchant_id}:{referral_id}`, for hot reads.

PostgreSQL is the truth: what is not here is read there and put here. An entry gives way only to a later version of the
same referral, so that a slow reader cannot put back what a writer has changed since; and it lives a minute at most,
which bounds what a write that Redis missed can leave behind. Each key stands alone: no script touches two.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from loyalnest.kit.breaker import Breaker
from loyalnest.referrals.models import Referral

log = structlog.get_logger(__name__)

LIVES_SECONDS: Final = 60
ANSWER_SECONDS: Final = 0.25
"""Longest wait for Redis."""

_PUT: Final = """
local held = redis.call('GET', KEYS[1])
if held then
  local known, entry = pcall(cjson.decode, held)
  local version = known and type(entry) == 'table' and entry.version
  if type(version) == 'number' and version > tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder(Referral)


class StatusCache:
    """Never raises: without Redis nothing is found and nothing kept."""

    def __init__(self, redis: "Redis", prefix: str = "", breaker: Breaker | None = None) -> None:
        self._redis: Any = redis
        self._prefix = prefix
        self._breaker = breaker or Breaker()

    async def get(self, merchant_id: str, referral_id: UUID) -> Referral | None:
        """The referral, if it is here."""
        if not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._redis.get(self._key(merchant_id, referral_id))
            self._succeeded()
            return None if found is None else _decoder.decode(found)
        except msgspec.MsgspecError:  # of another release
            return None
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return None

    async def put(self, referrals: Iterable[Referral]) -> None:
        """Keep the referrals as they are now, unless later versions are here."""
        kept = list(referrals)
        if not kept or not self._breaker.allows():
            return
        pipeline = self._redis.pipeline(transaction=False)
        for each in kept:
            key = self._key(each.merchant_id, each.referral_id)
            pipeline.eval(_PUT, 1, key, each.version, _encoder.encode(each), LIVES_SECONDS)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await pipeline.execute()
            self._succeeded()
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)

    def _key(self, merchant_id: str, referral_id: UUID) -> str:
        return f"{self._prefix}referral:{merchant_id}:{referral_id}"

    def _succeeded(self) -> None:
        if self._breaker.succeeded():
            log.info("referrals.redis_back")

    def _failed(self, error: Exception) -> None:
        if self._breaker.failed():
            log.warning("referrals.redis_away", error=type(error).__name__)
