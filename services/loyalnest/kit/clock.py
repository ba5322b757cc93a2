"""The one place that tells the time, so that a test can set it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present moment, always with a timezone."""


def system_clock() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)
