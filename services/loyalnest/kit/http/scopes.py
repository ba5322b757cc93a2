"""What an API key must be allowed, to call a route."""

from collections.abc import Sequence
from typing import Final

CLOSED: Final = frozenset({"auth", "widget", "webhooks", "status"})
"""Tags of routes that no API key opens: sessions, keys and admin users are for people, others have their own proofs."""
_READING: Final = frozenset({"GET", "HEAD"})


def scope_of(tags: Sequence[object], method: str) -> str:
    """What `method` on a route with `tags` asks for: the first tag, and read or write. Empty: it is not for keys."""
    tag = str(tags[0]) if tags else ""
    if not tag or tag in CLOSED:
        return ""
    return f"{tag}:{'read' if method.upper() in _READING else 'write'}"
