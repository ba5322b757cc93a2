"""What a bus promises."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from loyalnest.kit.events import Event

Positions = Mapping[int, int]
"""Where reading a topic stands, by partition; greater is later. A partition that is not named: at its beginning."""

BEGINNING: Positions = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Batch:
    """Events fetched together, and where reading stands after them (`position` is the bus's own business)."""

    events: Sequence[Event]
    position: Any


@dataclass(frozen=True, slots=True)
class TopicLag:
    """How many events of a topic a group has not yet committed."""

    group: str
    topic: str
    events: int


class Subscription(Protocol):
    """One member's reading of one topic for one group. Events of one (merchant, key) come in order."""

    async def fetch(self, limit: int, wait: float) -> Batch:
        """Up to `limit` events that follow what was fetched before; an empty batch after `wait` seconds without any."""
        ...

    async def commit(self, batch: Batch) -> None:
        """Note that everything up to the end of `batch` is done. A hint: after a crash a batch may come again."""
        ...

    async def rewind(self) -> None:
        """Forget what was fetched and not committed; the next fetch gives it again."""
        ...

    async def close(self) -> None:
        """Leave the group and free what is held. Safe to call twice."""
        ...


class EventBus(Protocol):
    """An append-only log per topic."""

    async def start(self) -> None:
        """Connect. Raises Unavailable if the other side cannot be reached."""
        ...

    async def stop(self) -> None:
        """Write what was accepted, then disconnect. Safe to call twice."""
        ...

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Make the topics that are missing."""
        ...

    async def publish(self, events: Sequence[Event]) -> None:
        """Returns when all `events` are durable, in the order given for one key. Concurrent calls share a write.

        Raises Unavailable if that could not be done; some of the events may have been written all the same.
        """
        ...

    def subscribe(self, group: str, topic: str, *, member: int = 0, members: int = 1) -> Subscription:
        """Read `topic` for `group`, as one of `members` in this process that share its partitions."""
        ...

    def read_all(self, topic: str, after: Positions = BEGINNING) -> AsyncIterator[Event]:
        """Every event of `topic` after some positions that is still kept, oldest first per key, without a group.

        It ends at the present end.
        """
        ...

    async def positions(self, group: str, topic: str) -> Positions:
        """What `group` has committed of `topic`."""
        ...

    async def positions_at(self, topic: str, moment: datetime) -> Positions:
        """Where reading `topic` begins to give the events that were published at `moment` or later."""
        ...

    async def lag(self, group: str, topic: str) -> TopicLag:
        """How far `group` is behind on `topic`."""
        ...
