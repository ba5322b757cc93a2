"""Commands of an administrator: tokens, proofs, refreshes, keys."""

from typing import Annotated

import typer
from rich.table import Table

from loyalnest.admin_core import admin_core_pb2
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub
from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.cli.console import DataDir, err, out, run, services_at
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.runtime import Runtime
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub
from loyalnest.rfm import rfm_pb2
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub

Merchant = Annotated[str, typer.Argument(metavar="MERCHANT", help="The program's name, such as acme.")]


def token(
    merchant: Merchant,
    data: DataDir = None,
    role: Annotated[str, typer.Option(help="owner, staff or support.")] = "owner",
    hours: Annotated[int, typer.Option(min=1, max=720, help="How long it is valid.")] = 12,
) -> None:
    """Print a bearer token for an admin of a merchant.

    Use it as: curl -H "Authorization: Bearer $(loyalnest token acme)" …
    """

    async def work() -> str:
        async with services_at(data) as services:
            return await make_token(services, merchant, role, hours)

    typer.echo(run(work))


async def make_token(services: Runtime, merchant: str, role: str = "owner", hours: int = 12) -> str:
    """A new session's bearer token."""
    auth = AuthServiceStub(services.channel("auth"))
    with as_merchant(merchant):
        request = auth_pb2.CreateSessionRequest(admin="cli", role=role, lifetime_seconds=hours * 3600)
        return (await auth.CreateSession(request)).token


async def merchants_of(services: Runtime, merchant: str | None) -> list[str]:
    """The merchant, or all there are. Raises NotFound for one that is unknown."""
    auth = AuthServiceStub(services.channel("auth"))
    if merchant:
        with as_merchant(merchant):
            return [(await auth.GetMerchant(auth_pb2.GetMerchantRequest())).merchant_id]
    names: list[str] = []
    page = auth_pb2.ListMerchantsRequest(page_size=200)
    while True:
        found = await auth.ListMerchants(page)
        names.extend(each.merchant_id for each in found.merchants)
        if not found.next_page_token:
            return names
        page = auth_pb2.ListMerchantsRequest(page_size=200, page_token=found.next_page_token)


async def ledger_report(services: Runtime, merchant: str) -> points_pb2.VerifyLedgerResponse:
    """What the proof of a merchant's ledger says."""
    points = PointsServiceStub(services.channel("points"))
    with as_merchant(merchant):
        return await points.VerifyLedger(points_pb2.VerifyLedgerRequest(), timeout=600)


def verify(
    merchant: Annotated[str | None, typer.Argument(metavar="MERCHANT", help="One merchant; all without it.")] = None,
    data: DataDir = None,
) -> None:
    """Prove the ledger: every posting sums to zero, and balances, lots and awards equal their entries. And the audit
    log: no entry was changed, removed, moved or put in.

    Leaves with exit code 1 and names what is wrong if it is not.
    """

    async def work() -> tuple[int, int]:
        ledger = log = 0
        async with services_at(data) as services:
            for name in await merchants_of(services, merchant):
                with as_merchant(name):
                    ledger += await _verify_ledger(services, name)
                    if "admin_core" not in services.settings.disabled_services:
                        log += await _verify_audit_log(services, name)
        return ledger, log

    found = dict(zip(("ledger-mismatch", "audit-log-broken"), run(work), strict=True))
    for runbook, problems in found.items():
        if problems:
            err.print(f"{problems} problems: see docs/runbooks/{runbook}.md")
    if any(found.values()):
        raise typer.Exit(1)


async def _verify_ledger(services: Runtime, merchant: str) -> int:
    """Prove a merchant's ledger and say so. Returns how much is wrong with it."""
    report = await ledger_report(services, merchant)
    if not report.problems:
        out.print(f"{merchant}: {report.transactions} transactions of {report.members} members, all proven")
    for problem in report.problems:
        err.print(f"{merchant}: {problem.check}: {problem.subject}: {problem.detail}", markup=False)
    return len(report.problems)


async def _verify_audit_log(services: Runtime, merchant: str) -> int:
    """The same of its audit log."""
    admin_core = AdminCoreServiceStub(services.channel("admin_core"))
    report = await admin_core.VerifyAuditLog(admin_core_pb2.VerifyAuditLogRequest(), timeout=600)
    if not report.problems:
        out.print(f"{merchant}: {report.entries} entries of the audit log, one chain")
    for problem in report.problems:
        err.print(f"{merchant}: audit log, entry {problem.sequence}: {problem.detail}", markup=False)
    return len(report.problems)


def rfm_refresh(merchant: Merchant, data: DataDir = None) -> None:
    """Score all customers of a merchant anew, as every night."""

    async def work() -> rfm_pb2.RefreshSegmentsResponse:
        async with services_at(data) as services:
            [name] = await merchants_of(services, merchant)
            with as_merchant(name):
                rfm = RfmServiceStub(services.channel("rfm"))
                return await rfm.RefreshSegments(rfm_pb2.RefreshSegmentsRequest(), timeout=600)

    done = run(work)
    out.print(f"{done.customers} customers scored, {done.changed} changed, in {done.seconds:.2f} s")


def keys_rotate(data: DataDir = None) -> None:
    """Make a new key-encryption key (of a data folder) and new data keys, and wrap all under the newest.

    Running processes take the new keys within a minute; what was sealed before stays readable, and the services
    that keep it seal it anew in the background. In a cluster, put the new key first in the Secret before this command.
    """

    async def work() -> auth_pb2.RotateKeysResponse:
        async with services_at(data) as services:
            keys_file = services.settings.encryption_keys_file
            if keys_file is not None:
                KeyEncryptionKeys.read(keys_file).add_key()
            auth = AuthServiceStub(services.channel("auth"))
            return await auth.RotateKeys(auth_pb2.RotateKeysRequest(), timeout=600)

    done = run(work)
    table = Table(box=None, show_header=False)
    table.add_row("merchants", str(done.merchants))
    table.add_row("keys wrapped anew", str(done.rewrapped))
    table.add_row("new data keys", str(done.new_data_keys))
    out.print(table)
