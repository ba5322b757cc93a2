"""Sends after a merchant what came to its old place when it had moved already, and what that place had given up on.

A gateway that could not ask auth goes by what it knew, so a delivery may still be taken after the merchant was closed.
Nothing that was acknowledged is lost by it: the delivery waits in a topic of the old place. Events keep their ids, so
that sending them twice, or one that moved with the rows, changes nothing.
"""

from collections.abc import Iterable
from datetime import datetime

from loyalnest.kit.bus import EventBus, Positions
from loyalnest.kit.consumer import dead_letter_topic
from loyalnest.kit.events import Event
from loyalnest.kit.service import Service

BATCH = 500
REPLAY_GROUP = "deadletters"
"""The group that notes which dead letters were published again."""


async def forward_events(
    old: EventBus, new: EventBus, services: Iterable[Service], merchant_id: str, since: datetime
) -> int:
    """Publish in `new` the merchant's events in `old` that nobody else would. Returns how many.

    They are what the edge took at `since` or later, and the dead letters that were not published again. What services
    tell each other is left: each tells it in the new place itself.
    """
    places: dict[str, Positions] = {}
    for service in services:
        if service.edge:
            places |= {each.topic: await old.positions_at(each.topic, since) for each in service.produces}
        letters = dead_letter_topic(service.name)
        places[letters] = await old.positions(REPLAY_GROUP, letters)
    await new.ensure_topics(sorted(places))
    count, batch = 0, list[Event]()
    for topic, positions in places.items():
        async for event in old.read_all(topic, positions):
            if event.merchant_id == merchant_id:
                batch.append(event)
            if len(batch) == BATCH:
                count += await _publish(new, batch)
    return count + await _publish(new, batch)


async def _publish(bus: EventBus, batch: list[Event]) -> int:
    count = len(batch)
    await bus.publish(batch)
    batch.clear()
    return count
