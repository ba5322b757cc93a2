"""What core does with customers on request."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loyalnest.admin_core.events import AuditLog
from loyalnest.core import listing_repository
from loyalnest.core.listing_repository import Counts, Search
from loyalnest.core.models import Customer, Report, Source
from loyalnest.core.repository import Registry
from loyalnest.core.sealing import Vault
from loyalnest.core.values import checked_personal, id_of
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.lookup import normalise_phone
from loyalnest.kit.database import Database
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import number_after, page_limit, page_of

MAX_SEARCH = 320
MAX_CONTACTS = 1000
"""Customers of one call for contacts: one batch of those who ask."""


@dataclass(frozen=True, slots=True)
class Revealed:
    """A customer with the personal fields in the clear, as far as they are there and can be read."""

    customer: Customer
    personal: Mapping[str, str]


class CoreService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(self, database: Database, outbox: Outbox, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._vault = vault
        self._clock = clock

    async def customer(self, merchant_id: str, customer_id: int) -> Customer:
        """A customer without personal data. Raises NotFound for one that is unknown or was redacted."""
        async with self._database.request(merchant_id) as connection:
            found = await listing_repository.customer(connection, merchant_id, customer_id)
        return _known(customer_id, found)

    async def revealed(self, merchant_id: str, customer_id: int) -> Revealed:
        """A customer with personal data. Raises NotFound for one that is unknown."""
        found = await self.customer(merchant_id, customer_id)
        return await self._reveal(found)

    async def contacts(self, merchant_id: str, customer_ids: Sequence[int]) -> list[Revealed]:
        """Those of `customer_ids` that are known, with personal data. Raises InvalidInput for too many ids."""
        if len(customer_ids) > MAX_CONTACTS:
            raise InvalidInput(f"customer_ids has at most {MAX_CONTACTS} ids.")
        async with self._database.request(merchant_id) as connection:
            rows = await listing_repository.of_ids(connection, merchant_id, customer_ids)
        revealed = await self._vault.reveal(merchant_id, rows)
        return [Revealed(row, personal) for row, personal in zip(rows, revealed, strict=True)]

    async def listed(
        self, merchant_id: str, search: str, segment: str, page_size: int, page_token: str
    ) -> tuple[list[Revealed], str]:
        """A page of customers by ascending id, and the token of the next page (empty at the end)."""
        limit, after = page_limit(page_size), number_after(page_token)
        wanted = await self._search(merchant_id, search) if search.strip() else None
        async with self._database.request(merchant_id) as connection:
            rows = await listing_repository.customers(connection, merchant_id, segment, wanted, after, limit + 1)
        page, token = page_of(rows, limit, lambda row: row.customer_id)
        revealed = await self._vault.reveal(merchant_id, page)
        return [Revealed(row, personal) for row, personal in zip(page, revealed, strict=True)], token

    async def create(
        self, merchant_id: str, customer_id: int, personal: Mapping[str, str], accepts_marketing: bool | None
    ) -> tuple[Revealed, bool]:
        """Make a customer known; one that is known stays as it is. Returns it, and whether it is new.

        Raises PreconditionFailed for one that was redacted: only Shopify can make it anew.
        """
        told = {name: text for name, text in checked_personal(personal).items() if text}
        return await self._tell(merchant_id, customer_id, told, accepts_marketing, new=True)

    async def update(
        self, merchant_id: str, customer_id: int, personal: Mapping[str, str], accepts_marketing: bool | None
    ) -> Revealed:
        """Change what is given; empty text erases. Raises NotFound for a customer that is unknown or was redacted."""
        told = checked_personal(personal)
        if not told and accepts_marketing is None:
            raise InvalidInput("Nothing to change was given.")
        return (await self._tell(merchant_id, customer_id, told, accepts_marketing, new=False))[0]

    async def counts(self, merchant_id: str) -> Counts:
        """The merchant's customers, counted."""
        keys = await self._vault.keys(merchant_id)
        async with self._database.request(merchant_id) as connection:
            return await listing_repository.counts(connection, merchant_id, keys.current.version if keys else 0)

    async def _tell(
        self,
        merchant_id: str,
        customer_id: int,
        told: Mapping[str, str],
        accepts_marketing: bool | None,
        *,
        new: bool,
    ) -> tuple[Revealed, bool]:
        keys = await self._vault.keys(merchant_id)
        if keys is None and told:
            raise PreconditionFailed(
                "This merchant's encryption keys were destroyed, so no personal data can be kept for it any more."
            )
        registry, key = Registry(), (merchant_id, customer_id)
        async with self._database.request(merchant_id) as connection:
            await registry.lock(connection, [key])
            known = registry.customers.get(key)
            if not new:
                _known(customer_id, known)
            elif known is not None and known.redacted_at is not None:
                raise PreconditionFailed(
                    f"Customer {customer_id} was redacted, and stays so until Shopify tells of a customers/create."
                )
            elif known is not None:
                return await self._reveal(known), False
            now = self._clock()
            # Shopify's clock may be ahead of ours, and this must not be taken for older than what it replaces.
            at = now if known is None else max(now, known.told_at or now)
            report = Report(
                merchant_id,
                customer_id,
                Source.API,
                at=at,
                updated_at=at,
                personal=told,
                accepts_marketing=accepts_marketing,
            )
            registry.apply([report], {merchant_id: keys}, now)
            await registry.store(connection)
            await self._outbox.append(connection, [*registry.events(), *self._audit(registry, new=new)])
            customer = registry.customers[key]
        return await self._reveal(customer), new

    def _audit(self, registry: Registry, *, new: bool) -> list[Event]:
        """Who did it, and to which fields; the audit log is no place for the values."""
        context = current()
        fields = dict.fromkeys(registry.created, "") if new else {k: ",".join(v) for k, v in registry.changed.items()}
        return [
            AuditLog(
                actor=context.actor,
                role=context.role,
                action="customer.created" if new else "customer.updated",
                subject=f"customer:{customer_id}",
                before={},
                after={"fields": names} if names else {},
                at=self._clock(),
            ).event(merchant_id, str(customer_id))
            for (merchant_id, customer_id), names in fields.items()
        ]

    async def _reveal(self, customer: Customer) -> Revealed:
        return Revealed(customer, (await self._vault.reveal(customer.merchant_id, [customer]))[0])

    async def _search(self, merchant_id: str, text: str) -> Search:
        customer_id, email, phone = search_terms(text)
        keys = await self._vault.keys(merchant_id) if email or phone else None
        return Search(
            customer_id=customer_id,
            email_hash=keys.hash("email", email) if keys and email else None,
            phone_hash=keys.hash("phone", phone) if keys and phone else None,
        )


def _known(customer_id: int, found: Customer | None) -> Customer:
    if found is None:
        raise NotFound(f"No customer {customer_id} is known.")
    if found.redacted_at is not None:
        raise NotFound(f"Customer {customer_id} was redacted on {found.redacted_at:%Y-%m-%d}; nothing is kept of it.")
    return found


_PHONE = re.compile(r"[+0-9 ()./-]+")


def search_terms(text: str) -> tuple[int | None, str, str]:
    """What `text` may be: (customer id, e-mail address, phone number), None or empty where it cannot be that.

    Raises InvalidInput for text that is none of them.
    """
    text = text.strip()
    if len(text) > MAX_SEARCH:
        raise InvalidInput(f"search has at most {MAX_SEARCH} characters.")
    email = text if "@" in text else ""
    phone = text if _PHONE.fullmatch(text) and normalise_phone(text) else ""
    customer_id = id_of(text)
    if not (email or phone or customer_id):
        raise InvalidInput("search takes a whole e-mail address, phone number or customer id: the rest is encrypted.")
    return customer_id, email, phone
