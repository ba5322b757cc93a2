"""Whether to ask a server that may be away, so that its callers do not all wait for it."""

import time
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 2.0
"""How long a server is left alone after it failed; then one caller tries it."""


class Breaker:
    """Whether it is worth asking: no for `pause` seconds after a failure, then for one caller at a time."""

    def __init__(self, pause: float = PAUSE_SECONDS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._monotonic = monotonic
        self._again: float | None = None  # None while all is well

    def allows(self) -> bool:
        """Whether the caller may ask. It must then report how that went."""
        if self._again is None:
            return True
        now = self._monotonic()
        if now < self._again:
            return False
        self._again = now + self._pause  # the caller is the probe, and the others wait for what it finds
        return True

    def succeeded(self) -> bool:
        """Note an answer. Returns whether it ended an outage."""
        mended, self._again = self._again is not None, None
        return mended

    def failed(self) -> bool:
        """Note a failure. Returns whether it began an outage."""
        began, self._again = self._again is None, self._monotonic() + self._pause
        return began
