"""When a failed call is tried again."""

import random

TRIES = 3
"""Most tries of one call, the first included."""

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 1.0


class RetryBudget:
    """A token bucket that keeps retries near a tenth of the calls, so that an outage is not multiplied.

    Every call puts in `ratio` of a token, every retry takes one. The bucket starts full, which lets the first few
    failures of a quiet process be tried again.
    Source: Finagle's retry budgets and gRPC's retry throttling (gRFC A6).
    """

    def __init__(self, ratio: float = 0.1, capacity: float = 10.0) -> None:
        self._ratio = ratio
        self._capacity = capacity
        self._tokens = capacity

    def deposit(self) -> None:
        """Count a call."""
        self._tokens = min(self._capacity, self._tokens + self._ratio)

    def withdraw(self) -> bool:
        """Take a token for a retry; False if the bucket has none, and then there must be no retry."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def delay(failures: int) -> float:
    """Seconds to wait after the `failures`-th failure: exponential, with full jitter so that callers spread out."""
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (failures - 1))
    return random.uniform(0.0, longest)  # noqa: S311 - spreads load, guards nothing
