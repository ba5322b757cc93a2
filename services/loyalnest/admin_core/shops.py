"""What auth knows of a shop's installation. An event that says so may be on its way still; auth has it first."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import NotFound

SECONDS = 5.0

InstalledAt = Callable[[str], Awaitable[datetime | None]]
"""When a merchant's shop last installed the app; None if it never did. Raises Unavailable if nobody can tell."""


def asked_of(auth: AuthServiceStub) -> InstalledAt:
    """Ask auth."""

    async def installed_at(merchant_id: str) -> datetime | None:
        try:
            with as_merchant(merchant_id):
                found = await auth.GetMerchant(auth_pb2.GetMerchantRequest(), timeout=SECONDS)
        except NotFound:
            return None
        return datetime.fromisoformat(found.installed_at) if found.installed_at else None

    return installed_at
