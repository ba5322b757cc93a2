"""Stand-ins of Resend, Mailgun and Twilio by HTTP, and a real SMTP server, all on loopback and with faults to order."""

import asyncio
import base64
import json
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

RESEND_KEY, MAILGUN_KEY, SMS_LOGIN = "re_key", "mg-key", ("AC1", "token")


def _basic(login: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{login}:{password}'.encode()).decode()}"


@dataclass
class Taken:
    """A message that a provider took. key: the idempotency key, where it knows such."""

    to: str
    subject: str
    text: str
    key: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """What happens to the next request instead of, or after, its being taken.

    drop: the connection is closed without an answer.
    """

    status: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    takes: bool = False
    drop: bool = False


class HttpProviders:
    """One server for the three APIs. It counts requests and keeps what it took; Resend's keys make repeats one."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.requests = 0
        self.faults: deque[Fault] = deque()
        self.url = ""
        self._by_key: dict[str, tuple[str, str]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/emails", self._resend)
        app.router.add_post("/v3/{domain}/messages", self._mailgun)
        app.router.add_post("/sms", self._sms)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _resend(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        key = request.headers["Idempotency-Key"]

        def take() -> web.Response:
            if request.headers["Authorization"] != f"Bearer {RESEND_KEY}":
                return web.json_response({"name": "validation_error", "message": "no key"}, status=403)
            earlier = self._by_key.setdefault(key, (json.dumps(body, sort_keys=True), f"resend-{len(self.taken)}"))
            if earlier[0] != json.dumps(body, sort_keys=True):
                return web.json_response({"name": "invalid_idempotent_request"}, status=409)
            if not any(each.key == key for each in self.taken):
                self.taken.append(Taken(body["to"][0], body["subject"], body["text"], key, body["headers"]))
            return web.json_response({"id": earlier[1]})

        return self._answer(request, take)

    async def _mailgun(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()

        def take() -> web.Response:
            if request.headers["Authorization"] != _basic("api", MAILGUN_KEY):
                return web.Response(text="Forbidden", status=401)
            headers = {name[2:]: str(value) for name, value in form.items() if name.startswith("h:")}
            self.taken.append(Taken(str(form["to"]), str(form["subject"]), str(form["text"]), headers=headers))
            return web.json_response({"id": f"<{len(self.taken)}@mailgun>", "message": "Queued. Thank you."})

        return self._answer(request, take)

    async def _sms(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()

        def take() -> web.Response:
            if request.headers["Authorization"] != _basic(*SMS_LOGIN):
                return web.json_response({"code": 20003, "message": "Authenticate"}, status=401)
            self.taken.append(Taken(str(form["To"]), "", str(form["Body"]), headers={"From": str(form["From"])}))
            return web.json_response({"sid": f"SM{len(self.taken)}"}, status=201)

        return self._answer(request, take)

    def _answer(self, request: web.Request, take: Any) -> web.StreamResponse:
        self.requests += 1
        fault = self.faults.popleft() if self.faults else None
        if fault is None:
            answer: web.StreamResponse = take()
            return answer
        if fault.takes:
            take()
        if fault.drop:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.json_response(fault.body, status=fault.status, headers=fault.headers)


class SmtpServer:
    """aiosmtpd with a handler that keeps what it took, and answers what the test laid out."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.rcpt_answers: deque[str] = deque()
        self.data_answers: deque[str] = deque()
        """`drop` takes the message and closes the connection without an answer."""
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        def session() -> SMTP:
            self.connections += 1
            return SMTP(self, hostname="stand-in", ident="stand-in", enable_SMTPUTF8=False)

        self._server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.rcpt_answers.popleft() if self.rcpt_answers else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.data_answers.popleft() if self.data_answers else "250 OK"
        if answer.startswith("250") or answer == "drop":
            assert isinstance(envelope.content, bytes)
            email = message_from_bytes(envelope.content, policy=policy.default)
            body = email.get_body(("plain",))
            assert body is not None
            headers = {name: str(value) for name, value in email.items()}
            self.taken.append(
                Taken(envelope.rcpt_tos[0], headers["Subject"], body.get_content().strip(), headers=headers)
            )
        if answer == "drop":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return answer
