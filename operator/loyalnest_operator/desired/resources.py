"""Processor and memory of pods: what a program asks for, filled up with the platform's defaults.

Quantities are written in the canonical form of the API server ("500m" for 0.5, "1Gi" for 1024Mi), which is what it
gives back.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any, Literal

from loyalnest.kit.program.spec import ResourceAmounts, Resources

Amount = Literal["cpu", "memory"]
AMOUNTS: tuple[Amount, ...] = ("cpu", "memory")

_QUANTITY = re.compile(r"([0-9.]+)([a-zA-Z]*)")
_DECIMAL = {"m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4}
_LEAST = Decimal("0.001")
_MOST = Decimal(2**63 - 1)
_DIGITS = 80
"""More than any quantity that a program may have, or a sum of a thousand of them."""


def number(quantity: str) -> Decimal:
    """What `quantity`, such as 250m or 512Mi, amounts to.

    Like the API server, this rounds up to a thousandth, and takes what is beyond 64 bits for the most of them.
    """
    digits, unit = _split(quantity)
    factor = 1024 ** _BINARY[unit] if unit in _BINARY else Decimal(10) ** _DECIMAL[unit]
    with localcontext(prec=_DIGITS):
        return min((Decimal(digits) * factor).quantize(_LEAST, rounding=ROUND_CEILING), _MOST)


def canonical(quantity: str) -> str:
    """`quantity` as the API server gives it back: in the largest unit that leaves a whole number.

    Binary units stay binary where the amount is a whole number of 1024; else it is told in decimal ones.
    """
    return text(number(quantity), binary=_split(quantity)[1] in _BINARY)


def text(amount: Decimal, *, binary: bool) -> str:
    """The quantity that amounts to `amount`, in binary units if wanted and possible."""
    if binary and amount >= 1024 and amount == amount.to_integral_value():
        whole, unit = int(amount), ""
        for unit_above in _BINARY:
            if whole % 1024:
                break
            whole, unit = whole // 1024, unit_above
        if unit:
            return f"{whole}{unit}"
    for unit, exponent in reversed(_DECIMAL.items()):
        scaled = amount.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{unit}" if amount else "0"
    raise AssertionError("amounts are multiples of a thousandth")


def fitted(given: Resources, default: Resources) -> dict[str, dict[str, str]]:
    """The resources of a container: `given`, and `default` for what is not, so that no request is above its limit."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for amount in AMOUNTS:
        request, limit = getattr(given.requests, amount), getattr(given.limits, amount)
        if request is None:
            request = _pick(min, getattr(default.requests, amount), limit)
        if limit is None and (usual := getattr(default.limits, amount)) is not None:
            limit = _pick(max, usual, request)
        if request is not None:
            requests[amount] = canonical(request)
        if limit is not None:
            limits[amount] = canonical(limit)
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def raised(default: Resources, several: Iterable[Resources]) -> Resources:
    """`default` for a pod that serves several at once: raised where one of them asks for more than that.

    A limit of one is no limit of all: where `default` has none, there is none.
    """
    asked = list(several)
    requests: dict[str, str | None] = {}
    limits: dict[str, str | None] = {}
    for amount in AMOUNTS:
        requests[amount] = _pick(max, *(getattr(each.requests, amount) for each in (default, *asked)))
        limits[amount] = getattr(default.limits, amount)
        if limits[amount] is not None:
            wanted = (getattr(each.limits, amount) for each in asked)
            limits[amount] = _pick(max, limits[amount], requests[amount], *wanted)
    return Resources(requests=ResourceAmounts(**requests), limits=ResourceAmounts(**limits))


def total(parts: Iterable[tuple[int, Mapping[str, Any]]], which: str, amount: Amount) -> str:
    """The sum of an amount over `parts`, each a count and a container's resources, which must have it."""
    found = Decimal(0)
    with localcontext(prec=_DIGITS):
        for count, resources in parts:
            found += number(resources[which][amount]) * count
    return text(min(found, _MOST), binary=amount == "memory")


def _pick(choose: Any, *quantities: str | None) -> str | None:
    there = [quantity for quantity in quantities if quantity is not None]
    return choose(there, key=number) if there else None


def _split(quantity: str) -> tuple[str, str]:
    match = _QUANTITY.fullmatch(quantity)
    assert match, "the program's model has checked it"
    return match[1], match[2]
