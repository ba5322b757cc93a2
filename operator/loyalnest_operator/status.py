"""A program's status: conditions as Kubernetes writes them, computed anew by every reconcile. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from loyalnest_operator.facts import Manifest

MOST_MESSAGE = 1000
"""Characters of a message; the rest of a long log does not help in a table."""


class Condition(StrEnum):
    """What is said of a program. The first three sum up; the others are the phases, in their order."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    DATABASE = "DatabaseReady"
    TOPICS = "TopicsReady"
    SERVICES = "ServicesReady"
    DASHBOARD = "DashboardReady"


PHASES = (Condition.DATABASE, Condition.TOPICS, Condition.SERVICES, Condition.DASHBOARD)


@dataclass(frozen=True, slots=True)
class Said:
    """The status of a condition, one word why (in CamelCase), and a sentence."""

    status: bool | None
    reason: str
    message: str = ""


NOT_REACHED = Said(None, "NotReached", "Not looked at: the condition Ready says what comes first.")


@dataclass(slots=True)
class Report:
    """What one reconcile found out. `phases` that nobody spoke of are Unknown.

    conflicts: fields that somebody else keeps, which keep nothing else from being done.
    """

    phases: dict[Condition, Said] = field(default_factory=dict)
    ready: Said = Said(status=False, reason="Waiting")
    progressing: Said = Said(status=False, reason="Idle", message="Nothing is under way.")
    degraded: Said = Said(status=False, reason="AsExpected", message="Nothing stands in the way.")
    fields: dict[str, Any] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    conflict_reason: str = "FieldConflict"

    def phase(self, condition: Condition, *, ready: bool, reason: str, message: str = "") -> None:
        """Say how far a phase is."""
        self.phases[condition] = Said(ready, reason, message)

    def working(self, reason: str, message: str) -> None:
        """Something is under way, and will go on by itself."""
        self.ready = Said(status=False, reason=reason, message=message)
        self.progressing = Said(status=True, reason=reason, message=message)

    def broken(self, reason: str, message: str) -> None:
        """Something stands in the way; the message says what an admin can do."""
        self.ready = Said(status=False, reason=reason, message=message)
        self.degraded = Said(status=True, reason=reason, message=message)

    def stopped(self, reason: str, message: str) -> None:
        """Nothing is done, because somebody wants it so."""
        self.ready = Said(status=False, reason=reason, message=message)
        self.progressing = Said(status=False, reason=reason, message=message)

    def done(self, message: str) -> None:
        """All is as the program says."""
        self.ready = Said(status=True, reason="AsDesired", message=message)
        self.progressing = Said(status=False, reason="AsDesired", message=message)


def status_of(report: Report, generation: int, before: Mapping[str, Any], now: datetime) -> Manifest:
    """The status to be written. A condition that says the same as `before` keeps its time of transition."""
    said = {
        Condition.READY: report.ready,
        Condition.PROGRESSING: report.progressing,
        Condition.DEGRADED: report.degraded,
        **{phase: report.phases.get(phase, NOT_REACHED) for phase in PHASES},
    }
    earlier = _conditions(before)
    degraded = report.degraded
    found: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": [
            _condition(condition, words, generation, earlier.get(condition.value), now)
            for condition, words in said.items()
        ],
        "lastError": _short(degraded.message) if degraded.status else None,
    }
    return found | report.fields


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether `after` is worth a write: it says something that `before` does not. A null means: not there."""
    return any(before.get(key) != value for key, value in after.items())


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, str, bool] | None:
    """What is worth an event: the reason, the words, and whether it is a warning; nothing while all goes on as it was.

    A program that became ready, or that something new stands in the way of.
    """
    was, now = _conditions(before), _conditions(after)
    ready, degraded = now[Condition.READY], now[Condition.DEGRADED]
    if degraded["status"] == "True" and _known(was, Condition.DEGRADED) != _known(now, Condition.DEGRADED):
        return degraded["reason"], degraded["message"], True
    if ready["status"] == "True" and was.get(Condition.READY, {}).get("status") != "True":
        return "Ready", ready["message"], False
    return None


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {each["type"]: each for each in status.get("conditions", [])}


def _known(conditions: Mapping[str, Mapping[str, Any]], condition: Condition) -> tuple[Any, Any]:
    found = conditions.get(condition, {})
    return found.get("status"), found.get("reason")


def _condition(
    condition: Condition, said: Said, generation: int, earlier: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    status = {True: "True", False: "False", None: "Unknown"}[said.status]
    same = earlier is not None and earlier["status"] == status
    return {
        "type": condition.value,
        "status": status,
        "reason": said.reason,
        "message": _short(said.message),
        "observedGeneration": generation,
        "lastTransitionTime": earlier["lastTransitionTime"]
        if same and earlier
        else now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _short(message: str) -> str:
    return message if len(message) <= MOST_MESSAGE else message[: MOST_MESSAGE - 1] + "…"
