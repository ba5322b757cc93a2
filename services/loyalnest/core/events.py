"""What core publishes."""

from datetime import datetime
from typing import ClassVar

import msgspec

from loyalnest.kit.events import Payload


class CustomerCreated(Payload, frozen=True, kw_only=True):
    """A customer became known, by a delivery, an import or a call."""

    topic: ClassVar[str] = "customer.created"

    customer_id: int
    source: str
    created_at: datetime


class CustomerUpdated(Payload, frozen=True, kw_only=True):
    """A customer's data changed; `fields` names what, never the values."""

    topic: ClassVar[str] = "customer.updated"

    customer_id: int
    fields: list[str]
    updated_at: datetime


class SettingsChanged(Payload, frozen=True, kw_only=True):
    """A merchant's rules have a new version. `rules` is the canonical JSON of `ProgramRules`, whole."""

    topic: ClassVar[str] = "settings.changed"

    version: int
    rules: msgspec.Raw
    changed_by: str
    changed_at: datetime
