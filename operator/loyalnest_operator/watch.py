"""Kopf brings the news: every event of a program, and of what belongs to one, goes to the cache and wakes a reconcile.

Only `on.event` is used. Kopf's create and update handlers see differences and miss what happened in between; its
daemons and timers put a finalizer on each object. What is acted on here is the state, by `reconcile`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import kopf

from loyalnest_operator import names
from loyalnest_operator.facts import Manifest
from loyalnest_operator.kinds import LEASE, OWNED, PROGRAM, Kind

OURS = f"{names.MANAGED_BY}={names.FIELD_MANAGER}"
"""Label selector of everything that the operator makes."""

SERVER_SECONDS = 300
"""How long one watch lasts: it begins anew before the server forgets where it was."""

SILENT_SECONDS = 120
"""A watch that is silent for so long is begun anew where it was: the server sends a bookmark every minute."""


class Listener(Protocol):
    """Who is told."""

    def heard(self) -> None:
        """The watch of the leader's own Lease brought something, so watches work."""
        ...

    def program_changed(self, live: Manifest, *, deleted: bool) -> None:
        """A program is new, changed or gone."""
        ...

    def object_changed(self, live: Manifest, *, deleted: bool) -> None:
        """An object of ours is new, changed or gone."""
        ...


def registry_of(listener: Listener, login: Callable[[], Awaitable[kopf.ConnectionInfo]]) -> kopf.OperatorRegistry:
    """Kopf's handlers, which only pass on what they get.

    They are coroutines although they wait for nothing: Kopf runs plain functions in threads, and neither the cache nor
    the queue may be touched from any but the event loop's.
    """
    registry = kopf.OperatorRegistry()

    async def on_program(event: kopf.RawEvent, **_: Any) -> None:
        listener.program_changed(_complete(event, PROGRAM), deleted=event["type"] == "DELETED")

    async def on_lease(**_: Any) -> None:
        listener.heard()

    async def on_login(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    kopf.on.login(registry=registry)(on_login)

    kopf.on.event(PROGRAM.group, "v1alpha1", PROGRAM.plural, registry=registry)(on_program)
    kopf.on.event(LEASE.group, "v1", LEASE.plural, registry=registry)(on_lease)
    for kind in OWNED:
        kopf.on.event(kind.group, kind.api_version.rpartition("/")[2], kind.plural, id=kind.plural, registry=registry)(
            _passing(listener, kind)
        )
    return registry


def settings_of() -> kopf.OperatorSettings:
    """Kopf's settings: watches that end and time out, and are filtered by the server."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = SERVER_SECONDS + 30
    settings.watching.connect_timeout = 30
    settings.watching.inactivity_timeout = SILENT_SECONDS
    settings.watching.chunk_size = 100
    settings.networking.request_timeout = 60
    settings.queueing.idle_timeout = 0.1  # so long each object that was listed or changed stays in memory
    settings.process.ultimate_exiting_timeout = 30
    for kind in (*OWNED, LEASE):
        settings.watching.label_selectors[kind.group, kind.api_version.rpartition("/")[2], kind.plural] = OURS
    return settings


def _passing(listener: Listener, kind: Kind) -> Any:
    async def on_object(event: kopf.RawEvent, **_: Any) -> None:
        listener.object_changed(_complete(event, kind), deleted=event["type"] == "DELETED")

    return on_object


def _complete(event: kopf.RawEvent, kind: Kind) -> Manifest:
    """The object of an event; those of a list do not say what they are."""
    return dict(event["object"]) | {"apiVersion": kind.api_version, "kind": kind.kind}
