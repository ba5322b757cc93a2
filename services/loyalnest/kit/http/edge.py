"""What every request passes first and every answer last: identity, trace, security headers, time taken.

It stands outside FastAPI's own middleware, so that it sees the answers to errors, too. Shopify's deliveries leave the
common way here: they need no routing, validation or dependency, and are most of the traffic.
"""

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from opentelemetry import context as trace_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loyalnest.kit import context as call_context
from loyalnest.kit.context import CallContext
from loyalnest.kit.errors import TooLarge
from loyalnest.kit.http import problems
from loyalnest.kit.metrics import HTTP_SECONDS

MAX_JSON_BYTES: Final = 1024 * 1024
"""The longest body that FastAPI may read as JSON, which it does before anyone is asked for a token."""
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""The longest body of any other type: a route reads it itself, and stops where it wants to."""

UNMATCHED: Final = "unmatched"
_ROUTE: Final = "loyalnest.route"
"""Where a request's scope says which template serves it, if that is not FastAPI's."""
API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)

_API_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", API_POLICY.encode()),
    (b"cache-control", b"no-store"),
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,128}")

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("loyalnest.http")


class Edge:
    """Serves `app`, and paths below the prefixes of `direct`, such as `/webhooks/`, by its applications."""

    def __init__(self, app: ASGIApp, direct: Mapping[str, ASGIApp]) -> None:
        self._app = RequestBodyLimitMiddleware(app, MAX_JSON_BYTES)
        self._app_for_files = RequestBodyLimitMiddleware(app, MAX_FILE_BYTES)
        self._direct = tuple(direct.items())
        self._recorded = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        self._observers: dict[tuple[str, str, int], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        app = self._app_for(scope)
        request_id, carrier = _identity(scope["headers"])
        status = 0
        replaced = False

        async def send_on(message: Message) -> None:
            nonlocal status, replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 413 and _is_plain(message):  # Starlette's limit on bodies has words of its own
                    await problems.problem_of(TooLarge("The body is larger than this route takes."))(
                        scope, receive, send_on
                    )
                    replaced = True
                    return
                message["headers"] = [*_completed(message.get("headers", ())), (b"x-request-id", request_id)]
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        # Nobody, until a token or a signature tells: the role of LoyalNest's own jobs must not come from outside, nor
        # may what an earlier request of the same connection left behind.
        nobody = CallContext(actor="", role="")
        with call_context.use(nobody), _traced(scope, carrier, recorded=self._recorded):
            try:
                await app(scope, receive, send_on)
            except Exception:
                if not status:  # else FastAPI has logged and answered it
                    raise
            finally:
                self._observe(scope, status, time.perf_counter() - began)

    def _app_for(self, scope: Scope) -> ASGIApp:
        """The application behind the limit for the body's type; a body without one counts as JSON."""
        for prefix, app in self._direct:
            if scope["path"].startswith(prefix):
                scope[_ROUTE] = f"{prefix}{{topic}}"
                return app
        for name, value in scope["headers"]:
            if name == b"content-type":
                return self._app if b"json" in value.lower() else self._app_for_files
        return self._app

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Measure a request; 499 stands for a client that left without an answer."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = (route_of(scope), method, status or 499)
        observer = self._observers.get(key)
        if observer is None:
            observer = self._observers[key] = HTTP_SECONDS.labels(key[0], key[1], str(key[2]))
        observer.observe(seconds)


def route_of(scope: Scope) -> str:
    """The template of the route that serves the request, such as `/frontend/points/redemptions/{redemption_id}`."""
    route = scope.get("route")
    path = scope.get(_ROUTE) or getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else UNMATCHED


def _identity(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, dict[str, str]]:
    """The request's id, the caller's own if it is a harmless one, and its W3C trace context."""
    request_id = b""
    carrier: dict[str, str] = {}
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value
        elif name in (b"traceparent", b"tracestate"):
            carrier.setdefault(name.decode(), value.decode("latin-1"))
    return request_id or secrets.token_hex(16).encode(), carrier


def _is_plain(message: Message) -> bool:
    return (b"content-type", b"text/plain; charset=utf-8") in message.get("headers", ())


def _completed(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """`headers`, with the security headers that the route did not set itself."""
    kept = list(headers)
    there = {name.lower() for name, _ in kept}
    return kept + [(name, value) for name, value in _API_HEADERS if name not in there]


@contextmanager
def _traced(scope: Scope, carrier: dict[str, str], *, recorded: bool) -> Iterator[None]:
    """A span for the request, the child of the caller's. If nobody records spans, the caller's goes on unchanged."""
    if not recorded and not carrier:
        yield
        return
    parent = _propagator.extract(carrier, context=trace_context.Context())
    if not recorded:
        token = trace_context.attach(parent)
        try:
            yield
        finally:
            trace_context.detach(token)
        return
    with _tracer.start_as_current_span(
        f"HTTP {scope['method']}", context=parent, kind=trace.SpanKind.SERVER, record_exception=False
    ) as span:
        yield
        span.update_name(f"{scope['method']} {route_of(scope)}")
