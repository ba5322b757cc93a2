"""The gRPC side of admin_core: messages in and out, who may ask, no other decisions."""

import re
from datetime import datetime
from typing import Any

from loyalnest.admin_core import admin_core_pb2 as pb
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceServicer
from loyalnest.admin_core.audit import AuditTrail, Entry
from loyalnest.admin_core.audit_repository import Filter
from loyalnest.admin_core.events import GdprKind
from loyalnest.admin_core.exports import Exports
from loyalnest.admin_core.requests import GdprRequests, Shown
from loyalnest.admin_core.verification import NightlyVerification
from loyalnest.kit.context import current, require_role, required_merchant
from loyalnest.kit.errors import Forbidden, InvalidInput
from loyalnest.kit.rpc.fields import time_text, uuid_of

_READERS = ("owner", "staff", "support")
_CUSTOMER = re.compile(r"customer:([1-9][0-9]{0,18})")


class AdminCoreGrpc(AdminCoreServiceServicer):
    """Serves `admin_core.v1.AdminCoreService` for the merchant of the call's context."""

    def __init__(
        self, trail: AuditTrail, verification: NightlyVerification, requests: GdprRequests, exports: Exports
    ) -> None:
        self._trail = trail
        self._verification = verification
        self._requests = requests
        self._exports = exports

    async def GetAuditLogs(self, request: pb.GetAuditLogsRequest, context: Any) -> pb.GetAuditLogsResponse:
        require_role(*_READERS)
        customer = _CUSTOMER.fullmatch(request.subject)
        wanted = Filter(
            actor=_line(request.actor),
            action=_line(request.action),
            subject="" if customer else _line(request.subject),
            since=_moment(request.since, "since"),
            until=_moment(request.until, "until"),
        )
        entries, token = await self._trail.listed(
            required_merchant(), wanted, int(customer[1]) if customer else 0, request.page_size, request.page_token
        )
        return pb.GetAuditLogsResponse(entries=[_entry(each) for each in entries], next_page_token=token)

    async def VerifyAuditLog(self, request: pb.VerifyAuditLogRequest, context: Any) -> pb.VerifyAuditLogResponse:
        require_role(*_READERS)
        entries, problems = await self._verification.verify(required_merchant())
        return pb.VerifyAuditLogResponse(
            entries=entries,
            problems=[pb.AuditProblem(sequence=each.sequence, detail=each.detail) for each in problems],
        )

    async def CreateGdprRequest(self, request: pb.CreateGdprRequestRequest, context: Any) -> pb.GdprRequest:
        require_role("owner")
        if request.kind == GdprKind.SHOP_REDACT:
            _only_the_platform()
        return _request(
            await self._requests.create(
                required_merchant(), request.kind, request.customer_id, request.reason, request.idempotency_key
            )
        )

    async def ListGdprRequests(self, request: pb.ListGdprRequestsRequest, context: Any) -> pb.ListGdprRequestsResponse:
        require_role(*_READERS)
        found, token = await self._requests.listed(
            required_merchant(), request.status, request.kind, request.page_size, request.page_token
        )
        return pb.ListGdprRequestsResponse(requests=[_request(each) for each in found], next_page_token=token)

    async def GetGdprRequest(self, request: pb.GetGdprRequestRequest, context: Any) -> pb.GdprRequest:
        require_role(*_READERS)
        return _request(await self._requests.get(required_merchant(), uuid_of(request.request_id, "GDPR request")))

    async def ReadGdprExport(self, request: pb.ReadGdprExportRequest, context: Any) -> pb.ReadGdprExportResponse:
        require_role("owner")
        data, token = await self._exports.read(
            required_merchant(), uuid_of(request.request_id, "GDPR request"), request.reason, request.page_token
        )
        return pb.ReadGdprExportResponse(data=data, next_page_token=token)

    async def ReplayGdprRequests(
        self, request: pb.ReplayGdprRequestsRequest, context: Any
    ) -> pb.ReplayGdprRequestsResponse:
        _only_the_platform()
        since = _moment(request.since, "since")
        if since is None:
            raise InvalidInput("since must say from when on: the time of the backup that was restored.")
        return pb.ReplayGdprRequestsResponse(told=await self._requests.replay(required_merchant(), since))


def _only_the_platform() -> None:
    if current().role != "system":
        raise Forbidden("Only the platform's own admin may do this, by the command line.")


def _line(text: str) -> str:
    if "\0" in text or len(text) > 200:
        raise InvalidInput("A filter has at most 200 characters, without control characters.")
    return text


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput(f"{name} must be a moment with a time zone, such as 2026-05-01T00:00:00Z.")
    return moment


def _entry(entry: Entry) -> pb.AuditEntry:
    row = entry.row
    return pb.AuditEntry(
        sequence=row.sequence,
        at=time_text(row.at),
        actor=row.actor,
        role=row.role,
        action=row.action,
        subject=row.subject,
        before=row.before,
        after=row.after,
        redacted=entry.redacted,
        hash=entry.hash.hex(),
    )


def _request(shown: Shown) -> pb.GdprRequest:
    request, details = shown.request, shown.details
    return pb.GdprRequest(
        request_id=str(request.request_id),
        kind=request.kind,
        customer_id=0 if details is None else details.customer_id,
        source=request.source,
        status=request.status,
        reason=request.reason or ("" if details is None else details.reason),
        requested_by=request.requested_by,
        requested_at=time_text(request.requested_at),
        starts_at=time_text(request.starts_at),
        due_at=time_text(request.due_at),
        told_at=time_text(request.told_at),
        ended_at=time_text(request.ended_at),
        export_until=time_text(request.export_until),
        confirmations=[
            pb.GdprConfirmation(
                service=each.service,
                confirmed=each.confirmed_at is not None,
                confirmed_at=time_text(each.confirmed_at),
                counts=each.counts,
            )
            for each in shown.confirmations
        ],
    )
