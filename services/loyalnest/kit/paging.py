"""Pages of a list: how many rows one has, and the token that says where the next begins.

A token is the key of the last row of the page before, so a list that changes meanwhile repeats and skips nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from loyalnest.kit.errors import InvalidInput

T = TypeVar("T")

MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 50

_MAX_NUMBER = 2**63 - 1


def page_limit(page_size: int) -> int:
    """Rows of a page: as asked, at most `MAX_PAGE`, `DEFAULT_PAGE` if not asked. Raises InvalidInput below zero."""
    if page_size < 0:
        raise InvalidInput("page_size cannot be negative.")
    return min(page_size or DEFAULT_PAGE, MAX_PAGE)


def number_after(page_token: str) -> int:
    """The number that a page begins after; 0 for the first page. Raises InvalidInput for a token that is not ours."""
    if not page_token:
        return 0
    if page_token.isascii() and page_token.isdigit() and len(page_token) <= 19:
        number = int(page_token)
        if 1 <= number <= _MAX_NUMBER:
            return number
    raise _not_ours()


def uuid_after(page_token: str) -> UUID | None:
    """The id that a page begins after; None for the first page. Raises InvalidInput for a token that is not ours."""
    try:
        return UUID(page_token) if page_token else None
    except ValueError:
        raise _not_ours() from None


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], object]) -> tuple[list[T], str]:
    """A page out of `rows`, of which one more than `limit` was read, and the next page's token (empty at the end)."""
    return list(rows[:limit]), str(key(rows[limit - 1])) if len(rows) > limit else ""


def _not_ours() -> InvalidInput:
    return InvalidInput("page_token is not one that this list gave out.")
