"""Who a call through Shopify's app proxy is made for, as the gateway has proven it (see `Service.shopper_routes`)."""

from collections.abc import Sequence
from typing import Final

from loyalnest.kit.context import current

ROLE: Final = "shopper"

Items = Sequence[tuple[str, str]]
"""A query's parameters, in their order."""

_PREFIX: Final = "shopper:"
_GUEST: Final = "shopper:guest"


def actor_of(customer_id: int | None) -> str:
    """How calls and the audit log name a shopper; None is a guest."""
    return _GUEST if customer_id is None else f"{_PREFIX}{customer_id}"


def shopper_id() -> int | None:
    """The customer who is logged in at the shop, in a route behind the app proxy; None for a guest."""
    context = current()
    if context.role != ROLE or context.actor == _GUEST:
        return None
    return int(context.actor.removeprefix(_PREFIX))


def single(items: Items, name: str) -> str:
    """The value of a parameter that comes exactly once, else nothing: a shopper may add parameters of any name."""
    given = [value for each, value in items if each == name]
    return given[0] if len(given) == 1 else ""
