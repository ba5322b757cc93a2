"""Kubernetes Events about programs, each once in a while however often it happens."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from loyalnest.kit.errors import LoyalNestError
from loyalnest.kit.program.spec import API_VERSION, KIND
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.kinds import EVENT
from loyalnest_operator.names import FIELD_MANAGER

log = structlog.get_logger(__name__)

NAMESPACE = "default"
"""Where Kubernetes keeps the events of objects that have no namespace."""
REPEAT_SECONDS = 3600.0
MOST_NOTE = 1000


class Recorder:
    """Posts events. One that cannot be posted is logged and forgotten: the status says the same."""

    def __init__(self, cluster: Cluster, identity: str, uid_of: Callable[[str], str]) -> None:
        self._cluster = cluster
        self._identity = identity
        self._uid_of = uid_of
        self._posted: dict[tuple[str, str, str], float] = {}

    async def tell(self, program: str, reason: str, note: str) -> None:
        """Something happened as it should."""
        await self._post(program, "Normal", reason, note)

    async def warn(self, program: str, reason: str, note: str) -> None:
        """Something happened that somebody may want to look at."""
        await self._post(program, "Warning", reason, note)

    async def _post(self, program: str, severity: str, reason: str, note: str) -> None:
        key, now = (program, reason, note), time.monotonic()
        self._posted = {each: at for each, at in self._posted.items() if now - at < REPEAT_SECONDS}
        if key in self._posted:
            return
        self._posted[key] = now
        event = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{program}.{uuid.uuid4().hex[:16]}", "namespace": NAMESPACE},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "loyalnest.io/operator",
            "reportingInstance": (self._identity or FIELD_MANAGER)[:128],
            "action": "Reconcile",
            "reason": reason,
            "type": severity,
            "note": note[:MOST_NOTE],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": program,
                "uid": self._uid_of(program),
            },
        }
        try:
            await self._cluster.create(EVENT, event, NAMESPACE)
        except LoyalNestError as error:
            log.warning("event.not_posted", program=program, reason=reason, error=error.detail)
