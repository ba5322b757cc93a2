"""The merchants that the edge knows: who a shop's domain belongs to, and which secrets sign its calls.

The directory asks auth and remembers: for a short time what it is told, for a long time what to go by while auth is
away, so that deliveries are taken even then.
"""

import asyncio
import contextvars
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from loyalnest.api_gateway.metrics import LOOKUPS
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit import context as call_context
from loyalnest.kit.context import CallContext
from loyalnest.kit.errors import InvalidInput, LoyalNestError, NotFound, Unavailable

log = structlog.get_logger(__name__)

KNOWN_SECONDS: Final = 30.0
"""How long a shop is taken to be as it was told: a new secret or status is seen within it."""
STALE_SECONDS: Final = 3600.0
"""How long it is gone by while auth is away."""
RETRY_SECONDS: Final = 5.0
"""While auth is away it is asked again this often per shop."""
UNKNOWN_SECONDS: Final = 5.0
CLOSED_SECONDS: Final = 2.0
"""How long a shop whose data is being moved is taken to be so: its deliveries are wanted again soon."""
MOST_UNKNOWN: Final = 10_000
"""Shops remembered as unknown; the eldest give way, so that made-up names cannot fill the memory."""
LOOKUP_SECONDS: Final = 2.0

SYSTEM: Final = CallContext(actor="api_gateway", role="system")
"""The context of the gateway's own calls."""

_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Merchant:
    """A shop's merchant. `secrets` may sign now: the current one first, the previous one while a rotation lasts.

    closed: its data is being moved, so that nothing may be taken for it here.
    """

    merchant_id: str
    shop_domain: str
    status: str
    secrets: tuple[str, ...] = field(repr=False)
    closed: bool = False


Lookup = Callable[[str], Awaitable[Merchant]]
"""The merchant of a shop domain. Raises NotFound, and other LoyalNestErrors when it cannot tell."""


def lookup_by(auth: AuthServiceStub) -> Lookup:
    """Look shops up at auth."""

    async def lookup(domain: str) -> Merchant:
        with call_context.use(SYSTEM):
            found = await auth.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=domain), timeout=LOOKUP_SECONDS)
        return Merchant(found.merchant_id, found.shop_domain, found.status, tuple(found.api_secrets), found.closed)

    return lookup


@dataclass(slots=True)
class _Known:
    merchant: Merchant
    told: float  # on the monotonic clock, as is the next
    ask_again: float


class Merchants:
    """Merchants by shop domain, for one process and one event loop."""

    def __init__(self, lookup: Lookup, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[Merchant]] = {}

    async def of_shop(self, shop_domain: str) -> Merchant:
        """The merchant of a shop, whatever its status.

        Raises NotFound for an unknown shop, Unavailable while its data is being moved, or if auth is away and the shop
        was not seen for an hour.
        """
        merchant = await self._of_shop(shop_domain)
        if merchant.closed:
            raise Unavailable("This shop's data is being moved; send it again.")
        return merchant

    async def _of_shop(self, shop_domain: str) -> Merchant:
        known = self._known.get(shop_domain)
        now = self._monotonic()
        if known is not None and now < known.ask_again:
            return known.merchant
        domain = shop_domain.strip().lower()
        if domain != shop_domain and (known := self._known.get(domain)) is not None and now < known.ask_again:
            return known.merchant
        if self._unknown.get(domain, now) > now or not _DOMAIN.fullmatch(domain):
            raise _unknown_shop()
        return await self._ask(domain)

    async def _ask(self, domain: str) -> Merchant:
        task = self._lookups.get(domain)
        if task is None:
            # in a context of its own: the first caller's deadline is not that of the others
            task = asyncio.create_task(self._refresh(domain), context=contextvars.Context())
            self._lookups[domain] = task
            task.add_done_callback(lambda _: self._lookups.pop(domain, None))
        return await asyncio.shield(task)  # one impatient caller must not take it from the others

    async def _refresh(self, domain: str) -> Merchant:
        try:
            merchant = await self._lookup(domain)
        except (NotFound, InvalidInput):
            LOOKUPS.labels("unknown").inc()
            self._forget(domain)
            raise _unknown_shop() from None
        except LoyalNestError as error:
            LOOKUPS.labels("failed").inc()
            return self._stale(domain, error)
        LOOKUPS.labels("found").inc()
        now = self._monotonic()
        self._unknown.pop(domain, None)
        self._known[domain] = _Known(merchant, now, now + (CLOSED_SECONDS if merchant.closed else KNOWN_SECONDS))
        return merchant

    def _forget(self, domain: str) -> None:
        self._known.pop(domain, None)
        self._unknown.pop(domain, None)
        self._unknown[domain] = self._monotonic() + UNKNOWN_SECONDS
        while len(self._unknown) > MOST_UNKNOWN:
            self._unknown.popitem(last=False)

    def _stale(self, domain: str, error: LoyalNestError) -> Merchant:
        now = self._monotonic()
        known = self._known.get(domain)
        if known is None or now - known.told > STALE_SECONDS:
            raise Unavailable("Shops cannot be looked up at the moment; try again shortly.") from error
        log.warning("merchants.stale", merchant_id=known.merchant.merchant_id, error=type(error).__name__)
        known.ask_again = now + RETRY_SECONDS
        return known.merchant


def _unknown_shop() -> NotFound:
    return NotFound("No merchant has this shop domain.")
