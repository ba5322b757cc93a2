"""Dead letters: what a service gave up on, and giving it another chance."""

from typing import Annotated

import typer
from rich.table import Table

from loyalnest.cli.console import DataDir, out, run, services_at
from loyalnest.kit.consumer import DeadLetter, dead_letter_topic
from loyalnest.kit.discovery import discover
from loyalnest.kit.runtime import Runtime

ServiceName = Annotated[str | None, typer.Option("--service", help="Of one service; of all without it.")]


async def _letters(services: Runtime, service: str | None, since_replay: bool) -> list[DeadLetter]:
    """Dead letters that are still kept; those not yet replayed if `since_replay`."""
    found: list[DeadLetter] = []
    for name in [service] if service else discover():
        topic = dead_letter_topic(name)
        await services.bus.ensure_topics([topic])
        if since_replay:
            subscription = services.bus.subscribe(REPLAY_GROUP, topic)
            try:
                while (batch := await subscription.fetch(1000, 1.0)).events:
                    found.extend(DeadLetter.read(event) for event in batch.events)
            finally:
                await subscription.close()
        else:
            found.extend([DeadLetter.read(event) async for event in services.bus.read_all(topic)])
    return found


REPLAY_GROUP = "deadletters"


def list_letters(
    service: ServiceName = None,
    data: DataDir = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were replayed too.")] = False,
) -> None:
    """List events that a service gave up on, with the error."""

    async def work() -> list[DeadLetter]:
        async with services_at(data) as services:
            return await _letters(services, service, since_replay=not everything)

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

    async def work() -> int:
        replayed = 0
        async with services_at(data) as services:
            for name in [service] if service else list(discover()):
                topic = dead_letter_topic(name)
                await services.bus.ensure_topics([topic])
                subscription = services.bus.subscribe(REPLAY_GROUP, topic)
                try:
                    while (batch := await subscription.fetch(1000, 1.0)).events:
                        await services.bus.publish([DeadLetter.read(event).original for event in batch.events])
                        await subscription.commit(batch)
                        replayed += len(batch.events)
                finally:
                    await subscription.close()
        return replayed

    out.print(f"{run(work)} dead letters replayed.")
