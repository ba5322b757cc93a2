"""Events of others: what they make messages of, how sending went, and the merchants' rules."""

from collections.abc import Sequence
from uuid import UUID

from loyalnest.admin_features import address_repository, feedback_repository, message_repository, template_repository
from loyalnest.admin_features.feedback import plain_id
from loyalnest.admin_features.feedback_repository import Report
from loyalnest.admin_features.models import Status
from loyalnest.admin_features.notices import TOLD, is_history, notice_of
from loyalnest.core.events import SettingsChanged
from loyalnest.event_tracking.events import TaskCompleted
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.errors import NotFound
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.events import PointsEarned

_MOST_REASON = 300
_BY_TOPIC = {each.topic: each for each in TOLD}


class Notices:
    """The consumer of everything that may make a message. It notes what should be said; `Sending` does the rest."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Note what is new in a batch, in one transaction."""
        async with self._database.worker() as connection:
            new = await take_new(connection, "admin_features", events)
            if not new:
                return
            settings = await template_repository.settings_of(connection, (event.merchant_id for event in new))
            missing = sorted({event.merchant_id for event in new} - settings.keys())
            if missing:
                raise NotFound(f"No e-mail settings of {', '.join(missing)}: apply its LoyaltyProgram first.")
            now = self._clock()
            told = [(event, _BY_TOPIC[event.topic].read(event)) for event in new]
            old = [
                (event.merchant_id, each.customer_id)
                for event, each in told
                if isinstance(each, PointsEarned) and each.customer_id > 0 and is_history(each, now)
            ]
            if old:
                await address_repository.mark_history(connection, old, now)
            found = [
                (event.merchant_id, notice)
                for event, each in told
                if (notice := notice_of(each, event.occurred_at, settings[event.merchant_id][1], now)) is not None
            ]
            if found:
                await message_repository.add(connection, found, now)


class Outcomes:
    """The consumer of `task.completed`: how the sending of messages ended."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Note the ends of our messages. A provider may have told more of one before: that stands above it."""
        async with self._database.worker() as connection:
            new = await take_new(connection, "admin_features", events)
            read = [_report(event.merchant_id, TaskCompleted.read(event)) for event in new]
            reports = {(each.merchant_id, each.message_id): each for each in read if each is not None}
            if not reports:
                return
            now = self._clock()
            await feedback_repository.report(connection, list(reports.values()), now)
            known = sorted({each.provider_id for each in reports.values()} - {""})
            told = await feedback_repository.told_of(connection, known)
            if told:
                await feedback_repository.suffer(connection, told, now)


class Rules:
    """Keeps what messages take from the merchants' rules: the time zone, and the points for joining."""

    def __init__(self, database: Database, rules: RulesProjection) -> None:
        self._database = database
        self._rules = rules

    async def settings_changed(self, events: Sequence[Event]) -> None:
        """Take in new versions of rules, in whatever order they come."""
        changes = [(event.merchant_id, SettingsChanged.read(event)) for event in events]
        async with self._database.worker() as connection:
            await self._rules.take(connection, [(merchant, each.version, each.rules) for merchant, each in changes])


def _report(merchant_id: str, task: TaskCompleted) -> Report | None:
    """What a task says of a message of ours; None for a task that is no message."""
    if task.kind not in {"email", "sms"}:
        return None
    try:
        message_id = UUID(task.unique_key)
    except ValueError:
        return None
    done = task.outcome == "done"
    reason = "" if done else "cancelled" if task.outcome == "cancelled" else (task.error or "not sent")[:_MOST_REASON]
    return Report(
        merchant_id,
        message_id,
        Status.SENT if done else Status.FAILED,
        reason,
        task.provider,
        plain_id(task.provider_id),
    )
