"""`loyalnest close`, `move`, `forward` and `erase`: a merchant goes from one place to another, or for good.

The own place is the old one, as LOYALNEST_ variables name it; OTHER_LOYALNEST_ variables name the new one. Each command
is safe to kill and to run again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import typer

from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.cli.admin import Merchant, ledger_report
from loyalnest.cli.console import DataDir, out, run, settings_at
from loyalnest.kit.bus import EventBus
from loyalnest.kit.clock import system_clock
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.environment import open_bus
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable
from loyalnest.kit.moving.copying import Copied, NotSettled, copy_merchant
from loyalnest.kit.moving.draining import marks, unapplied, unsettled
from loyalnest.kit.moving.erasing import erase_merchant
from loyalnest.kit.moving.forwarding import forward_events
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.service import Residence, Service
from loyalnest.kit.settings import OtherSettings, Settings

QUIET_SECONDS = 60.0
"""By then every process knows that a merchant is closed, and has ended what it had begun: gateways go by what auth told
them for 30 s, read a body for 10, and store it within 5."""
PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 1.0

Quiet = Annotated[
    float, typer.Option("--quiet", help="Seconds after the closing in which deliveries may still be on their way.")
]
Patience = Annotated[float, typer.Option("--patience", help="Seconds to wait for what is under way to be applied.")]


def close(
    merchant: Merchant, data: DataDir = None, quiet: Quiet = QUIET_SECONDS, patience: Patience = PATIENCE_SECONDS
) -> None:
    """Take nothing of a merchant any more, and wait until all that was taken is applied.

    The gateway answers its deliveries and calls with 503, so that Shopify sends them again later. Provisioning the
    merchant's program opens it again. Nothing that was acknowledged is lost.
    """

    async def work() -> datetime:
        async with settings_at(data) as settings:
            closed_at = await close_merchant(settings, merchant, quiet)
            await until_settled(settings, merchant, patience)
            return closed_at

    out.print(f"{merchant}: closed since {run(work).isoformat()}, and all that was taken before is applied")


def move(merchant: Merchant, quiet: Quiet = QUIET_SECONDS, patience: Patience = PATIENCE_SECONDS) -> None:
    """Close a merchant here, and copy all its rows to the place that the OTHER_LOYALNEST_ variables name.

    The rows are those of one moment at which nothing of the merchant was under way. Its keys are wrapped under the
    other place's key-encryption keys, and its ledger is proven there. It stays closed in both places: provision it in
    the other to go on there, or here to go on as before. The logins must own the tables, and both places be migrated.
    """

    async def work() -> list[Copied]:
        here, there = Settings.from_environment(), OtherSettings.from_environment()
        return await move_merchant(here, there, merchant, quiet, patience)

    copied = run(work)
    for each in copied:
        if each.rows:
            out.print(f"{each.table}: {each.rows:,} rows")
    out.print(f"{merchant}: {sum(each.rows for each in copied):,} rows copied, the ledger proven")


def forward(merchant: Merchant, quiet: Quiet = QUIET_SECONDS) -> None:
    """Send after a moved merchant what was taken here all the same, and the dead letters that were not replayed."""

    async def work() -> int:
        return await forward_merchant(Settings.from_environment(), OtherSettings.from_environment(), merchant, quiet)

    out.print(f"{merchant}: {run(work):,} events forwarded")


def erase(
    merchant: Merchant,
    data: DataDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    quiet: Quiet = QUIET_SECONDS,
    patience: Patience = PATIENCE_SECONDS,
) -> None:
    """Close a merchant, and delete all its rows and keys. Export them before: nothing brings them back."""
    if not yes:
        typer.confirm(f"Delete everything of {merchant} for good?", abort=True)

    async def work() -> dict[str, int]:
        async with settings_at(data) as settings:
            return await erase_closed(settings, merchant, quiet, patience)

    gone = run(work)
    for table, rows in gone.items():
        out.print(f"{table}: {rows:,} rows")
    out.print(f"{merchant}: {sum(gone.values()):,} rows deleted")


async def close_merchant(settings: Settings, merchant: str, quiet: float) -> datetime:
    """Close a merchant; since when it is. Returns when nothing can be on its way any more. Raises NotFound."""
    async with _opened(settings, ["auth"]) as services:
        with as_merchant(merchant):
            answer = await AuthServiceStub(services.channel("auth")).CloseMerchant(auth_pb2.CloseMerchantRequest())
    closed_at = datetime.fromisoformat(answer.closed_at)
    left = quiet - (system_clock() - closed_at).total_seconds()
    await asyncio.sleep(max(0.0, left))
    return closed_at


async def until_settled(settings: Settings, merchant: str, patience: float) -> None:
    """Return when nothing of a closed merchant is under way. Raises Unavailable with what still is."""
    deadline = time.monotonic() + patience
    async with _bus(settings) as bus:
        while words := await unsettled(bus, settings.placement(), running(settings), merchant):
            if time.monotonic() > deadline:
                raise Unavailable(_stuck(merchant, words))
            await asyncio.sleep(LOOK_SECONDS)


async def move_merchant(here: Settings, there: Settings, merchant: str, quiet: float, patience: float) -> list[Copied]:
    """See `move`. Raises Conflict if the merchant is open there, Unavailable if something stays under way here."""
    await close_merchant(here, merchant, quiet)
    keeper, residence = _keeper()
    old_keys, new_keys = KeyEncryptionKeys.from_settings(here), KeyEncryptionKeys.from_settings(there)

    async def refuse_open(service: str, connection: Connection) -> None:
        if service == keeper and await residence.is_open(connection, merchant):
            raise Conflict(f"{merchant} is open in the place that it should move to: nothing is written over.")

    async def rewrap(service: str, connection: Connection) -> None:
        if service == keeper:
            await residence.rewrap(connection, merchant, old_keys, new_keys)

    deadline = time.monotonic() + patience
    async with _bus(here) as bus:
        while True:
            since = await marks(bus, running(here))
            try:
                copied = await copy_merchant(
                    here.placement(),
                    there.placement(),
                    _every(),
                    merchant,
                    settled=partial(unapplied, bus, since, merchant),
                    before=refuse_open,
                    after=rewrap,
                )
                break
            except NotSettled as error:
                if time.monotonic() > deadline:
                    raise Unavailable(_stuck(merchant, error.detail)) from None
            await asyncio.sleep(LOOK_SECONDS)
    await _prove(there, merchant)
    return copied


async def forward_merchant(here: Settings, there: Settings, merchant: str, quiet: float) -> int:
    """See `forward`. Returns how many events; none if the merchant is not known here any more."""
    try:
        closed_at = await close_merchant(here, merchant, quiet)
    except NotFound:
        return 0
    since = closed_at - timedelta(seconds=quiet)  # clocks differ; what is sent for nothing is known there
    async with _bus(here) as old, _bus(there) as new:
        return await forward_events(old, new, _every(), merchant, since)


async def erase_closed(settings: Settings, merchant: str, quiet: float, patience: float) -> dict[str, int]:
    """See `erase`. The merchant itself goes last, so that it stays closed till then. Returns rows by table."""
    try:
        await close_merchant(settings, merchant, quiet)
        await until_settled(settings, merchant, patience)
    except NotFound:
        pass  # one that was killed before had come to the end, or there never was such a merchant
    keeper, _ = _keeper()
    services = sorted(_every(), key=lambda service: service.name == keeper)
    return await erase_merchant(settings.placement(), services, merchant)


def running(settings: Settings) -> list[Service]:
    """The services that should run somewhere for this place."""
    return [each for each in _every() if each.name not in settings.disabled_services]


def _every() -> Sequence[Service]:
    found = discover()
    return in_dependency_order(found, list(found))


def _keeper() -> tuple[str, Residence]:
    """The service that keeps the merchants."""
    for service in discover().values():
        if service.residence is not None:
            return service.name, service.residence
    raise InvalidInput("No service declares a residence, so none keeps the merchants.")


def _stuck(merchant: str, words: str) -> str:
    return (
        f"Something of {merchant} stays under way: {words.removeprefix('Not yet applied: ').rstrip('.')}. See whether "
        "every service that reads it runs (one that should not belongs into LOYALNEST_DISABLED_SERVICES); try again."
    )


@asynccontextmanager
async def _bus(settings: Settings) -> AsyncIterator[EventBus]:
    bus = open_bus(settings)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


@asynccontextmanager
async def _opened(settings: Settings, names: Sequence[str]) -> AsyncIterator[Runtime]:
    """Services in this process, whoever else runs them, to be called as `system`."""
    runtime = Runtime(settings.model_copy(update={"peers": {}}), names, listen_grpc=False)
    try:
        await runtime.open()
        yield runtime
    finally:
        await runtime.stop()


async def _prove(settings: Settings, merchant: str) -> None:
    """Raise PreconditionFailed if the ledger in its new place is not what it should be."""
    if "points" in settings.disabled_services:
        return
    async with _opened(settings, ["auth", "points"]) as services:
        report = await ledger_report(services, merchant)
    if report.problems:
        first = report.problems[0]
        raise PreconditionFailed(
            f"The ledger of {merchant} has {len(report.problems)} problems, such as {first.check}: {first.subject}: "
            f"{first.detail}. Mend it here first (loyalnest verify {merchant})."
        )
