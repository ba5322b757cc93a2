"""Values in Shopify's bodies: ids, amounts and times, read strictly, so that nothing is guessed at.

Amounts are the shop's currency, as strings or as JSON numbers, both exact. Shopify writes some amounts as floats, so
more than six decimal places are taken as float noise and rounded, half to even, to six.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, Final

from msgspec import Meta

from loyalnest.kit.errors import InvalidInput

MAX_ID: Final = 2**63 - 1

MONEY_DIGITS: Final = 15
"""Every amount, and every sum made of them, is below 10^15."""
MONEY_PLACES: Final = 6
WRITTEN_PLACES: Final = 30
"""An amount written with more decimal places than this is refused, not rounded."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside are refused, so that no later arithmetic (expiry, timezones) leaves what a datetime can hold."""

Id = Annotated[int, Meta(ge=1, le=MAX_ID)] | Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,18}\Z")]
Time = Annotated[datetime, Meta(tz=True)]

EXACT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
"""Wide enough that no sum or product of amounts is ever rounded."""
ZERO: Final = Decimal(0)
_CENT: Final = Decimal("0.01")
_SMALLEST: Final = Decimal(1).scaleb(-MONEY_PLACES)


def invalid(path: Iterable[str | int], expected: str) -> InvalidInput:
    """The error that names a field of a body and what was expected of it, never what it holds."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return InvalidInput(f"{words.lstrip('.')}: expected {expected}")


def money(value: Decimal, *path: str | int) -> Decimal:
    """`value` as an amount: finite, not negative, below the bound, with at most six places.

    The checks come before any arithmetic, which an exponent such as 1e999999999 would make explode.
    """
    if not value.is_finite():
        raise invalid(path, "an amount")
    if not value:
        return ZERO
    if value.is_signed():
        raise invalid(path, "an amount of 0 or more")
    if value.adjusted() >= MONEY_DIGITS:
        raise invalid(path, f"an amount below 10^{MONEY_DIGITS}")
    if value.same_quantum(_CENT):
        return value
    exponent = int(value.as_tuple().exponent)
    if exponent < -WRITTEN_PLACES:
        raise invalid(path, f"an amount with at most {WRITTEN_PLACES} decimal places")
    if exponent < -MONEY_PLACES:
        return value.quantize(_SMALLEST, context=EXACT)
    return value


def shopify_id(value: int | str, *path: str | int) -> int:
    """The id `value`, which the decoder has found to be in bounds or to be one to nineteen digits."""
    if isinstance(value, int):
        return value
    number = int(value)
    if number > MAX_ID:
        raise invalid(path, f"a whole number from 1 to {MAX_ID}")
    return number


def moment(value: datetime | None, *path: str | int) -> datetime | None:
    """`value`, if it is one that later arithmetic can hold. Raises InvalidInput."""
    if value is not None and not EARLIEST <= value < LATEST:
        raise invalid(path, f"a time from {EARLIEST.year} to {LATEST.year - 1}")
    return value
