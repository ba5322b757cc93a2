"""One merchant's batch of messages on its way from pending to decided."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from loyalnest.admin_features import address_repository, message_repository, metrics, template_repository
from loyalnest.admin_features.composing import (
    Shop,
    Templates,
    candidates,
    envelope,
    harmless_name,
    own_templates,
    rendered_first,
    values_for,
)
from loyalnest.admin_features.decisions import CAUSED, HISTORY_SHADOW, LIFETIME, PATIENCE, reason_against
from loyalnest.admin_features.events import MESSAGE_PURPOSE, EmailEventCreated
from loyalnest.admin_features.kinds import KINDS, Basis, Channel, Kind
from loyalnest.admin_features.message_repository import Decided
from loyalnest.admin_features.models import Contact, Message, Reason, Standing, Status
from loyalnest.admin_features.tokens import Subject, token_of
from loyalnest.kit.crypto.envelope import UnknownKeyVersion, sealed_version
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.referrals.events import SHARE_PURPOSE

LOOK_AGAIN: Final = timedelta(seconds=30)
"""When a message is looked at again that waits for what others must learn first."""

Address = tuple[bytes, int | None]


class Batch:
    """`load` reads what decisions need, `work` decides and renders without any I/O, `store` writes.

    decided: what became of the messages; those that must wait are not among them.
    """

    def __init__(
        self,
        merchant_id: str,
        rows: Sequence[Message],
        contacts: Mapping[int, Contact],
        keys: MerchantKeys | None,
        now: datetime,
        *,
        settled: bool,
        public_url: str,
        email_from: str,
    ) -> None:
        self.decided: list[Decided] = []
        self._merchant_id = merchant_id
        self._rows = rows
        self._contacts = contacts
        self._keys = keys
        self._now = now
        self._settled = settled
        self._public_url = public_url
        self._email_from = email_from
        self._addresses = {row.message_id: self._address(row) for row in rows}
        self._hashes = {row.message_id: self._hash(row) for row in rows}
        self._standings: Mapping[Address, Standing] = {}
        self._invited: dict[bytes, datetime] = {}
        self._capped: Counter[int] = Counter()
        self._invitations: Counter[int] = Counter()
        self._history: set[int] = set()
        self._templates: Templates = {}
        self._shop: Shop
        self._settings_version = 0
        self._waiting: list[UUID] = []
        self._events: list[Event] = []
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._faults = 0

    async def load(self, connection: Connection, rules: RulesProjection) -> None:
        """Read what is known about the merchant, the customers and the addresses: the same few queries always."""
        merchant_id, now = self._merchant_id, self._now
        versioned = (await rules.load(connection, [merchant_id]))[merchant_id].rules
        found = await template_repository.settings_of(connection, [merchant_id])
        self._settings_version, settings = found[merchant_id]
        joining = versioned.earning.customer_rule
        points = (joining.points or 0) if joining is not None else 0
        self._shop = Shop(settings, versioned.rfm.timezone, points, self._email_from)
        self._templates = own_templates(await template_repository.in_force(connection, merchant_id))
        customers = {row.customer_id for row in self._rows if row.customer_id is not None}
        known = [self._subject(row) for row in self._rows if self._hashes[row.message_id]]
        self._standings = await address_repository.standings(connection, merchant_id, known)
        capped, invitations = await message_repository.sent_lately(connection, merchant_id, customers, now)
        self._capped.update(capped)
        self._invitations.update(invitations)
        hashes = [address_hash for address_hash, _ in known]
        self._invited.update(await message_repository.invited_at(connection, merchant_id, hashes))
        self._history = await address_repository.marked(connection, merchant_id, customers, now - HISTORY_SHADOW)

    def work(self) -> None:
        """Decide each message, oldest first, and make those that are sent."""
        for row in self._rows:
            if self._must_wait(row):
                self._waiting.append(row.message_id)
                continue
            reason = self._reason_against(row)
            if reason is None:
                self._queue(row)
            else:
                self.decided.append(
                    Decided(row.message_id, Status.SUPPRESSED, reason, settings_version=self._settings_version)
                )
            self._outcomes[row.kind, reason or Status.QUEUED] += 1

    async def store(self, connection: Connection, outbox: Outbox) -> None:
        """Write what was decided, with the events."""
        if self.decided:
            await message_repository.decide(connection, self._merchant_id, self.decided, self._now)
        if self._waiting:
            again = self._now + LOOK_AGAIN
            await message_repository.postpone(connection, self._merchant_id, self._waiting, again)
        await outbox.append(connection, self._events)

    def count(self) -> None:
        """Count what was stored."""
        for (kind, outcome), number in self._outcomes.items():
            metrics.MESSAGES.labels(kind, outcome).inc(number)
        metrics.TEMPLATE_FAULTS.inc(self._faults)

    def _must_wait(self, row: Message) -> bool:
        """Whether core may still learn of the customer, or an old order of theirs is still to be seen here."""
        if self._now - row.created_at > PATIENCE or self._is_redacted(row):
            return False
        return row.customer_id not in self._contacts or (row.kind in CAUSED and not self._settled)

    def _reason_against(self, row: Message) -> Reason | None:
        if self._is_redacted(row):
            return Reason.REDACTED
        if self._keys is None:
            return Reason.UNREADABLE
        if self._now - row.created_at > LIFETIME:
            return Reason.STALE
        assert row.customer_id is not None
        address_hash = self._hashes[row.message_id]
        sent = self._invitations if row.kind is Kind.REFERRAL_INVITATION else self._capped
        return reason_against(
            row.kind,
            self._contacts.get(row.customer_id),
            self._standings.get(self._subject(row), Standing()),
            self._shop.settings,
            address=self._addresses[row.message_id],
            sent_today=sent[row.customer_id],
            history=row.customer_id in self._history,
            invited_at=self._invited.get(address_hash),
            now=self._now,
        )

    def _queue(self, row: Message) -> None:
        """Make a message, and note it for those that follow in this batch."""
        assert self._keys is not None
        assert row.customer_id is not None
        contact = self._contacts[row.customer_id]
        address_hash, friend = self._subject(row)
        found = candidates(self._templates, row.kind, row.channel, contact.locale, self._shop.settings.default_language)
        name = harmless_name(contact.first_name)
        urls = {each.language: self._unsubscribe_url(address_hash, friend, each.language) for each in found}
        values = {
            language: values_for(row.kind, row.facts, self._shop, language, name, url) for language, url in urls.items()
        }
        template, rendered, faults = rendered_first(found, values)
        self._faults += faults
        message = envelope(row.channel, self._addresses[row.message_id], rendered, self._shop, urls[template.language])
        created = EmailEventCreated(
            message_id=row.message_id,
            channel=row.channel,
            customer_id=row.customer_id,
            reason=row.kind,
            expires_at=self._expires_at(row),
            sealed=self._keys.seal(MESSAGE_PURPOSE, msgspec.json.encode(message)),
            created_at=self._now,
        )
        self._events.append(created.event(self._merchant_id, str(row.customer_id)))
        self.decided.append(
            Decided(
                row.message_id,
                Status.QUEUED,
                language=template.language,
                template_version=template.version,
                settings_version=self._settings_version,
                address_hash=address_hash,
            )
        )
        if row.kind is Kind.REFERRAL_INVITATION:
            self._invited[address_hash] = self._now
            self._invitations[row.customer_id] += 1
        elif KINDS[row.kind].capped:
            self._capped[row.customer_id] += 1

    def _expires_at(self, row: Message) -> datetime:
        ends = row.created_at + LIFETIME
        if row.kind is Kind.POINTS_EXPIRING:
            return min(ends, datetime.fromisoformat(row.facts["expires_at"]))
        return ends

    def _unsubscribe_url(self, address_hash: bytes, customer_id: int | None, language: str) -> str:
        assert self._keys is not None
        token = token_of(self._keys, Subject(self._merchant_id, customer_id, address_hash, language))
        return f"{self._public_url}/email/unsubscribe/{token}"

    def _subject(self, row: Message) -> Address:
        """The hash of the address, and whose it is: nobody's where a friend is invited."""
        friend = KINDS[row.kind].basis is Basis.INVITATION
        return self._hashes[row.message_id], None if friend else row.customer_id

    def _address(self, row: Message) -> str:
        """Where a message goes; empty if that is not known. Raises Unavailable if these keys are too old to tell."""
        if row.kind is not Kind.REFERRAL_INVITATION:
            contact = self._contacts.get(row.customer_id or 0)
            return "" if contact is None else contact.email if row.channel is Channel.EMAIL else contact.phone
        if self._keys is None or row.sealed is None:
            return ""
        if sealed_version(row.sealed) > self._keys.current.version:
            raise Unavailable("The merchant's keys were rotated just now.")
        try:
            return self._keys.open(SHARE_PURPOSE, row.sealed).decode()
        except UnknownKeyVersion:
            return ""

    def _hash(self, row: Message) -> bytes:
        address = self._addresses[row.message_id]
        kind = "email" if row.channel is Channel.EMAIL else "phone"
        return self._keys.hash(kind, address) if self._keys is not None and address else b""

    def _is_redacted(self, row: Message) -> bool:
        return row.customer_id is None or row.customer_id < 0


def contact_of(found: Any) -> Contact:
    """The contact that core's answer says."""
    return Contact(
        email=found.email,
        phone=found.phone,
        first_name=found.first_name,
        locale=found.locale,
        accepts_marketing=found.accepts_marketing if found.HasField("accepts_marketing") else None,
        created_at=datetime.fromisoformat(found.created_at) if found.created_at else None,
    )
