"""The decisions about GDPR requests, free of I/O.

A request is told to every service that keeps something about customers, is told again to all of them while one has not
confirmed (they do a request once, by its id), and is completed when each has confirmed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from loyalnest.admin_core.events import GdprKind, GdprRequestConfirmed
from loyalnest.admin_core.models import Confirmation, GdprRequest, Installation, Status

TIME_TO_DO = timedelta(days=30)
"""Shopify: "complete the action within 30 days of receiving the request" (shopify.dev, Privacy law compliance). The
GDPR's own month (Article 12, paragraph 3) may be a day longer, and is counted like it here."""
GRACE = timedelta(hours=48)
"""From uninstalling to the shop's redaction: when Shopify sends `shop/redact` (the same source)."""
TELL_AGAIN = timedelta(hours=6)
"""Events last for days on every bus, so once is enough but for a topic that was lost."""
EXPORT_KEPT = timedelta(days=7)
REPLAYABLE = timedelta(days=35)
"""How long a redacted customer's id stays, sealed, to redact again what a backup brings back: longer than backups are
kept."""


class Step(StrEnum):
    """What is to be done about a request now."""

    NOTHING = "nothing"
    TELL = "tell"
    COMPLETE = "complete"


def missing(participants: Collection[str], confirmations: Iterable[Confirmation]) -> list[str]:
    """The services that have not confirmed yet."""
    done = {each.service for each in confirmations if each.confirmed_at is not None}
    return sorted(set(participants) - done)


def next_step(request: GdprRequest, waited_for: Collection[str], now: datetime) -> Step:
    """What to do about a request that waits for the services `waited_for`."""
    if request.status is Status.SCHEDULED:
        return Step.TELL if request.starts_at <= now else Step.NOTHING
    if request.status is not Status.OPEN:
        return Step.NOTHING
    if not waited_for and request.told_at is not None:
        return Step.COMPLETE
    return Step.TELL if request.told_at is None or request.told_at + TELL_AGAIN <= now else Step.NOTHING


def told(request: GdprRequest, now: datetime) -> GdprRequest:
    """The request once the services are told of it, for the first time or again."""
    return replace(request, status=Status.OPEN, told_at=now, tellings=request.tellings + 1)


def ended(request: GdprRequest, status: Status, now: datetime, reason: str = "") -> GdprRequest:
    """The request at its end. The file of one for data can be had for a while."""
    until = now + EXPORT_KEPT if (request.kind, status) == (GdprKind.CUSTOMER_DATA, Status.COMPLETED) else None
    return replace(request, status=status, ended_at=now, reason=reason or request.reason, export_until=until)


def confirmed(known: Confirmation | None, said: GdprRequestConfirmed) -> Confirmation:
    """What is known of a service after it said `said`; its parts come in any order, and repeatedly.

    One that has confirmed stays so; after a replay the later confirmation stands.
    """
    if known is not None and known.confirmed_at is not None and said.at <= known.confirmed_at:
        return known
    before = () if known is None or known.confirmed_at is not None else known.received
    received = tuple(sorted({*before, said.part}))
    whole = received == tuple(range(1, said.parts + 1))
    return Confirmation(said.service, said.parts, received, said.counts, said.at if whole else None)


def installed(installation: Installation, at: datetime | None) -> Installation:
    """What is known once it is told that the app was installed at a time (None: never, as far as is known)."""
    if at is None or (installation.installed_at is not None and at <= installation.installed_at):
        return installation
    return replace(installation, installed_at=at)


def reinstalled(installation: Installation, asked_at: datetime) -> bool:
    """Whether the shop came back after the uninstallation that a `shop/redact` of `asked_at` is about.

    Where no uninstallation was told, Shopify's two days say when it was.
    """
    if installation.installed_at is None:
        return False
    return installation.installed_at > (installation.uninstalled_at or asked_at - GRACE)


def covers(requests: Sequence[GdprRequest], installation: Installation) -> GdprRequest | None:
    """The redaction of a shop, among those there were, that is of its present uninstallation. Newest first."""
    for request in requests:
        of_before = installation.installed_at is not None and request.requested_at < installation.installed_at
        if request.status in (Status.SCHEDULED, Status.OPEN, Status.COMPLETED) and not of_before:
            return request
    return None
