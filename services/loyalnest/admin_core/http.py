"""Admin_core's routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from loyalnest.admin_core import admin_core_pb2 as pb
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub
from loyalnest.kit.context import current, use
from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import CustomerId, PageSize, PageToken, ShortText

Word = Annotated[str, Query(max_length=200)]
Moment = Annotated[str, Query(max_length=40, description="With a time zone, such as 2026-05-01T00:00:00Z.")]
StatusName = Literal["scheduled", "open", "completed", "cancelled", "refused"]
KindName = Literal["customer_data", "customer_redact", "shop_redact"]

IdempotencyKey = Annotated[
    str,
    Header(alias="Idempotency-Key", min_length=1, max_length=200, description="The same key never acts twice."),
]


class AuditEntryView(BaseModel):
    """Who did what to what. Entries are never changed; each one's hash is over it and the one before."""

    sequence: int
    at: str
    actor: str
    role: str
    action: str
    subject: str
    before: dict[str, str]
    after: dict[str, str]
    redacted: bool = Field(description="What it said of a customer was erased with the customer.")
    hash: str


class AuditView(BaseModel):
    entries: list[AuditEntryView]
    next_page_token: str


class AuditProblemView(BaseModel):
    sequence: int = Field(description="Of the entry where it shows; 0 for the log as a whole.")
    detail: str


class VerificationView(BaseModel):
    entries: int
    problems: list[AuditProblemView] = Field(description="None, or somebody changed what was written.")


class ConfirmationView(BaseModel):
    service: str
    confirmed: bool
    confirmed_at: str
    counts: dict[str, int] = Field(description="Rows that were redacted or exported, by what they are.")


class GdprRequestView(BaseModel):
    request_id: str
    kind: KindName
    customer_id: str | None = Field(description="Null for a shop, and once nobody has to be told of the customer.")
    source: str = Field(description="shopify, uninstall or admin")
    status: StatusName
    reason: str = Field(description="Why it was asked for, cancelled or refused.")
    requested_by: str
    requested_at: str
    starts_at: str
    due_at: str = Field(description="30 days after it was asked for, or is to start.")
    told_at: str
    ended_at: str
    export_until: str = Field(description="Until when the file can be read; empty for none.")


class GdprRequestDetailView(GdprRequestView):
    confirmations: list[ConfirmationView] = Field(description="Of every service that has to do it.")


class GdprRequestsView(BaseModel):
    requests: list[GdprRequestView]
    next_page_token: str


class GdprRequestBody(BaseModel):
    kind: Literal["customer_data", "customer_redact"]
    customer_id: CustomerId
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*\S[^\x00]*$")]


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/audit…` and `/frontend/gdpr…`."""
    router = APIRouter()
    admin_core = AdminCoreServiceStub(environment.channel("admin_core"))
    router.include_router(_audit(admin_core))
    router.include_router(_gdpr(admin_core))
    return router


def _audit(admin_core: Any) -> APIRouter:
    router = APIRouter(prefix="/frontend/audit", tags=["audit"])

    @router.get("", summary="Who did what, newest first")
    async def entries(
        actor: Word = "",
        action: Word = "",
        subject: Annotated[
            str, Query(max_length=200, description="`customer:<id>` finds every entry that names the customer.")
        ] = "",
        since: Moment = "",
        until: Moment = "",
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> AuditView:
        page = await admin_core.GetAuditLogs(
            pb.GetAuditLogsRequest(
                actor=actor,
                action=action,
                subject=subject,
                since=since,
                until=until,
                page_size=page_size,
                page_token=page_token,
            )
        )
        return AuditView(entries=[_entry(each) for each in page.entries], next_page_token=page.next_page_token)

    @router.get("/verification", summary="Prove that no entry was changed, removed, moved or put in")
    async def verification() -> VerificationView:
        found = await admin_core.VerifyAuditLog(pb.VerifyAuditLogRequest())
        return VerificationView(
            entries=found.entries,
            problems=[AuditProblemView(sequence=each.sequence, detail=each.detail) for each in found.problems],
        )

    return router


def _gdpr(admin_core: Any) -> APIRouter:
    router = APIRouter(prefix="/frontend/gdpr/requests", tags=["gdpr"])

    @router.post("", summary="Ask for a customer's data, or for its erasure (owners only)")
    async def create(body: GdprRequestBody, idempotency_key: IdempotencyKey) -> GdprRequestDetailView:
        made = await admin_core.CreateGdprRequest(
            pb.CreateGdprRequestRequest(
                kind=body.kind,
                customer_id=int(body.customer_id),
                reason=body.reason,
                idempotency_key=idempotency_key,
            )
        )
        return _detail(made)

    @router.get("", summary="GDPR requests, newest first")
    async def requests(
        status: Annotated[StatusName | None, Query()] = None,
        kind: Annotated[KindName | None, Query()] = None,
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> GdprRequestsView:
        page = await admin_core.ListGdprRequests(
            pb.ListGdprRequestsRequest(status=status or "", kind=kind or "", page_size=page_size, page_token=page_token)
        )
        return GdprRequestsView(
            requests=[GdprRequestView(**_values(each)) for each in page.requests], next_page_token=page.next_page_token
        )

    @router.get("/{request_id}", summary="A GDPR request, and who has confirmed it")
    async def request(request_id: ShortText) -> GdprRequestDetailView:
        return _detail(await admin_core.GetGdprRequest(pb.GetGdprRequestRequest(request_id=request_id)))

    @router.get(
        "/{request_id}/export",
        summary="The file with everything held about the customer (owners only)",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
    )
    async def export(
        request_id: ShortText,
        reason: Annotated[
            str, Query(min_length=1, max_length=500, description="Why you read it: it stands in the audit log.")
        ],
    ) -> StreamingResponse:
        first = await _piece(admin_core, request_id, reason, "")
        name = f"customer-data-{request_id}.json"
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
        pieces = _pieces(admin_core, request_id, reason, first)
        return StreamingResponse(pieces, media_type="application/json", headers=headers)

    return router


async def _piece(admin_core: Any, request_id: str, reason: str, token: str) -> pb.ReadGdprExportResponse:
    wanted = pb.ReadGdprExportRequest(request_id=request_id, reason=reason, page_token=token)
    found: pb.ReadGdprExportResponse = await admin_core.ReadGdprExport(wanted)
    return found


def _pieces(admin_core: Any, request_id: str, reason: str, first: pb.ReadGdprExportResponse) -> AsyncIterator[bytes]:
    """The file from its first piece on. The rest is asked for while it is sent, still as the caller."""
    caller = current()

    async def rest() -> AsyncIterator[bytes]:
        yield first.data
        token = first.next_page_token
        while token:
            with use(caller):
                piece = await _piece(admin_core, request_id, reason, token)
            yield piece.data
            token = piece.next_page_token

    return rest()


def _entry(found: pb.AuditEntry) -> AuditEntryView:
    values = {name: getattr(found, name) for name in AuditEntryView.model_fields}
    return AuditEntryView(**values | {"before": dict(found.before), "after": dict(found.after)})


def _values(found: pb.GdprRequest) -> dict[str, Any]:
    values = {name: getattr(found, name) for name in GdprRequestView.model_fields}
    return values | {"customer_id": str(found.customer_id) if found.customer_id else None}


def _detail(found: pb.GdprRequest) -> GdprRequestDetailView:
    said = [
        ConfirmationView(
            service=each.service,
            confirmed=each.confirmed,
            confirmed_at=each.confirmed_at,
            counts=dict(each.counts),
        )
        for each in found.confirmations
    ]
    return GdprRequestDetailView(**_values(found), confirmations=said)
