"""Which kinds of task there are, and who does those that are messages, under the settings.

A new kind is a new entry of `KINDS` and of the handlers that the manifest gives to the workers.
"""

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from loyalnest.admin_features.events import MESSAGE_PURPOSE, Message
from loyalnest.event_tracking.file_sink import FileSink
from loyalnest.event_tracking.http_providers import Mailgun, Resend, TextMessages
from loyalnest.event_tracking.models import Handler, Outcome, Rejected
from loyalnest.event_tracking.smtp import Smtp
from loyalnest.kit.clock import Clock
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.settings import Settings

MESSAGE_KINDS: Final = ("email", "sms")
WEBHOOK: Final = "webhook"
KINDS: Final = (*MESSAGE_KINDS, WEBHOOK)

Send = Callable[[UUID, Message], Awaitable[Outcome]]

_RESEND_REMEMBERS: Final = timedelta(hours=23)
"""An hour less than Resend says, because its clock starts when ours does not."""
_FILES_REMEMBER: Final = timedelta(days=365)
_NEVER: Final = timedelta()


def handlers(settings: Settings, clock: Clock) -> Mapping[str, Handler]:
    """The handler of each kind of message. Raises InvalidInput naming the setting that is missing."""
    return {"email": _email(settings, clock), "sms": _sms(settings, clock)}


def message_folder(settings: Settings) -> Path:
    """Where the file sink writes."""
    return settings.message_folder or Path(tempfile.gettempdir()) / "loyalnest-messages"


def _email(settings: Settings, clock: Clock) -> Handler:
    rate = settings.email_per_second
    match settings.email_provider:
        case "resend":
            _require("LOYALNEST_RESEND_API_KEY", settings.resend_api_key.get_secret_value(), "resend")
            resend = Resend(settings, clock)
            return _handler("resend", _RESEND_REMEMBERS, rate, resend.send, resend.close)
        case "mailgun":
            _require("LOYALNEST_MAILGUN_API_KEY", settings.mailgun_api_key.get_secret_value(), "mailgun")
            _require("LOYALNEST_MAILGUN_DOMAIN", settings.mailgun_domain, "mailgun")
            mailgun = Mailgun(settings, clock)
            return _handler("mailgun", _NEVER, rate, mailgun.send, mailgun.close)
        case "smtp":
            _require("LOYALNEST_SMTP_HOST", settings.smtp_host, "smtp")
            smtp = Smtp(settings, clock)
            return _handler("smtp", _NEVER, rate, smtp.send, smtp.close)
        case "file":
            sink = FileSink(message_folder(settings), settings.email_from, clock)
            return _handler("file", _FILES_REMEMBER, rate, sink.email, sink.close)


def _sms(settings: Settings, clock: Clock) -> Handler:
    rate = settings.sms_per_second
    if settings.sms_provider == "http":
        _require("LOYALNEST_SMS_URL", settings.sms_url, "http")
        _require("LOYALNEST_SMS_FROM", settings.sms_from, "http")
        texts = TextMessages(settings, clock)
        return _handler("sms", _NEVER, rate, texts.send, texts.close)
    sink = FileSink(message_folder(settings), settings.email_from, clock)
    return _handler("file", _FILES_REMEMBER, rate, sink.sms, sink.close)


def _handler(
    provider: str, remembers: timedelta, per_second: float, send: Send, close: Callable[[], Awaitable[None]]
) -> Handler:
    async def perform(task_id: UUID, payload: bytes) -> Outcome:
        try:
            message = msgspec.json.decode(payload, type=Message)
        except msgspec.MsgspecError:
            return Rejected("Its content is no message.")
        return await send(task_id, message)

    return Handler(provider, MESSAGE_PURPOSE, remembers, per_second, perform, close)


def _require(variable: str, value: str, provider: str) -> None:
    if not value:
        raise InvalidInput(f"Messages are to be sent by {provider}, so {variable} must be set.")
