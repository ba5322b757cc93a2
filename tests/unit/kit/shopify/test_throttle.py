"""The cost bucket: calls wait for their turn, and never longer than they may."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.errors import RateLimited
from loyalnest.kit.shopify.throttle import CostBucket, CostBuckets, ThrottleStatus


class Time:
    def __init__(self) -> None:
        self.now = 500.0

    def __call__(self) -> float:
        return self.now


def status(available: float, *, maximum: float = 1000, rate: float = 50) -> ThrottleStatus:
    return ThrottleStatus(maximum_available=maximum, currently_available=available, restore_rate=rate)


@given(st.floats(0, 1000), st.floats(1, 2000), st.floats(0, 3000), st.floats(0, 60))
def test_the_bucket_fills_at_its_rate_and_not_over_its_size(
    available: float, rate: float, cost: float, seconds: float
) -> None:
    clock = Time()
    bucket = CostBucket(clock)
    bucket.settle(0, status(available, rate=rate))
    clock.now += seconds
    assert bucket.available() == pytest.approx(min(1000, available + rate * seconds))
    wait = bucket.seconds_until(cost)
    clock.now += wait
    assert bucket.available() >= min(cost, 1000) - 1e-6


async def test_shopifys_figure_is_believed_less_what_is_under_way() -> None:
    clock = Time()
    bucket = CostBucket(clock)
    soon = clock.now + 1
    await bucket.take(10, soon)
    await bucket.take(30, soon)
    bucket.settle(10, status(500))
    assert bucket.available() == 470
    bucket.settle(30, status(480))
    assert bucket.available() == 480
    await bucket.take(10, soon)
    bucket.settle(10, None)  # no answer: what was taken stays taken
    assert bucket.available() == 470


async def test_a_wait_that_would_end_too_late_is_refused_at_once() -> None:
    bucket = CostBucket()
    bucket.settle(0, status(0, rate=10))
    began = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        await bucket.take(100, began + 5)
    assert time.monotonic() - began < 4
    assert caught.value.retry_after == pytest.approx(10, abs=0.5)
    with pytest.raises(RateLimited):  # the one before left no trace
        await bucket.take(100, began + 5)


async def test_calls_pass_in_order_and_at_the_rate() -> None:
    bucket = CostBucket()
    bucket.settle(0, status(0, rate=200))
    passed: list[int] = []
    began = time.monotonic()

    async def call(number: int) -> None:
        await bucket.take(20, began + 10)
        passed.append(number)

    await asyncio.gather(*(call(number) for number in range(5)))
    assert passed == [0, 1, 2, 3, 4]
    assert 0.45 < time.monotonic() - began < 3


async def test_a_call_that_waits_behind_another_gives_up_at_its_deadline() -> None:
    bucket = CostBucket()
    bucket.settle(0, status(0, rate=10))
    began = time.monotonic()
    patient = asyncio.create_task(bucket.take(20, began + 10))
    await asyncio.sleep(0.01)
    with pytest.raises(RateLimited):
        await bucket.take(1, began + 0.2)
    assert time.monotonic() - began < 1.5
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient
    await bucket.take(1, time.monotonic() + 1)  # the turn was given back


def test_a_bucket_is_of_one_app_and_shop() -> None:
    buckets = CostBuckets()
    assert buckets.of("a", "x") is buckets.of("a", "x")
    assert len({id(buckets.of(app, shop)) for app in "ab" for shop in "xy"}) == 4
