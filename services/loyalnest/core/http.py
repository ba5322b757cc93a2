"""Core's routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request

from loyalnest.core import core_pb2 as pb
from loyalnest.core.core_pb2_grpc import CoreServiceStub
from loyalnest.core.csv_file import MAX_BYTES
from loyalnest.core.program_settings import MAX_RULES_BYTES
from loyalnest.core.views import (
    SETTINGS_BODY,
    CountsView,
    CreatedView,
    CustomerChange,
    CustomersView,
    CustomerView,
    ImportsView,
    ImportView,
    NewCustomer,
    RfmView,
    SegmentCountView,
    SettingsChange,
    SettingsVersionsView,
    SettingsView,
    customer_view,
    import_view,
    rfm_view,
    settings_view,
)
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.http.body import body_of
from loyalnest.kit.http.fields import CustomerId, PageSize, PageToken, ShortText

IMPORT_SECONDS = 120.0
"""What the largest file may take, if the request itself may."""

_CSV_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "customer_id,email,phone,first_name,last_name,accepts_marketing\n"
                "7000000000001,anna@example.com,,Anna,Smith,true\n",
            }
        },
    }
}
_SETTINGS_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": SETTINGS_BODY}}}
}
_change_decoder = msgspec.json.Decoder(SettingsChange)


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/customers…` and `/frontend/settings…`."""
    router = APIRouter()
    core = CoreServiceStub(environment.channel("core"))
    router.include_router(_imports(core))  # before /frontend/customers/{customer_id}, which would take their paths
    router.include_router(_customers(core))
    router.include_router(_settings(core))
    return router


def _customers(core: Any) -> APIRouter:
    router = APIRouter(prefix="/frontend/customers", tags=["customers"])

    @router.get("", summary="Customers, by id")
    async def customers(
        search: Annotated[
            str, Query(max_length=320, description="A whole e-mail address, phone number or customer id.")
        ] = "",
        segment: Annotated[str, Query(max_length=100, description="An RFM segment; empty for all.")] = "",
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> CustomersView:
        page = await core.ListCustomers(
            pb.ListCustomersRequest(search=search, segment=segment, page_size=page_size, page_token=page_token)
        )
        return CustomersView(
            customers=[customer_view(each) for each in page.customers], next_page_token=page.next_page_token
        )

    @router.get("/counts", summary="Customers, counted")
    async def counts() -> CountsView:
        found = await core.GetCustomerCounts(pb.GetCustomerCountsRequest())
        return CountsView(
            customers=found.customers,
            with_email=found.with_email,
            accepting_marketing=found.accepting_marketing,
            segments=[SegmentCountView(segment=each.segment, customers=each.customers) for each in found.segments],
            to_reseal=found.to_reseal,
        )

    @router.post("", summary="Make a customer known")
    async def create(body: NewCustomer) -> CreatedView:
        values = body.model_dump(exclude={"customer_id"}, exclude_none=True)
        done = await core.CreateCustomer(pb.CreateCustomerRequest(customer_id=int(body.customer_id), **values))
        return CreatedView(customer=customer_view(done.customer), created=done.created)

    @router.get("/{customer_id}", summary="A customer")
    async def customer(customer_id: CustomerId) -> CustomerView:
        return customer_view(await core.GetCustomer(pb.GetCustomerRequest(customer_id=int(customer_id))))

    @router.patch("/{customer_id}", summary="Change a customer")
    async def change(customer_id: CustomerId, body: CustomerChange) -> CustomerView:
        values = body.model_dump(exclude_none=True)
        return customer_view(
            await core.UpdateCustomer(pb.UpdateCustomerRequest(customer_id=int(customer_id), **values))
        )

    @router.get("/{customer_id}/rfm", summary="A customer's RFM scores")
    async def rfm(customer_id: CustomerId) -> RfmView:
        return rfm_view(await core.GetCustomerRFM(pb.GetCustomerRFMRequest(customer_id=int(customer_id))))

    return router


def _imports(core: Any) -> APIRouter:
    router = APIRouter(prefix="/frontend/customers", tags=["customers"])

    @router.post("/import", summary="Take in customers from a CSV file of at most 10 MiB", openapi_extra=_CSV_BODY)
    async def import_file(request: Request) -> ImportView:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
            raise HTTPException(415, "Send the file itself as the body, with Content-Type: text/csv.")
        content = await body_of(request, MAX_BYTES)
        return import_view(await core.ImportCustomers(pb.ImportCustomersRequest(csv=content), timeout=IMPORT_SECONDS))

    @router.get("/imports", summary="Imports, newest first")
    async def imports(page_size: PageSize = 50, page_token: PageToken = "") -> ImportsView:
        page = await core.ListImports(pb.ListImportsRequest(page_size=page_size, page_token=page_token))
        return ImportsView(imports=[import_view(each) for each in page.imports], next_page_token=page.next_page_token)

    @router.get("/imports/{import_id}", summary="An import with its report")
    async def one_import(import_id: ShortText) -> ImportView:
        return import_view(await core.GetImport(pb.GetImportRequest(import_id=import_id)))

    return router


def _settings(core: Any) -> APIRouter:
    router = APIRouter(prefix="/frontend/settings", tags=["settings"])

    @router.get("", summary="The program's rules in force")
    async def settings() -> SettingsView:
        return settings_view(await core.GetSettings(pb.GetSettingsRequest()))

    @router.put("", summary="Put new rules in force", openapi_extra=_SETTINGS_BODY)
    async def change(request: Request) -> SettingsView:
        try:
            body = _change_decoder.decode(await body_of(request, MAX_RULES_BYTES))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"The body must be JSON with version, rules and note: {error}.") from None
        return settings_view(
            await core.UpdateSettings(
                pb.UpdateSettingsRequest(expected_version=body.version, rules=_text(body.rules), note=body.note)
            )
        )

    @router.get("/versions", summary="Every version of the rules, newest first")
    async def versions(page_size: PageSize = 50, page_token: PageToken = "") -> SettingsVersionsView:
        page = await core.ListSettingsVersions(
            pb.ListSettingsVersionsRequest(page_size=page_size, page_token=page_token)
        )
        return SettingsVersionsView(
            versions=[settings_view(each) for each in page.versions], next_page_token=page.next_page_token
        )

    return router


def _text(raw: msgspec.Raw) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise InvalidInput("rules: is not UTF-8 text.") from None
