"""Providers of e-mail and text messages over HTTP: Resend, Mailgun, and whoever takes text messages as Twilio does."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import msgspec

from loyalnest.admin_features.events import Message
from loyalnest.event_tracking.answers import refused
from loyalnest.event_tracking.mime import message_id
from loyalnest.event_tracking.models import Delivered, NotTaken, Outcome, Unknown
from loyalnest.kit.clock import Clock
from loyalnest.kit.settings import Settings

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)


class HttpProvider:
    """Posts one message a call, and puts the answer into an Outcome."""

    def __init__(self, name: str, clock: Clock, *, repeatable: bool) -> None:
        """repeatable: whether the provider knows a repeated request as such."""
        self._name = name
        self._clock = clock
        # A connection kept open may be closed by the other side just when it is used again. Then nobody knows
        # whether the request was read, so whoever must not repeat it takes a new one each time.
        limits = httpx.Limits() if repeatable else httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, limits=limits)

    async def post(self, url: str, *, id_field: str, code_field: str = "", **request: Any) -> Outcome:
        """One request. id_field, code_field: where the answer has the message's name, or an error's."""
        try:
            answer = await self._http.post(url, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            return NotTaken(f"{self._name} cannot be reached ({type(error).__name__}).")
        except httpx.HTTPError as error:
            return Unknown(f"{self._name} gave no answer ({type(error).__name__}).")
        if answer.is_success:
            return Delivered(_field(answer, id_field)[:200])
        return refused(
            self._name, answer.status_code, _field(answer, code_field), answer.headers.get("Retry-After"), self._clock()
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class Resend(HttpProvider):
    """https://resend.com/docs/api-reference/emails/send-email: an Idempotency-Key is known for 24 hours."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__("resend", clock, repeatable=True)
        self._url = f"{settings.resend_url.rstrip('/')}/emails"
        self._key = settings.resend_api_key.get_secret_value()
        self._from = settings.email_from

    async def send(self, task_id: UUID, message: Message) -> Outcome:
        """Send one e-mail, once for each task however often it is asked."""
        body: dict[str, Any] = {
            "from": message.sender or self._from,
            "to": [message.to],
            "subject": message.subject,
            "text": message.text,
            "headers": message.headers,
        }
        if message.html:
            body["html"] = message.html
        if message.reply_to:
            body["reply_to"] = message.reply_to
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": str(task_id)}
        return await self.post(self._url, id_field="id", code_field="name", json=body, headers=headers)


class Mailgun(HttpProvider):
    """https://documentation.mailgun.com, "Send an email": nothing tells it a repeat."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__("mailgun", clock, repeatable=False)
        self._url = f"{settings.mailgun_url.rstrip('/')}/v3/{settings.mailgun_domain}/messages"
        self._auth = ("api", settings.mailgun_api_key.get_secret_value())
        self._from = settings.email_from

    async def send(self, task_id: UUID, message: Message) -> Outcome:
        """Send one e-mail."""
        sender = message.sender or self._from
        form = {"from": sender, "to": message.to, "subject": message.subject, "text": message.text}
        if message.html:
            form["html"] = message.html
        headers: Mapping[str, str] = {"Message-Id": message_id(task_id, sender), **message.headers}
        if message.reply_to:
            headers = {"Reply-To": message.reply_to, **headers}
        form |= {f"h:{name}": value for name, value in headers.items()}
        return await self.post(self._url, id_field="id", data=form, auth=self._auth)


class TextMessages(HttpProvider):
    """Twilio's `POST …/Messages.json` (To, From and Body as a form, basic authentication), or one that is like it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__("sms", clock, repeatable=False)
        self._url = settings.sms_url
        self._auth = (settings.sms_username, settings.sms_password.get_secret_value())
        self._from = settings.sms_from

    async def send(self, task_id: UUID, message: Message) -> Outcome:
        """Send one text message."""
        form = {"To": message.to, "From": message.sender or self._from, "Body": message.text}
        return await self.post(self._url, id_field="sid", code_field="code", data=form, auth=self._auth)


def _field(answer: httpx.Response, name: str) -> str:
    """A field of an answer's JSON object as text; empty if it is not there."""
    try:
        found = msgspec.json.decode(answer.content, type=dict[str, Any]).get(name, "")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return str(found) if isinstance(found, str | int) else ""
