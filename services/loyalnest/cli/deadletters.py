"""Dead letters: what a service gave up on, and giving it another chance."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Annotated

import typer
from rich.table import Table

from loyalnest.cli.console import DataDir, out, run, services_at
from loyalnest.kit.bus import Batch, EventBus, Subscription
from loyalnest.kit.consumer import DeadLetter, dead_letter_topic
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.moving.forwarding import REPLAY_GROUP

ServiceName = Annotated[
    str | None, typer.Option("--service", metavar="NAME", help="Of one service; of all without it.")
]


def list_letters(
    service: ServiceName = None,
    data: DataDir = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were replayed too.")] = False,
) -> None:
    """List events that a service gave up on, with the error."""
    names = chosen(service)

    async def work() -> list[DeadLetter]:
        async with services_at(data) as services:
            return await (kept(services.bus, names) if everything else waiting(services.bus, names))

    letters = run(work)
    if not letters:
        out.print("No dead letters.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("FAILED AT", "SERVICE", "TOPIC", "MERCHANT", "EVENT", "ERROR"):
        table.add_column(column, overflow="fold")
    for letter in letters:
        original = letter.original
        when = f"{letter.failed_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(when, letter.service, original.topic, original.merchant_id, str(original.id), letter.error)
    out.print(table)


def replay_letters(service: ServiceName = None, data: DataDir = None) -> None:
    """Publish dead letters again as they were. Services that applied them drop the repeats by their ids."""
    names = chosen(service)

    async def work() -> int:
        async with services_at(data) as services:
            return await publish_again(services.bus, names)

    out.print(f"{run(work)} dead letters replayed.")


def chosen(service: str | None) -> list[str]:
    """The services that are meant. Raises InvalidInput for one that there is not."""
    found = discover()
    return [each.name for each in in_dependency_order(found, [service] if service else list(found))]


async def kept(bus: EventBus, names: Iterable[str]) -> list[DeadLetter]:
    """Every dead letter that topics still keep."""
    found: list[DeadLetter] = []
    for topic in map(dead_letter_topic, names):
        await bus.ensure_topics([topic])
        found.extend([DeadLetter.read(event) async for event in bus.read_all(topic)])
    return found


async def waiting(bus: EventBus, names: Iterable[str]) -> list[DeadLetter]:
    """The dead letters that were not replayed yet, which stay so."""
    async with aclosing(unread(bus, names)) as batches:
        return [DeadLetter.read(event) async for _, batch in batches for event in batch.events]


async def publish_again(bus: EventBus, names: Iterable[str]) -> int:
    """Publish what `waiting` tells, and note that it was. Returns how many."""
    replayed = 0
    async with aclosing(unread(bus, names)) as batches:
        async for subscription, batch in batches:
            await bus.publish([DeadLetter.read(event).original for event in batch.events])
            await subscription.commit(batch)
            replayed += len(batch.events)
    return replayed


async def unread(bus: EventBus, names: Iterable[str]) -> AsyncGenerator[tuple[Subscription, Batch]]:
    """The dead letters that were not replayed yet, with the subscription that can note that they were."""
    for topic in map(dead_letter_topic, names):
        await bus.ensure_topics([topic])
        if not (await bus.lag(REPLAY_GROUP, topic)).events:  # spares the wait for events that are not there
            continue
        subscription = bus.subscribe(REPLAY_GROUP, topic)
        try:
            while (batch := await subscription.fetch(1000, 1.0)).events:
                yield subscription, batch
        finally:
            await subscription.close()
