"""What merchants do with their webhooks: subscribe, change, rotate secrets, look deliveries up, and have them again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from loyalnest.event_tracking import webhook_repository
from loyalnest.event_tracking.auditing import audited
from loyalnest.event_tracking.models import Status
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.event_tracking.webhook_addresses import checked_url, without_query
from loyalnest.event_tracking.webhook_bodies import TOPICS
from loyalnest.event_tracking.webhook_consumers import TRIED_FOR
from loyalnest.event_tracking.webhook_delivery import SECRET_PURPOSE
from loyalnest.event_tracking.webhook_signing import new_secret
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after

MOST_SUBSCRIPTIONS: Final = 20
"""Of one merchant: every event is delivered to each."""
MOST_OVERLAP_HOURS: Final = 168
DEFAULT_OVERLAP_HOURS: Final = 24
MOST_REPLAYED: Final = 10_000
FAILING_AFTER: Final = timedelta(hours=1)
"""A subscription that nothing was delivered to for so long is shown as failing."""


class WebhookService:
    """Use cases of one merchant at a time; `merchant_id` comes from the call's context."""

    def __init__(
        self, database: Database, outbox: Outbox, queue: TaskQueue, keys: KeyRing, clock: Clock, *, private: bool
    ) -> None:
        """private: whether webhooks may go to private addresses."""
        self._database = database
        self._outbox = outbox
        self._queue = queue
        self._keys = keys
        self._clock = clock
        self._private = private

    async def create(self, merchant_id: str, url: str, topics: Sequence[str]) -> tuple[Any, str]:
        """Subscribe. Returns the subscription and its secret. Raises InvalidInput, PreconditionFailed if too many."""
        url, topics = checked_url(url, private=self._private), _checked(topics)
        secret, sealed = await self._new_secret(merchant_id)
        subscription_id = new_id()
        async with self._database.request(merchant_id) as connection:
            await webhook_repository.lock_all(connection, merchant_id)
            if len(await webhook_repository.subscriptions(connection, merchant_id)) >= MOST_SUBSCRIPTIONS:
                raise PreconditionFailed(f"A merchant has at most {MOST_SUBSCRIPTIONS} webhooks: delete one first.")
            now = self._clock()
            await webhook_repository.insert(connection, merchant_id, subscription_id, url, topics, sealed, now)
            after = {"url": without_query(url), "topics": " ".join(topics)}
            await self._audit(connection, merchant_id, "webhook.created", subscription_id, {}, after)
            return await self._found(connection, merchant_id, subscription_id), secret

    async def get(self, merchant_id: str, subscription_id: UUID) -> Any:
        """One subscription. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            return await self._found(connection, merchant_id, subscription_id)

    async def list_all(self, merchant_id: str) -> list[Any]:
        """All subscriptions, oldest first."""
        async with self._database.request(merchant_id) as connection:
            return list(await webhook_repository.subscriptions(connection, merchant_id))

    async def update(
        self, merchant_id: str, subscription_id: UUID, url: str | None, topics: Sequence[str], enabled: bool | None
    ) -> Any:
        """Change what is given. Raises NotFound, InvalidInput."""
        if url is not None:
            checked_url(url, private=self._private)
        async with self._database.request(merchant_id) as connection:
            row = await self._found(connection, merchant_id, subscription_id, lock=True)
            new: dict[str, Any] = {
                "url": row["url"] if url is None else url,
                "topics": _checked(topics) if topics else list(row["topics"]),
                "enabled": row["enabled"] if enabled is None else enabled,
            }
            changed = [name for name, value in new.items() if row[name] != value]
            if changed:
                sound = "url" in changed or ("enabled" in changed and new["enabled"])
                await webhook_repository.update(connection, merchant_id, subscription_id, **new, sound=sound)
                before = {name: _told(name, row[name]) for name in changed}
                after = {name: _told(name, new[name]) for name in changed}
                await self._audit(connection, merchant_id, "webhook.updated", subscription_id, before, after)
            return await self._found(connection, merchant_id, subscription_id)

    async def delete(self, merchant_id: str, subscription_id: UUID) -> None:
        """End a subscription. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            row = await self._found(connection, merchant_id, subscription_id, lock=True)
            await webhook_repository.delete(connection, merchant_id, subscription_id)
            before = {"url": without_query(row["url"]), "topics": _text(row["topics"])}
            await self._audit(connection, merchant_id, "webhook.deleted", subscription_id, before, {})

    async def rotate(self, merchant_id: str, subscription_id: UUID, overlap_hours: int | None) -> tuple[Any, str]:
        """Give a subscription a new secret. Returns both. Raises NotFound, InvalidInput."""
        hours = DEFAULT_OVERLAP_HOURS if overlap_hours is None else overlap_hours
        if not 0 <= hours <= MOST_OVERLAP_HOURS:
            raise InvalidInput(f"overlap_hours is 0 to {MOST_OVERLAP_HOURS}.")
        secret, sealed = await self._new_secret(merchant_id)
        async with self._database.request(merchant_id) as connection:
            await self._found(connection, merchant_id, subscription_id, lock=True)
            until = self._clock() + timedelta(hours=hours)
            await webhook_repository.rotate(connection, merchant_id, subscription_id, sealed, until)
            after = {"previous_until": until.isoformat()}
            await self._audit(connection, merchant_id, "webhook.secret_rotated", subscription_id, {}, after)
            return await self._found(connection, merchant_id, subscription_id), secret

    async def deliveries(
        self, merchant_id: str, subscription_id: UUID, status: str, page_size: int, page_token: str
    ) -> tuple[list[Any], str]:
        """A page of deliveries, newest first. Raises NotFound, InvalidInput for a status that there is not."""
        if status and status not in set(Status):
            raise InvalidInput(f"A status is one of {', '.join(Status)}, not {status[:40]!r}.")
        limit, before = page_limit(page_size), uuid_after(page_token)
        async with self._database.request(merchant_id) as connection:
            await self._found(connection, merchant_id, subscription_id)
            rows = await webhook_repository.deliveries(
                connection, merchant_id, subscription_id, Status(status) if status else None, before, limit + 1
            )
        return page_of(rows, limit, lambda row: row["task_id"])

    async def replay(self, merchant_id: str, subscription_id: UUID, task_id: UUID) -> int:
        """Deliver again what ended or waits, for another day. Raises NotFound, PreconditionFailed."""
        async with self._database.request(merchant_id) as connection:
            await self._enabled(connection, merchant_id, subscription_id)
            task, now = (subscription_id, task_id), self._clock()
            if not await webhook_repository.replay(connection, merchant_id, task, now, TRIED_FOR):
                raise PreconditionFailed(
                    f"There is no delivery {task_id} of this webhook that could be repeated: it is unknown or too "
                    "old, its customer was redacted, or it is being delivered just now."
                )
            after = {"delivery_id": str(task_id)}
            await self._audit(connection, merchant_id, "webhook.replayed", subscription_id, {}, after)
            self._queue.announce()
        return 1

    async def replay_failed(self, merchant_id: str, subscription_id: UUID, since: datetime) -> int:
        """Deliver again what failed since then. Returns how many. Raises NotFound, PreconditionFailed."""
        async with self._database.request(merchant_id) as connection:
            await self._enabled(connection, merchant_id, subscription_id)
            count = await webhook_repository.replay_failed(
                connection, merchant_id, subscription_id, self._clock(), TRIED_FOR, since=since, most=MOST_REPLAYED
            )
            after = {"failed_since": since.isoformat(), "deliveries": str(count)}
            await self._audit(connection, merchant_id, "webhook.replayed", subscription_id, {}, after)
            self._queue.announce()
        return count

    def now(self) -> datetime:
        """The present moment by the service's clock."""
        return self._clock()

    def status(self, row: Any) -> str:
        """How a subscription is: active, failing or disabled."""
        if not row["enabled"]:
            return "disabled"
        since = row["failing_since"]
        return "failing" if since is not None and since < self._clock() - FAILING_AFTER else "active"

    async def _new_secret(self, merchant_id: str) -> tuple[str, bytes]:
        secret = new_secret()
        return secret, (await self._keys.for_merchant(merchant_id)).seal(SECRET_PURPOSE, secret.encode())

    async def _enabled(self, connection: Connection, merchant_id: str, subscription_id: UUID) -> None:
        if not (await self._found(connection, merchant_id, subscription_id, lock=True))["enabled"]:
            raise PreconditionFailed("This webhook is disabled, so nothing would be delivered: enable it first.")

    @staticmethod
    async def _found(connection: Connection, merchant_id: str, subscription_id: UUID, *, lock: bool = False) -> Any:
        row = await webhook_repository.subscription(connection, merchant_id, subscription_id, lock=lock)
        if row is None:
            raise NotFound(f"No webhook {subscription_id} is known.")
        return row

    async def _audit(
        self,
        connection: Connection,
        merchant_id: str,
        action: str,
        subscription_id: UUID,
        before: dict[str, str],
        after: dict[str, str],
    ) -> None:
        entry = audited(merchant_id, action, f"webhook:{subscription_id}", self._clock(), before, after)
        await self._outbox.append(connection, [entry])


def _checked(topics: Sequence[str]) -> list[str]:
    """Topics, each once and in our order. Raises InvalidInput for none, and for one that there is not."""
    unknown = next((topic for topic in topics if topic not in TOPICS), None)
    if unknown is not None or not topics:
        raise InvalidInput(f"topics are one or more of {', '.join(TOPICS)}, not {(unknown or '')[:40]!r}.")
    return [topic for topic in TOPICS if topic in topics]


def _told(name: str, value: Any) -> str:
    """A changed field as the audit log has it."""
    return without_query(value) if name == "url" else _text(value)


def _text(value: object) -> str:
    """A value for the audit log."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, list) else str(value)
