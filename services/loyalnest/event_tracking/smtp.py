"""E-mail by SMTP, a connection for each message."""

import re
from contextlib import suppress
from typing import Final
from uuid import UUID

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPResponseException

from loyalnest.admin_features.events import Message
from loyalnest.event_tracking.mime import NotSendable, message_id, written
from loyalnest.event_tracking.models import Delivered, NotTaken, Outcome, Rejected, Unknown
from loyalnest.kit.clock import Clock
from loyalnest.kit.settings import Settings

_TIMEOUT_SECONDS: Final = 20.0
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")


class Smtp:
    """One server. It knows no repeats: what may have been sent is not sent again."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def send(self, task_id: UUID, message: Message) -> Outcome:
        """Send one e-mail. Up to the message itself every failure is certain; after it, only an answer is."""
        sender = message.sender or self._settings.email_from
        try:
            email = written(task_id, message, sender, self._clock())
        except NotSendable as error:
            return Rejected(str(error))
        client = self._client()
        try:
            failed = await self._reach(client) or await self._address(
                client, email["From"].addresses[0].addr_spec, email["To"].addresses[0].addr_spec
            )
            return failed or await self._hand_over(client, email.as_bytes(), message_id(task_id, sender))
        finally:
            client.close()

    def _client(self) -> SMTP:
        settings = self._settings
        return SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username or None,
            password=settings.smtp_password.get_secret_value() or None,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            timeout=_TIMEOUT_SECONDS,
        )

    @staticmethod
    async def _reach(client: SMTP) -> Outcome | None:
        try:
            await client.connect()
        except SMTPAuthenticationError as error:
            return NotTaken(f"{_words(error)} Check the SMTP login in the settings.")
        except SMTPResponseException as error:
            return NotTaken(_words(error))
        except (SMTPException, OSError) as error:
            return NotTaken(f"The SMTP server cannot be reached ({type(error).__name__}).")
        return None

    @staticmethod
    async def _address(client: SMTP, sender: str, recipient: str) -> Outcome | None:
        try:
            await client.mail(sender)
            await client.rcpt(recipient)
        except SMTPResponseException as error:
            return _answered(error)
        except (SMTPException, OSError, UnicodeError) as error:
            return NotTaken(f"The SMTP server went away before the message ({type(error).__name__}).")
        return None

    @staticmethod
    async def _hand_over(client: SMTP, message: bytes, name: str) -> Outcome:
        try:
            await client.data(message)
        except SMTPResponseException as error:
            return _answered(error)
        except (SMTPException, OSError) as error:
            return Unknown(f"The SMTP server did not say whether it took the message ({type(error).__name__}).")
        with suppress(SMTPException, OSError):
            await client.quit()
        return Delivered(name)

    async def close(self) -> None:
        """Nothing is kept open."""


def _answered(error: SMTPResponseException) -> Outcome:
    """RFC 5321, 4.2.1: 4yz may be tried again, 5yz never; either way nothing was taken."""
    return Rejected(_words(error)) if 500 <= error.code < 600 else NotTaken(_words(error))


def _words(error: SMTPResponseException) -> str:
    """The codes of an answer (RFC 3463). Its text may quote an address."""
    enhanced = _ENHANCED.match(str(error.message))
    return f"The SMTP server answered {error.code}{f' {enhanced.group()}' if enhanced else ''}."
