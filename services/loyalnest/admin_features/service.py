"""Use cases of e-mail settings, messages, addresses and what providers tell."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.admin_features import (
    address_repository,
    feedback,
    feedback_repository,
    message_repository,
    template_repository,
    tokens,
)
from loyalnest.admin_features.email_settings import EmailSettings, checked, differences, first_settings
from loyalnest.admin_features.models import Message, Standing, Status
from loyalnest.admin_features.templates import settings_in_force
from loyalnest.admin_features.tokens import Subject
from loyalnest.admin_features.values import checked_email
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import number_after, page_limit, page_of, uuid_after
from loyalnest.kit.program import Program
from loyalnest.kit.rules_projection import RulesProjection

_NEWEST: Final = 2**31 - 1

SettingsVersion = tuple[int, EmailSettings, str, datetime]
"""Number, settings, who made them and when."""


class AdminFeatures:
    """Of one merchant at a time; `merchant_id` comes from the call's context, or from a token that is proven."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: KeyRing,
        rules: RulesProjection,
        clock: Clock,
        secrets: Mapping[str, str],
    ) -> None:
        """`secrets`: of the providers' webhooks, by provider; empty where there is none."""
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._secrets = secrets

    async def provision(self, program: Program) -> None:
        """Seed a merchant's rules and e-mail settings; those that are there stay."""
        merchant_id = program.merchant_id
        settings = first_settings(program.spec.shop.domain)
        async with self._database.request(merchant_id) as connection:
            await self._rules.seed(connection, merchant_id, program.spec.rules)
            await template_repository.append_settings(connection, merchant_id, 1, settings, "resource", self._clock())

    async def settings(self, merchant_id: str) -> SettingsVersion:
        """The e-mail settings in force. Raises NotFound."""
        return (await self.settings_versions(merchant_id, 1, ""))[0][0]

    async def settings_versions(
        self, merchant_id: str, page_size: int, page_token: str
    ) -> tuple[list[SettingsVersion], str]:
        """A page of versions, newest first, and the token of the next page (empty at the end)."""
        limit, before = page_limit(page_size), min(number_after(page_token), _NEWEST) or _NEWEST
        async with self._database.request(merchant_id) as connection:
            await settings_in_force(connection, merchant_id)
            rows = await template_repository.settings_versions(connection, merchant_id, before, limit + 1)
        return page_of(rows, limit, lambda row: row[0])

    async def update_settings(self, merchant_id: str, expected: int, settings: EmailSettings) -> SettingsVersion:
        """Put new settings in force. Equal ones make no new version. Raises Conflict, InvalidInput."""
        settings, context, now = checked(settings), current(), self._clock()
        async with self._database.request(merchant_id) as connection:
            version, known = await settings_in_force(connection, merchant_id)
            if version != expected:
                raise Conflict(f"The e-mail settings are at version {version}, not {expected}: load them again.")
            before, after = differences(known, settings)
            if after:
                await self._append(connection, merchant_id, version + 1, settings, now)
                told = AuditLog(
                    actor=context.actor,
                    role=context.role,
                    action="email_settings.changed",
                    subject="email_settings",
                    before=before,
                    after=after,
                    at=now,
                )
                await self._outbox.append(connection, [told.event(merchant_id, "email_settings")])
        return await self.settings(merchant_id)

    async def _append(
        self, connection: Connection, merchant_id: str, version: int, settings: EmailSettings, now: datetime
    ) -> None:
        actor = current().actor
        if not await template_repository.append_settings(connection, merchant_id, version, settings, actor, now):
            raise Conflict("Somebody else has just changed the e-mail settings: load them again.")

    async def messages(
        self, merchant_id: str, customer_id: int, status: str, page_size: int, page_token: str
    ) -> tuple[list[Message], str]:
        """A page of messages, newest first, and the token of the next page (empty at the end)."""
        if status and status not in set(Status):
            raise InvalidInput(f"status must be one of {', '.join(Status)}.")
        if customer_id < 0:
            raise InvalidInput("customer_id must be Shopify's numeric customer id.")
        limit, before = page_limit(page_size), uuid_after(page_token)
        async with self._database.request(merchant_id) as connection:
            rows = await message_repository.listed(connection, merchant_id, customer_id, status, before, limit + 1)
        return page_of(rows, limit, lambda row: row.message_id)

    async def message(self, merchant_id: str, message_id: UUID) -> Message:
        """One message. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            found = await message_repository.message(connection, merchant_id, message_id)
        if found is None:
            raise NotFound(f"No message {message_id} is known.")
        return found

    async def address(self, merchant_id: str, email: str) -> Standing:
        """What is known of an address. Raises InvalidInput for text that is none."""
        address_hash = (await self._keys.for_merchant(merchant_id)).hash("email", checked_email(email, "email"))
        async with self._database.request(merchant_id) as connection:
            found = await address_repository.standings(connection, merchant_id, [(address_hash, None)])
        return found.get((address_hash, None), Standing())

    async def clear_bounce(self, merchant_id: str, email: str) -> Standing:
        """Try an address again that bounced. Raises NotFound if it did not."""
        address_hash = (await self._keys.for_merchant(merchant_id)).hash("email", checked_email(email, "email"))
        context, now = current(), self._clock()
        async with self._database.request(merchant_id) as connection:
            if not await address_repository.forget_bounce(connection, merchant_id, address_hash, now):
                raise NotFound("No mail to this address bounced.")
            told = AuditLog(
                actor=context.actor,
                role=context.role,
                action="email_address.bounce_cleared",
                subject="email_address",
                before={},
                after={},
                at=now,
            )
            await self._outbox.append(connection, [told.event(merchant_id, "email_address")])
        return await self.address(merchant_id, email)

    async def subscription(self, token: str) -> tuple[Subject, str, bool]:
        """Whom a token is about, the shop's name, and whether mails go there. Raises NotFound for no token of ours."""
        subject = await self._proven(token)
        address = (subject.address_hash, subject.customer_id)
        async with self._database.request(subject.merchant_id) as connection:
            _, settings = await settings_in_force(connection, subject.merchant_id)
            found = await address_repository.standings(connection, subject.merchant_id, [address])
        standing = found.get(address, Standing())
        return subject, settings.shop_name, not (standing.unsubscribed or standing.complained)

    async def subscribe(self, token: str, *, wanted: bool) -> tuple[Subject, str, bool]:
        """Let mails to whom a token is about go on, or stop them. Again it changes nothing."""
        subject = await self._proven(token)
        async with self._database.request(subject.merchant_id) as connection:
            await address_repository.set_subscribed(
                connection,
                subject.merchant_id,
                subject.address_hash,
                subject.customer_id,
                self._clock(),
                subscribed=wanted,
            )
        return await self.subscription(token)

    async def take_provider_event(self, provider: str, headers: Mapping[str, str], body: bytes) -> None:
        """Take in what a provider told; told again it does nothing. Raises Unauthenticated, InvalidInput, NotFound."""
        now = self._clock()
        told = feedback.read(provider, self._secrets.get(provider, ""), headers, body, now)
        async with self._database.worker() as connection:
            if await feedback_repository.note(connection, told, now) and told.outcome and told.provider_id:
                await feedback_repository.suffer(connection, [(told.provider_id, told.outcome)], now)

    async def _proven(self, token: str) -> Subject:
        subject = tokens.claimed(token)
        try:
            keys = await self._keys.for_merchant(subject.merchant_id)
        except NotFound:  # an invented merchant, or a shop that was redacted
            raise tokens.invalid() from None
        if not tokens.is_genuine(keys, token):
            raise tokens.invalid()
        return subject
