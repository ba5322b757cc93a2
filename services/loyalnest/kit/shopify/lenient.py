"""Fields that are read leniently: whatever is not of the expected type counts as not there.

Nothing that points are counted from is read so: what is odd in a name or a note must not cost a customer their points.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

NOTHING: Final = Raw(b"null")
"""Stands for a field that is not there."""

_text_decoder = msgspec.json.Decoder(str | None)
_list_decoder = msgspec.json.Decoder(list[Raw])

# PostgreSQL cannot store NUL, and a line break in a name is an injection into a mail header waiting to happen.
_CONTROLS: Final[dict[int, str | None]] = dict.fromkeys((*range(32), *range(127, 160))) | dict.fromkeys(b"\t\n\r", " ")


def text_of(raw: Raw) -> str:
    """The text in `raw` without control characters and outer spaces; empty if it is not text."""
    if raw is NOTHING:
        return ""
    try:
        text: str | None = _text_decoder.decode(raw)
    except msgspec.DecodeError:
        return ""
    if text is None:
        return ""
    return cleaned(text)


def cleaned(text: str) -> str:
    """`text` without control characters and outer spaces."""
    return (text if text.isprintable() else text.translate(_CONTROLS)).strip()


def first_text(raws: Iterable[Raw], limit: int) -> str | None:
    """The first that is text and not longer than `limit`."""
    return next((text for text in map(text_of, raws) if 0 < len(text) <= limit), None)


def list_of(raw: Raw, limit: int) -> list[Raw]:
    """The first `limit` elements of a list: no more are looked at than could be kept. Empty if it is not a list."""
    if raw is NOTHING:
        return []
    try:
        return _list_decoder.decode(raw)[:limit]
    except msgspec.DecodeError:
        return []
