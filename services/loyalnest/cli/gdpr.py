"""`loyalnest gdpr`: what the platform's admin does about privacy requests."""

from datetime import datetime
from typing import Annotated

import typer

from loyalnest.admin_core import admin_core_pb2
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub
from loyalnest.cli.admin import merchants_of
from loyalnest.cli.console import DataDir, out, run, services_at
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import InvalidInput


def replay(
    since: Annotated[str, typer.Option(help="When the backup was made, such as 2026-05-01T00:00:00Z.")],
    merchant: Annotated[str | None, typer.Argument(metavar="MERCHANT", help="One merchant; all without it.")] = None,
    data: DataDir = None,
) -> None:
    """Tell every service again of the redactions since a time, after a restore from a backup.

    Services do again what the restore undid, and nothing twice. Give a time a little before the backup's.
    """
    moment = _moment(since)

    async def work() -> dict[str, int]:
        told: dict[str, int] = {}
        async with services_at(data) as services:
            admin_core = AdminCoreServiceStub(services.channel("admin_core"))
            for name in await merchants_of(services, merchant):
                with as_merchant(name):
                    request = admin_core_pb2.ReplayGdprRequestsRequest(since=moment.isoformat())
                    told[name] = (await admin_core.ReplayGdprRequests(request, timeout=600)).told
        return told

    for name, count in run(work).items():
        out.print(f"{name}: {count} redactions told again")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput("--since must be a moment with a time zone, such as 2026-05-01T00:00:00Z.")
    return moment
