"""The cost bucket of Shopify's GraphQL Admin API, kept here as well so that calls wait instead of being refused.

Source: shopify.dev "API limits": a leaky bucket per app and shop. A call needs its requested cost in the bucket; when
it ends, what it did not use goes back. The bucket refills by 100, 200, 1,000 or 2,000 points a second by the shop's
plan and holds 20 seconds' worth. Every answer tells its state, which is believed over the reckoning here.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from loyalnest.kit.errors import RateLimited

_FIRST_RATE, _FIRST_MAXIMUM = 100.0, 2000.0  # the smallest plan, until Shopify tells


class ThrottleStatus(msgspec.Struct, rename="camel"):
    """Shopify's account of the bucket, in cost points and points a second."""

    maximum_available: float
    currently_available: float
    restore_rate: float


@dataclass(slots=True)
class _State:
    available: float
    maximum: float
    rate: float
    at: float


class CostBucket:
    """One (app, shop) bucket. Calls are let through in the order in which they came."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._state = _State(_FIRST_MAXIMUM, _FIRST_MAXIMUM, _FIRST_RATE, monotonic())
        self._in_flight = 0.0
        self._turn = asyncio.Lock()

    def available(self) -> float:
        """Cost points there should be now."""
        state, now = self._state, self._monotonic()
        state.available = min(state.maximum, state.available + (now - state.at) * state.rate)
        state.at = now
        return state.available

    def seconds_until(self, cost: float) -> float:
        """Seconds until the bucket should hold `cost`; a cost above its size is let in when it is full."""
        return max(0.0, (min(cost, self._state.maximum) - self.available()) / self._state.rate)

    async def take(self, cost: float, deadline: float) -> None:
        """Wait until `cost` is there and take it; `give_back` or `settle` must follow.

        Raises RateLimited, with the seconds to wait, if that would be after `deadline` (monotonic, seconds).
        """
        try:
            async with asyncio.timeout_at(self._on_loop(deadline)):
                await self._turn.acquire()
        except TimeoutError:
            raise throttled(self.seconds_until(cost)) from None
        try:
            while (wait := self.seconds_until(cost)) > 0:
                if self._monotonic() + wait > deadline:
                    raise throttled(wait)
                await asyncio.sleep(wait)
            self._state.available -= cost
            self._in_flight += cost
        finally:
            self._turn.release()

    def settle(self, cost: float, status: ThrottleStatus | None) -> None:
        """The call for `cost` has ended; `status` is what Shopify said of the bucket, if it said anything.

        Calls still under way may or may not be in Shopify's figure: they are taken off, for the figure to be safe.
        """
        self._in_flight = max(0.0, self._in_flight - cost)
        if status is None or status.restore_rate <= 0:
            return
        available = max(0.0, status.currently_available - self._in_flight)
        self._state = _State(available, status.maximum_available, status.restore_rate, self._monotonic())

    def drained(self) -> None:
        """Shopify refused without telling the state (HTTP 429): reckon with an empty bucket."""
        self._state.available, self._state.at = 0.0, self._monotonic()

    def _on_loop(self, deadline: float) -> float:
        return asyncio.get_running_loop().time() + deadline - self._monotonic()


class CostBuckets:
    """The buckets of one process, by app and shop. Other processes' calls show in Shopify's figures only."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], CostBucket] = {}

    def of(self, api_key: str, shop: str) -> CostBucket:
        """The bucket of the app `api_key` at `shop`."""
        return self._buckets.setdefault((api_key, shop), CostBucket())


def throttled(seconds: float) -> RateLimited:
    """The error of a call that was certainly not made."""
    return RateLimited(
        "Shopify's limit for this shop is used up; nothing was done, try again later.", round(seconds, 3)
    )
