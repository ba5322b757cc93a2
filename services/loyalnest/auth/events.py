"""What auth publishes."""

from datetime import datetime
from typing import ClassVar

from loyalnest.kit.events import Payload


class MerchantCreated(Payload, frozen=True, kw_only=True):
    """A merchant's program was provisioned for the first time."""

    topic: ClassVar[str] = "merchant.created"

    shop_domain: str
    created_at: datetime


class MerchantInstalled(Payload, frozen=True, kw_only=True):
    """The shop installed the app, for the first time or again after it had uninstalled it."""

    topic: ClassVar[str] = "merchant.installed"

    shop_domain: str
    installed_at: datetime
