"""What admin_features publishes."""

from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

import msgspec

from loyalnest.kit.events import Payload

MESSAGE_PURPOSE: Final = "email_event.message"
"""The purpose that `EmailEventCreated.sealed` is sealed for."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message ready to be sent, as JSON. It is personal data: it travels and rests sealed only.

    to: an e-mail address, or a phone number in E.164 form for `sms`. html, reply_to, headers: of e-mails.
    """

    to: str
    sender: str = ""
    reply_to: str = ""
    subject: str = ""
    text: str
    html: str = ""
    headers: dict[str, str] = {}


class EmailEventCreated(Payload, frozen=True, kw_only=True):
    """A message is to be sent, once.

    message_id: its identity; event_tracking's task has it as its unique key. channel: `email` or `sms`.
    reason: what it is about, such as `points_earned`. customer_id: whom it concerns; None for a test send.
    send_after, expires_at: not before, and not any more after.
    sealed: the `Message`, sealed under the merchant's data key.
    """

    topic: ClassVar[str] = "email_event.created"

    message_id: UUID
    channel: str
    customer_id: int | None = None
    reason: str
    send_after: datetime | None = None
    expires_at: datetime | None = None
    sealed: bytes
    created_at: datetime
