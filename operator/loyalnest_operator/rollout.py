"""Fleet upgrades: which programs may run a new image now. Pure.

Programs come in waves: canaries first, then growing percentages of the fleet in an order that is random but stays
the same. A wave begins when every program of the one before runs the new image and is ready; while any program fails
with the new image, nobody else is upgraded. Programs that stand still for a reason of their own are not waited for.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

FAULTS = frozenset({"OperatorFault", "PreparationFailed", "ServicesFailed", "Refused"})
"""Reasons of a condition that may be the image's fault, or that of the version that came with it."""
ASIDE = frozenset(
    {
        "Paused",
        "Suspended",
        "Deleting",
        "CredentialsMissing",
        "CredentialsInvalid",
        "Contested",
        "FieldConflict",
        "InvalidSpec",
        "MoveFailed",
        "NamespaceTaken",
        "ShopTaken",
    }
)
"""Reasons that are a program's own, and stay until its admin does something."""


@dataclass(frozen=True, slots=True)
class Member:
    """A program of the fleet.

    image: the one that it was given last, whether it came up with it or not; empty before the first time.
    failed: it does not work, and the image may be why. aside: it stands still for a reason of its own.
    """

    name: str
    image: str
    ready: bool
    failed: bool
    canary: bool = False
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Who may run the target image. `wave` counts from 1 of `waves`; `halted_by` names the program that failed."""

    admitted: frozenset[str]
    wave: int
    waves: int
    halted_by: str = ""


def plan(members: Sequence[Member], target: str, percents: Sequence[int]) -> Plan:
    """Decide for the whole fleet.

    A program that runs nothing yet gets the target at once, and one that has the target keeps it.
    """
    settled = {each.name for each in members if each.image in ("", target)}
    running = [each for each in members if each.image]
    sizes = _sizes(running, percents)
    if len(settled) == len(members):
        return Plan(frozenset(settled), len(sizes), len(sizes))
    running.sort(key=_order)
    failed = next((each.name for each in running if each.image == target and each.failed), "")
    if failed:
        wave = next(index for index, size in enumerate(sizes, 1) if failed in {each.name for each in running[:size]})
        return Plan(frozenset(settled), wave, len(sizes), failed)
    for wave, size in enumerate(sizes, 1):
        inside = running[:size]
        if not all(each.aside or (each.image == target and each.ready) for each in inside):
            return Plan(frozenset(settled | {each.name for each in inside}), wave, len(sizes))
    return Plan(frozenset(each.name for each in members), len(sizes), len(sizes))


def _order(member: Member) -> tuple[bool, str]:
    return not member.canary, hashlib.sha256(member.name.encode()).hexdigest()


def _sizes(running: Sequence[Member], percents: Sequence[int]) -> list[int]:
    """How many programs each wave reaches, from the first on: the canaries (or one program), then the percentages."""
    canaries = sum(each.canary for each in running) or 1
    sizes = {min(canaries, len(running)), len(running)}
    sizes |= {max(canaries, math.ceil(len(running) * percent / 100)) for percent in percents}
    return sorted(size for size in sizes if 0 < size <= len(running))
