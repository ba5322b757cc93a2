"""`loyalnest replay`: sends a file of purchases as signed Shopify deliveries through the front door."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.cli.console import DataDir, err, out, run, services_at
from loyalnest.cli.purchases import Purchase, read_purchases
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.shopify.signatures import webhook_signature

TRIES = 8
"""As Shopify: so often is a delivery tried before it counts as failed."""


@dataclass(slots=True)
class Outcome:
    """What came of a replay; seconds by the wall clock."""

    sent: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Shop:
    """Where deliveries go and how they are signed."""

    url: str
    domain: str
    secret: str


class Watermark:
    """Remembers in a file how far a replay has come, so that the next one goes on from there.

    Deliveries end out of order; the mark is the number of the first that has not ended. Repeating one is harmless.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.position = self._read()
        self._ended: set[int] = set()
        self._written = self.position

    def _read(self) -> int:
        try:
            return int(json.loads(self._file.read_text())["position"])
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{self._file} is not a replay's state: delete it to begin anew.") from error

    def end(self, number: int) -> None:
        """Note that delivery `number` was acknowledged."""
        self._ended.add(number)
        while self.position in self._ended:
            self._ended.discard(self.position)
            self.position += 1
        if self.position - self._written >= 500:
            self.write()

    def write(self) -> None:
        """Write the mark, replacing the file at once."""
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({"position": self.position}))
        part.replace(self._file)
        self._written = self.position


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CDNOW text, or JSON lines of Shopify bodies.")],
    merchant: Annotated[str, typer.Option("--merchant", metavar="M", help="The program's name, such as acme.")],
    data: DataDir = None,
    url: Annotated[str, typer.Option(help="The gateway.")] = "http://127.0.0.1:8080",
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Deliveries under way at once.")] = 32,
    state: Annotated[Path | None, typer.Option(help="Where progress is kept. FILE.M.replay without it.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.")] = False,
) -> None:
    """Send a file of purchases as signed deliveries, and go on where an interrupted replay left off.

    CDNOW lines become customers/create and orders/create; a JSON line is an order's body, or
    {"topic": "refunds/create", "body": {…}}. A delivery keeps its id in every replay, so none is applied twice.
    """
    mark_file = state or file.with_name(f"{file.name}.{merchant}.replay")

    async def work() -> Outcome:
        async with services_at(data) as services:
            shop = await shop_of(services, merchant, url)
        if restart:
            mark_file.unlink(missing_ok=True)
        return await send_all(read_purchases(file), shop, Watermark(mark_file), concurrency)

    outcome = run(work)
    rate = outcome.sent / outcome.seconds if outcome.seconds else 0.0
    out.print(
        f"{outcome.sent} deliveries sent in {outcome.seconds:.1f} s ({rate:.0f}/s), {outcome.skipped} skipped as "
        f"sent before, {outcome.failed} failed"
    )
    for status, count in outcome.statuses.items():
        err.print(f"  {count} × {status}", markup=False)
    if outcome.failed:
        raise typer.Exit(1)


async def shop_of(services: Runtime, merchant: str, url: str) -> Shop:
    """The shop of a merchant. Raises NotFound for an unknown one."""
    auth = AuthServiceStub(services.channel("auth"))
    with as_merchant(merchant):
        domain = (await auth.GetMerchant(auth_pb2.GetMerchantRequest())).shop_domain
    found = await auth.ValidateMerchant(auth_pb2.ValidateMerchantRequest(shop_domain=domain))
    return Shop(url, domain, found.api_secrets[0])


async def send_all(purchases: list[Purchase], shop: Shop, mark: Watermark, concurrency: int) -> Outcome:
    """Send every delivery after the mark. Those that fail are counted and stay behind the mark."""
    outcome = Outcome(skipped=mark.position)
    started = time.perf_counter()
    waiting = iter(list(enumerate(purchases))[mark.position :])
    columns = (
        TextColumn("Replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s, {task.fields[failed]} failed"),
        TimeRemainingColumn(),
    )
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task("", total=len(purchases), completed=mark.position, rate=0.0, failed=0)

        def tell() -> None:
            rate = outcome.sent / max(time.perf_counter() - started, 0.001)
            progress.update(task, advance=1, rate=rate, failed=outcome.failed)

        async with httpx.AsyncClient(base_url=shop.url, timeout=30.0, limits=limits) as client:

            async def sender(deliveries: Iterator[tuple[int, Purchase]]) -> None:
                for number, purchase in deliveries:
                    problem = await _send(client, shop, purchase)
                    if problem:
                        outcome.failed += 1
                        outcome.statuses[problem] += 1
                    else:
                        outcome.sent += 1
                        mark.end(number)
                    tell()

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(concurrency):
                        group.create_task(sender(waiting))
            finally:
                mark.write()
    outcome.seconds = time.perf_counter() - started
    return outcome


async def _send(client: httpx.AsyncClient, shop: Shop, purchase: Purchase) -> str:
    """Deliver one; what went wrong in the end, or nothing. Tries again where Shopify would."""
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": purchase.topic,
        "X-Shopify-Shop-Domain": shop.domain,
        "X-Shopify-Webhook-Id": purchase.delivery_id,
        "X-Shopify-Hmac-Sha256": webhook_signature(shop.secret, purchase.body),
    }
    problem = ""
    for attempt in range(TRIES):
        wait = min(5.0, 0.1 * 2**attempt)
        try:
            response = await client.post(f"/webhooks/{purchase.topic}", content=purchase.body, headers=headers)
        except httpx.TransportError as error:
            problem = f"no answer ({type(error).__name__})"
        else:
            if response.is_success:
                return ""
            problem = f"{response.status_code} {response.text[:200]}"
            if response.status_code < 500 and response.status_code != 429:
                return problem
            wait = float(response.headers.get("Retry-After", wait))
        await asyncio.sleep(wait)
    return problem
