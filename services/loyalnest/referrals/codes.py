"""Referral codes and links: how they are made, written and read."""

import re
import secrets
from typing import Final

from loyalnest.referrals.models import Channel

ALPHABET: Final = "BCDFGHJKMNPQRSTVWXZ"
"""Capitals without vowels, so that no code is a word, and without I, L, O and Y, which are taken for others."""
CODE_LENGTH: Final = 8
"""19^8 is 1.7 × 10^10 codes a merchant."""

_WRITTEN = re.compile(r"\s*([A-Za-z0-9]{1,32})(?::([A-Za-z]{1,16}))?\s*")


def new_code() -> str:
    """A code that nobody can guess. Whether it is taken is for the database to say."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def parse(text: str, channel: str = "") -> tuple[str, Channel]:
    """The code and channel in `CODE` or `CODE:channel`, in capitals; `channel` goes before the code's own if given.

    An unknown channel is `link`. The code is empty for text that can be none.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        return "", Channel.LINK
    return written[1].upper(), channel_of(channel or written[2] or "")


def channel_of(text: str) -> Channel:
    """The channel of that name, in any case; `link` for an unknown one."""
    try:
        return Channel(text.strip().lower())
    except ValueError:
        return Channel.LINK


def path_of(code: str, channel: str = Channel.LINK) -> str:
    """The path and query of a link. The channel goes with the code, so that the order tells it."""
    return f"/?ref={code}" if channel == Channel.LINK else f"/?ref={code}:{channel}"
