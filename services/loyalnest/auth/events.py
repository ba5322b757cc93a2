"""What auth publishes."""

from datetime import datetime
from typing import ClassVar

from loyalnest.kit.events import Payload


class MerchantCreated(Payload, frozen=True, kw_only=True):
    """A merchant's program was provisioned for the first time."""

    topic: ClassVar[str] = "merchant.created"

    shop_domain: str
    created_at: datetime
