"""What a provider's answer over HTTP means for the message: pure.

Errors are put into words of ours with the provider's codes: its own words may quote an address.
"""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from loyalnest.event_tracking.models import NotTaken, Outcome, Rejected, Unknown

MOST_RETRY_AFTER: Final = 86_400.0
"""Seconds; a provider that asks for more is asked again after a day."""

_ABOUT_US: Final = frozenset({401, 402, 403, 404})
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")


def refused(provider: str, status: int, code: str, retry_after: str | None, now: datetime) -> Outcome:
    """What an answer without success means. code: the provider's own name of the error, if it gave one.

    429, 408 and 503 say that the message was not taken. 401 to 404 are about our account, address or key, not about
    the message: it waits until a person has mended that. Any other 4xx is about the message, and final. A 5xx may
    come from a proxy in front of a provider that had taken the message: nobody knows.
    """
    error = f"{provider} answered {status}{f' ({code})' if _CODE.fullmatch(code) else ''}."
    wait = seconds_to_wait(retry_after, now)
    if status == 429:
        return NotTaken(error, wait, throttled=True)
    if status in {408, 503} or code == "concurrent_idempotent_requests":
        return NotTaken(error, wait)
    if status in _ABOUT_US or status < 400:
        return NotTaken(f"{error} Check its address and key in the settings.", wait)
    return Rejected(error) if status < 500 else Unknown(error)


def seconds_to_wait(retry_after: str | None, now: datetime) -> float:
    """What a Retry-After header says (RFC 9110, 10.2.3): seconds, or a date. 0 for none and for nonsense."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return min(MOST_RETRY_AFTER, float(text[:9]))
    try:
        wait = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a timezone
        return 0.0
    return max(0.0, min(MOST_RETRY_AFTER, wait))
