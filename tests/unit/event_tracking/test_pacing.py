"""The pace without Redis: evenly spread, breaks kept, and nobody held longer than it is willing to wait."""

import asyncio
import itertools

from hypothesis import given
from hypothesis import strategies as st

from loyalnest.event_tracking.pacing import Pace


class Monotonic:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def stopped() -> asyncio.Event:
    """Whoever waits does not."""
    event = asyncio.Event()
    event.set()
    return event


@given(st.lists(st.floats(0, 3), min_size=2, max_size=30), st.sampled_from([0.5, 1.0, 2.0, 7.0]))
def test_no_two_turns_are_closer_than_the_pace(gaps: list[float], per_second: float) -> None:
    async def run() -> list[float]:
        clock = Monotonic()
        pace = Pace("p", per_second, monotonic=clock)
        turns = []
        for gap in gaps:
            clock.now += gap
            turns.append(clock.now + await pace._take(1e9))
        return turns

    turns = asyncio.run(run())
    assert all(later - earlier > 1 / per_second - 1e-6 for earlier, later in itertools.pairwise(turns))
    assert turns[-1] <= 1000 + sum(gaps) + len(gaps) / per_second


async def test_who_would_wait_too_long_is_told_and_takes_no_turn() -> None:
    clock = Monotonic()
    pace = Pace("p", 1.0, monotonic=clock)
    assert [await pace.wait(2, stopped()) for _ in range(3)] == [0, 0, 0]
    assert await pace.wait(2, stopped()) == 3
    assert await pace.wait(2, stopped()) == 3
    clock.now += 1
    assert await pace.wait(2, stopped()) == 0


async def test_a_break_that_the_provider_asks_for_is_kept() -> None:
    clock = Monotonic()
    pace = Pace("p", 10.0, monotonic=clock)
    pace.hold(30)
    pace.hold(5)
    assert pace.blocked() == 30
    assert await pace.wait(10, stopped()) == 30
    clock.now += 30
    assert pace.blocked() == 0
    assert await pace.wait(10, stopped()) == 0
