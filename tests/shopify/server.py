"""The stand-in Shopify as a server on loopback, and what a test does with it.

Reach it with the settings `shopify_scheme=http` and `shopify_address=<address>`; the Host header names the shop.
"""

import asyncio
import socket
import threading
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import graphql_api, oauth_pages
from shopify.model import STANDARD, App, Bucket, Discount, Failure, FailureKind, Plan, Seen, Shop
from shopify.state import State

ACME, GLOBEX = "acme.myshopify.com", "globex.myshopify.com"
_SECRET = "shpss_{:032x}"


class ShopifyServer:
    """The server and its state. Methods may be called from any thread; they take effect for the next request."""

    def __init__(self) -> None:
        self.state = State()
        self._socket = socket.create_server(("127.0.0.1", 0))
        host, port = self._socket.getsockname()
        self.address = f"{host}:{port}"
        """host:port, for the setting `shopify_address`."""
        config = uvicorn.Config(_Failing(_app(self.state), self.state), log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self.reset()

    def start(self) -> None:
        """Serve until `stop`; returns when it answers."""
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > until:
                raise TimeoutError("The stand-in Shopify did not start.")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop at once, whatever hangs."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()

    def reset(self) -> None:
        """As new: `acme` (USD, standard plan) and `globex` (EUR, standard plan), each with an app of its own."""
        self.state.reset()
        self.add_shop(ACME, name="Acme")
        self.add_shop(GLOBEX, name="Globex", currency="EUR")

    def add_shop(self, domain: str, *, app: App | None = None, plan: Plan = STANDARD, **more: Any) -> Shop:
        """Another shop, with an app of its own unless one is given. Its attributes may be changed at any time."""
        with self.state.lock:
            number = len(self.state.shops) + 1
            own = App(f"{domain.partition('.')[0]}-key", [_SECRET.format(number)])
            self.state.shops[domain] = Shop(domain, app or own, plan, **more)
            return self.state.shops[domain]

    def shop(self, domain: str = ACME) -> Shop:
        """A shop by its domain."""
        return self.state.shops[domain]

    def rotate_secret(self, domain: str = ACME) -> str:
        """Give the shop's app a new secret; the one before stays valid. Returns the new one."""
        with self.state.lock:
            new = _SECRET.format(uuid.uuid4().int)[:38]
            self.shop(domain).app.secrets.insert(0, new)
            return new

    def settings(self, **more: Any) -> Settings:
        """Settings that lead here."""
        return Settings(shopify_scheme="http", shopify_address=self.address, **more)

    def session_token(
        self,
        domain: str = ACME,
        *,
        user_id: str = "42",
        secret: str | None = None,
        algorithm: str = "HS256",
        **claims: Any,
    ) -> str:
        """A session token as App Bridge gives one to a page; `claims` replace or add to the usual (None drops)."""
        app, now = self.shop(domain).app, int(self.state.now())
        usual = {
            "iss": f"https://{domain}/admin",
            "dest": f"https://{domain}",
            "aud": app.api_key,
            "sub": user_id,
            "exp": now + 60,
            "nbf": now,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "sid": uuid.uuid4().hex,
        }
        payload = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(payload, app.secret if secret is None else secret, algorithm=algorithm)

    def webhook_headers(
        self, body: bytes, topic: str, *, domain: str = ACME, webhook_id: str = "", secret: str | None = None
    ) -> dict[str, str]:
        """The headers of a delivery of `body`, signed with the current secret unless another is given."""
        signature = webhook_signature(self.shop(domain).app.secret if secret is None else secret, body)
        return {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": signature,
            "X-Shopify-Shop-Domain": domain,
            "X-Shopify-API-Version": "2026-10",
            "X-Shopify-Webhook-Id": webhook_id or str(uuid.uuid4()),
            "X-Shopify-Event-Id": str(uuid.uuid4()),
        }

    def fail(self, kind: FailureKind, *, path: str = "", times: int = 1, seconds: float = 30.0) -> None:
        """Let the next `times` requests whose path contains `path` ("graphql", "access_token") fail."""
        with self.state.lock:
            self.state.failures.append(Failure(kind, path, times, seconds))

    def advance(self, seconds: float) -> None:
        """Move the stand-in's clock on: tokens age, buckets fill."""
        with self.state.lock:
            self.state.offset += seconds

    def drain(self, domain: str = ACME, level: float = 0.0) -> None:
        """Leave `level` points in the shop's cost bucket, as if other calls had used the rest."""
        with self.state.lock:
            shop = self.shop(domain)
            self.state.buckets[shop.app.api_key, domain] = Bucket(shop.plan, level, self.state.now())

    def install(self, domain: str = ACME) -> str:
        """An access token of the shop's app, without the way through OAuth; it expires as others do."""
        with self.state.lock:
            return self.state.grant(self.shop(domain), expiring=True).access_token

    def revoke(self, domain: str = ACME) -> None:
        """Uninstall the app: its tokens are refused from now on."""
        with self.state.lock:
            for grant in self.state.grants:
                grant.revoked = grant.revoked or grant.shop == domain

    def place(self, body: dict[str, Any], domain: str = ACME) -> None:
        """An order of the shop is now as `body`, made by `shopify.bodies.order`, says."""
        with self.state.lock:
            self.state.orders.setdefault(domain, {})[body["id"]] = body

    def discounts(self, domain: str = ACME) -> list[Discount]:
        """The discount codes that were made."""
        with self.state.lock:
            return list(self.state.discounts.get(domain, []))

    def seen(self, operation: str | None = None) -> list[Seen]:
        """The requests that were let in, or those of one GraphQL operation or OAuth grant type."""
        with self.state.lock:
            return [one for one in self.state.seen if operation in (None, one.operation)]

    async def visit(self, url: str) -> httpx.Response:
        """What a browser gets at a shop's `url`; redirects are not followed. One that leads out of Shopify is the
        app's callback.
        """
        parts = urlsplit(url)
        async with httpx.AsyncClient() as browser:
            target = parts._replace(scheme="http", netloc=self.address).geturl()
            return await browser.get(target, headers={"Host": parts.netloc})


def _app(state: State) -> Starlette:
    def shop_of(request: Request) -> Shop | None:
        return state.shops.get(request.headers.get("host", ""))

    async def authorize(request: Request) -> Response:
        with state.lock:
            shop = shop_of(request)
            if shop is None:
                return _no_shop()
            state.seen.append(Seen("GET", request.url.path, shop.domain))
            return oauth_pages.authorize(state, shop, request)

    async def access_token(request: Request) -> Response:
        form = await oauth_pages.read_form(request)
        with state.lock:
            shop = shop_of(request)
            return oauth_pages.access_token(state, shop, form) if shop else _no_shop()

    async def graphql(request: Request) -> Response:
        body = await request.body()
        with state.lock:
            shop = shop_of(request)
            token = request.headers.get("x-shopify-access-token", "")
            return graphql_api.answer(state, shop, token, body, request.url.path) if shop else _no_shop()

    return Starlette(
        routes=[
            Route("/admin/oauth/authorize", authorize),
            Route("/admin/oauth/access_token", access_token, methods=["POST"]),
            Route("/admin/api/{version}/graphql.json", graphql, methods=["POST"]),
        ]
    )


def _no_shop() -> Response:
    return JSONResponse({"errors": "Not Found"}, 404)


class _Failing:
    """Fails on demand, before or after what was asked for is done."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._state.lock:
            failure = self._state.failure_for(scope["path"]) if scope["type"] == "http" else None
        if failure is None:
            await self._app(scope, receive, send)
            return
        if failure.kind in ("error", "rate_limited"):
            status = 500 if failure.kind == "error" else 429
            await PlainTextResponse("Something went wrong on our end.", status)(scope, receive, send)
            return
        if failure.kind.endswith("_after_commit"):
            await self._app(scope, receive, _nowhere)
        if failure.kind.startswith("hang"):
            await asyncio.sleep(failure.seconds)
            if failure.kind == "hang":
                await self._app(scope, receive, send)
                return
        # an answer begun and never finished: uvicorn breaks the connection off
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _nowhere(message: Any) -> None:
    """Takes an answer that nobody gets."""
