"""What core's routes take and give, as OpenAPI shows it."""

import json
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field

from loyalnest.core import core_pb2 as pb
from loyalnest.kit.http.fields import CustomerId
from loyalnest.kit.program import ProgramRules

Name = Annotated[str, Field(max_length=255)]
Email = Annotated[str, Field(max_length=320)]
Phone = Annotated[str, Field(max_length=64)]


class RfmView(BaseModel):
    """Scores 1 to 5, and the segment; 0 and empty before the customer was scored."""

    recency: int
    frequency: int
    monetary: int
    segment: str
    as_of: str


class AddressView(BaseModel):
    name: str
    company: str
    address1: str
    address2: str
    city: str
    zip: str
    province: str
    country: str
    phone: str


class CustomerView(BaseModel):
    """A customer. Personal fields are empty where nothing was told or the data was erased."""

    customer_id: str
    email: str
    phone: str
    first_name: str
    last_name: str
    accepts_marketing: bool | None = Field(description="null where nobody said.")
    source: str = Field(description="What made the customer known first: shopify, order, import, api or rfm.")
    created_at: str = Field(description="Shopify's time; empty until Shopify said.")
    first_seen_at: str
    updated_at: str
    rfm: RfmView
    addresses: list[AddressView] = Field(description="Left out of lists.")


class CustomersView(BaseModel):
    customers: list[CustomerView]
    next_page_token: str


class SegmentCountView(BaseModel):
    segment: str
    customers: int


class CountsView(BaseModel):
    customers: int
    with_email: int
    accepting_marketing: int
    segments: list[SegmentCountView] = Field(description="Those that were scored, by segment.")
    to_reseal: int = Field(description="Customers with data under an older key; 0 when a key rotation is complete.")


class NewCustomer(BaseModel):
    customer_id: CustomerId
    email: Email = ""
    phone: Phone = ""
    first_name: Name = ""
    last_name: Name = ""
    accepts_marketing: bool | None = None


class CreatedView(BaseModel):
    customer: CustomerView
    created: bool = Field(description="False if the customer was known and stayed as it was; PATCH changes it.")


class CustomerChange(BaseModel):
    """What to change: fields that are left out stay, empty ones are erased."""

    email: Email | None = None
    phone: Phone | None = None
    first_name: Name | None = None
    last_name: Name | None = None
    accepts_marketing: bool | None = None


class RejectedView(BaseModel):
    line: int = Field(description="Of the file, from 1, where the row begins.")
    column: str = Field(description="Empty where the row as a whole is wrong.")
    reason: str = Field(description="Never repeats what the cell holds.")


class ImportView(BaseModel):
    """An import. rows = created + updated + unchanged + rejected, once it is completed."""

    import_id: str
    status: str = Field(description="running, completed, failed or interrupted (import the same file again).")
    rows: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    problems: list[RejectedView] = Field(description="The first 5,000; left out of lists.")
    actor: str
    started_at: str
    finished_at: str


class ImportsView(BaseModel):
    imports: list[ImportView]
    next_page_token: str


class SettingsView(BaseModel):
    """A version of the program's rules. `version` goes back with a change, so that no change is lost to another."""

    version: int
    rules: dict[str, Any] = Field(description="The rules, as in a LoyaltyProgram's spec.")
    managed_by: str = Field(description="Dashboard, or Resource: then they can be changed in the resource only.")
    changed_by: str
    changed_at: str
    note: str


class SettingsVersionsView(BaseModel):
    versions: list[SettingsView]
    next_page_token: str


class SettingsChange(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PUT /frontend/settings. `rules` stay the text that was sent, so that no decimal becomes a float."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    rules: msgspec.Raw
    note: Annotated[str, msgspec.Meta(max_length=255)] = ""


_RULES = {field.alias or name: field for name, field in ProgramRules.model_fields.items()}

SETTINGS_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["version", "rules"],
    "additionalProperties": False,
    "properties": {
        "version": {
            "type": "integer",
            "minimum": 1,
            "maximum": 2**31 - 1,
            "description": "The version that was read; 409 if another is in force by now.",
        },
        "rules": {
            "type": "object",
            "required": [name for name, field in _RULES.items() if field.is_required()],
            "properties": {name: {} for name in _RULES},
            "description": "The rules, whole, as GET /frontend/settings gives them.",
        },
        "note": {"type": "string", "maxLength": 255, "description": "Why."},
    },
}
"""JSON schema of `SettingsChange`, for OpenAPI."""


def customer_view(found: pb.Customer) -> CustomerView:
    plain = ("email", "phone", "first_name", "last_name", "source", "created_at", "first_seen_at", "updated_at")
    return CustomerView(
        customer_id=str(found.customer_id),
        **{name: getattr(found, name) for name in plain},
        accepts_marketing=found.accepts_marketing if found.HasField("accepts_marketing") else None,
        rfm=rfm_view(found.rfm),
        addresses=[
            AddressView(**{name: getattr(each, name) for name in AddressView.model_fields}) for each in found.addresses
        ],
    )


def rfm_view(found: pb.CustomerRFM) -> RfmView:
    return RfmView(**{name: getattr(found, name) for name in RfmView.model_fields})


def import_view(found: pb.Import) -> ImportView:
    values = {name: getattr(found, name) for name in ImportView.model_fields if name != "problems"}
    problems = [RejectedView(line=each.line, column=each.column, reason=each.reason) for each in found.problems]
    return ImportView(problems=problems, **values)


def settings_view(found: pb.Settings) -> SettingsView:
    return SettingsView(
        version=found.version,
        rules=json.loads(found.rules),
        managed_by=found.managed_by,
        changed_by=found.changed_by,
        changed_at=found.changed_at,
        note=found.note,
    )
