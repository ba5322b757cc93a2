"""Signed orders at a constant rate through the front door, from a process of their own.

The load is open-loop: order n is due at start + n / rate whatever became of those before, and every latency counts
from that moment, so that a stall shows in full. A sample of the orders is watched until the balance shows.

    python -m load.orders --url http://127.0.0.1:8080 --rate 300 --seconds 30 --token …
"""

import argparse
import asyncio
import json
import random
import time
from dataclasses import asdict, dataclass, field

import aiohttp
import uvloop

from loyalnest.kit.shopify.signatures import webhook_signature
from shopify.bodies import customer, encode, line, order

CONNECTIONS = 64
WATCHED = 0.01
"""Share of the orders whose visibility is measured; each is the first order of a new customer."""
POLL_SECONDS = 0.02
GIVE_UP_SECONDS = 60.0


@dataclass(slots=True)
class Load:
    """What to send: orders a second, for how long, and bytes a body (0: as they come)."""

    url: str
    merchant: str
    secret: str
    token: str
    rate: float
    seconds: float
    body_bytes: int = 0


@dataclass(slots=True)
class Result:
    """What came of it; latencies in seconds from the intended moment."""

    sent: int = 0
    refused: int = 0
    failed: int = 0
    unseen: int = 0
    seconds: float = 0.0
    acknowledged: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)


async def run(load: Load) -> Result:
    """Send the load and watch the sample. Bodies are made and signed before the clock starts."""
    chance = random.Random(1)
    prepared = [_prepare(load, number) for number in range(round(load.rate * load.seconds))]
    result = Result()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(load.url, connector=connector, timeout=timeout) as session:
        watchers: list[asyncio.Task[None]] = []
        started = time.perf_counter()

        async def deliver(number: int, due: float) -> None:
            customer_id, body, headers = prepared[number]
            try:
                async with session.post("/webhooks/orders/create", data=body, headers=headers) as response:
                    await response.read()
                    status = response.status
            except (TimeoutError, aiohttp.ClientError):
                result.failed += 1
                return
            if status != 200:
                result.refused += 1
                return
            result.sent += 1
            result.acknowledged.append(time.perf_counter() - due)
            if chance.random() < WATCHED:
                watchers.append(asyncio.create_task(_watch(session, load, customer_id, due, result)))

        async with asyncio.TaskGroup() as group:
            for number in range(len(prepared)):
                due = started + number / load.rate
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(deliver(number, due))
        result.seconds = time.perf_counter() - started
        await asyncio.gather(*watchers)
    return result


def _prepare(load: Load, number: int) -> tuple[int, bytes, dict[str, str]]:
    buyer = customer()
    lines = [line(price="10.00", quantity=1), line(price="2.50", quantity=2)]
    body = encode(order(customer=buyer, lines=lines), pad_to=load.body_bytes)
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Shop-Domain": f"{load.merchant}.myshopify.com",
        "X-Shopify-Webhook-Id": f"bench-{time.time_ns()}-{number}",
        "X-Shopify-Hmac-Sha256": webhook_signature(load.secret, body),
    }
    return buyer["id"], body, headers


async def _watch(session: aiohttp.ClientSession, load: Load, customer_id: int, due: float, result: Result) -> None:
    """Poll until the customer has points."""
    headers = {"Authorization": f"Bearer {load.token}"}
    while time.perf_counter() - due < GIVE_UP_SECONDS:
        async with session.get(f"/frontend/points?customer_id={customer_id}", headers=headers) as response:
            if response.status == 200 and (await response.json())["available"]:
                result.visible.append(time.perf_counter() - due)
                return
        await asyncio.sleep(POLL_SECONDS)
    result.unseen += 1


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of `values` do not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def main() -> None:
    """Run by the command line and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--merchant", default="acme")
    parser.add_argument("--secret", default="acme-secret")
    parser.add_argument("--token", required=True)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--body-bytes", type=int, default=0)
    options = vars(parser.parse_args())
    result = uvloop.run(run(Load(**options)))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
