"""The gRPC side of core: messages in and out, no decisions."""

from typing import Any

import msgspec

from loyalnest.core import core_pb2 as pb
from loyalnest.core.core_pb2_grpc import CoreServiceServicer
from loyalnest.core.imports import CustomerImports
from loyalnest.core.models import Customer
from loyalnest.core.program_settings import ProgramSettings
from loyalnest.core.service import CoreService, Revealed
from loyalnest.core.settings_repository import Version
from loyalnest.kit.context import only_ourselves, require_role, required_merchant
from loyalnest.kit.import_repository import Import
from loyalnest.kit.rpc.fields import customer_id_of, time_text, uuid_of

_TEXTS = ("email", "phone", "first_name", "last_name")
_READERS = ("owner", "staff", "support")


class CoreGrpc(CoreServiceServicer):
    """Serves `core.v1.CoreService` for the merchant of the call's context."""

    def __init__(self, service: CoreService, settings: ProgramSettings, imports: CustomerImports) -> None:
        self._service = service
        self._settings = settings
        self._imports = imports

    async def GetCustomerRFM(self, request: pb.GetCustomerRFMRequest, context: Any) -> pb.CustomerRFM:
        return _rfm(await self._service.customer(required_merchant(), customer_id_of(request.customer_id)))

    async def CreateCustomer(self, request: pb.CreateCustomerRequest, context: Any) -> pb.CreateCustomerResponse:
        require_role("owner", "staff")
        found, created = await self._service.create(
            required_merchant(),
            customer_id_of(request.customer_id),
            {name: getattr(request, name) for name in _TEXTS},
            _optional(request, "accepts_marketing"),
        )
        return pb.CreateCustomerResponse(customer=_customer(found), created=created)

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Any) -> pb.Customer:
        require_role(*_READERS)
        return _customer(await self._service.revealed(required_merchant(), customer_id_of(request.customer_id)))

    async def ListCustomers(self, request: pb.ListCustomersRequest, context: Any) -> pb.ListCustomersResponse:
        require_role(*_READERS)
        rows, token = await self._service.listed(
            required_merchant(), request.search, request.segment, request.page_size, request.page_token
        )
        return pb.ListCustomersResponse(
            customers=[_customer(row, addresses=False) for row in rows], next_page_token=token
        )

    async def UpdateCustomer(self, request: pb.UpdateCustomerRequest, context: Any) -> pb.Customer:
        require_role("owner", "staff")
        found = await self._service.update(
            required_merchant(),
            customer_id_of(request.customer_id),
            {name: text for name in _TEXTS if (text := _optional(request, name)) is not None},
            _optional(request, "accepts_marketing"),
        )
        return _customer(found)

    async def GetContacts(self, request: pb.GetContactsRequest, context: Any) -> pb.GetContactsResponse:
        only_ourselves()
        found = await self._service.contacts(required_merchant(), request.customer_ids)
        return pb.GetContactsResponse(contacts=[_contact(each) for each in found])

    async def GetCustomerCounts(self, request: pb.GetCustomerCountsRequest, context: Any) -> pb.CustomerCounts:
        counts = await self._service.counts(required_merchant())
        return pb.CustomerCounts(
            customers=counts.customers,
            with_email=counts.with_email,
            accepting_marketing=counts.accepting_marketing,
            segments=[pb.SegmentCount(segment=segment, customers=count) for segment, count in counts.segments],
            to_reseal=counts.to_reseal,
        )

    async def GetSettings(self, request: pb.GetSettingsRequest, context: Any) -> pb.Settings:
        return _settings(await self._settings.current(required_merchant()))

    async def UpdateSettings(self, request: pb.UpdateSettingsRequest, context: Any) -> pb.Settings:
        require_role("owner", "staff")
        return _settings(
            await self._settings.update(required_merchant(), request.expected_version, request.rules, request.note)
        )

    async def ListSettingsVersions(
        self, request: pb.ListSettingsVersionsRequest, context: Any
    ) -> pb.ListSettingsVersionsResponse:
        require_role(*_READERS)
        rows, token = await self._settings.versions(required_merchant(), request.page_size, request.page_token)
        return pb.ListSettingsVersionsResponse(versions=[_settings(row) for row in rows], next_page_token=token)

    async def ImportCustomers(self, request: pb.ImportCustomersRequest, context: Any) -> pb.Import:
        require_role("owner", "staff")
        return _import(await self._imports.run(required_merchant(), request.csv))

    async def GetImport(self, request: pb.GetImportRequest, context: Any) -> pb.Import:
        require_role(*_READERS)
        return _import(await self._imports.find(required_merchant(), uuid_of(request.import_id, "import")))

    async def ListImports(self, request: pb.ListImportsRequest, context: Any) -> pb.ListImportsResponse:
        require_role(*_READERS)
        rows, token = await self._imports.listed(required_merchant(), request.page_size, request.page_token)
        return pb.ListImportsResponse(imports=[_import(row) for row in rows], next_page_token=token)


def _optional(request: Any, name: str) -> Any:
    return getattr(request, name) if request.HasField(name) else None


def _rfm(customer: Customer) -> pb.CustomerRFM:
    return pb.CustomerRFM(
        customer_id=customer.customer_id,
        recency=customer.recency,
        frequency=customer.frequency,
        monetary=customer.monetary,
        segment=customer.segment,
        as_of=time_text(customer.rfm_updated_at),
    )


def _customer(found: Revealed, *, addresses: bool = True) -> pb.Customer:
    customer, personal = found.customer, found.personal
    known: list[dict[str, str]] = msgspec.json.decode(personal.get("addresses", "[]")) if addresses else []
    names = pb.Address.DESCRIPTOR.fields_by_name
    return pb.Customer(
        customer_id=customer.customer_id,
        **{name: personal.get(name, "") for name in _TEXTS},
        addresses=[pb.Address(**{name: text for name, text in each.items() if name in names}) for each in known],
        accepts_marketing=customer.accepts_marketing,
        rfm=_rfm(customer),
        source=customer.source,
        created_at=time_text(customer.created_at),
        first_seen_at=time_text(customer.first_seen_at),
        updated_at=time_text(customer.updated_at),
    )


def _contact(found: Revealed) -> pb.Contact:
    customer = found.customer
    return pb.Contact(
        customer_id=customer.customer_id,
        **{name: found.personal.get(name, "") for name in _TEXTS},
        locale=customer.locale or "",
        accepts_marketing=customer.accepts_marketing,
        created_at=time_text(customer.created_at),
    )


def _settings(version: Version) -> pb.Settings:
    return pb.Settings(
        version=version.version,
        rules=version.rules,
        rules_hash=version.rules_hash,
        managed_by=version.managed_by.value,
        changed_by=version.changed_by,
        changed_at=time_text(version.changed_at),
        note=version.note,
    )


def _import(log: Import) -> pb.Import:
    return pb.Import(
        import_id=str(log.import_id),
        status=log.status,
        rows=log.rows,
        created=log.created,
        updated=log.updated,
        unchanged=log.unchanged,
        rejected=log.rejected,
        problems=[pb.RejectedCell(line=each.line, column=each.column, reason=each.reason) for each in log.problems],
        actor=log.actor,
        started_at=time_text(log.started_at),
        finished_at=time_text(log.finished_at),
    )
