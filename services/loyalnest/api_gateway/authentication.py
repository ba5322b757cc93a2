"""The bearer token of an API call: who it speaks for, and how much more they may ask this minute."""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Final

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from loyalnest.api_gateway.limits import Limit, Limiter
from loyalnest.api_gateway.merchants import LOOKUP_SECONDS, SYSTEM
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit import context as call_context
from loyalnest.kit.clock import Clock
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from loyalnest.kit.http.edge import route_of
from loyalnest.kit.http.scopes import scope_of

REMEMBER_SECONDS: Final = 5.0
"""How long a token that was valid is taken to be; a session that is revoked ends within it."""
MOST_REMEMBERED: Final = 10_000
MAX_TOKEN: Final = 4096

_CREDENTIALS: Final = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")  # RFC 6750, section 2.1
_scheme = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="session token of LoyalNest, or an API key",
    description="Of one merchant. `loyalnest token MERCHANT` prints one; POST /auth/token exchanges one for Shopify's; "
    "POST /auth/api-keys makes a key for the merchant's own programs, which needs the scope of a route's first tag.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a token speaks for. scopes, per_minute: of an API key; None and 0 for a session."""

    merchant_id: str
    actor: str
    role: str
    scopes: frozenset[str] | None = None
    per_minute: int = 0


class Tokens:
    """Asks auth about tokens, and remembers its answers for a moment. Only hashes of tokens are kept."""

    def __init__(self, auth: AuthServiceStub, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._auth = auth
        self._clock = clock
        self._monotonic = monotonic
        self._remembered: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    async def caller(self, token: str) -> Caller:
        """Who `token` speaks for. Raises Unauthenticated for anything that is wrong with it."""
        key = hashlib.sha256(token.encode()).digest()
        found = self._remembered.get(key)
        if found is not None:
            if self._monotonic() < found[1]:
                return found[0]
            del self._remembered[key]
        try:
            with call_context.use(replace(SYSTEM, deadline=call_context.current().deadline)):
                answer = await self._auth.ValidateToken(pb.ValidateTokenRequest(token=token), timeout=LOOKUP_SECONDS)
        except (InvalidInput, NotFound):
            raise _refused() from None
        if not answer.merchant_id:
            raise _refused()
        scopes = frozenset(answer.scopes) if answer.scopes else None
        caller = Caller(answer.merchant_id, answer.actor, answer.role, scopes, answer.requests_per_minute)
        self._remember(key, caller, answer.expires_at)
        return caller

    def _remember(self, key: bytes, caller: Caller, expires_at: str) -> None:
        seconds = REMEMBER_SECONDS
        if expires_at:
            seconds = min(seconds, (datetime.fromisoformat(expires_at) - self._clock()).total_seconds())
        self._remembered[key] = (caller, self._monotonic() + seconds)
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)


class Authentication:
    """The dependency of every route behind a token: the route runs in the context of the token's merchant."""

    def __init__(self, tokens: Tokens, limiter: Limiter, limit: Limit) -> None:
        self._tokens = tokens
        self._limiter = limiter
        self._limit = limit

    async def __call__(
        self, request: Request, _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)]
    ) -> AsyncIterator[None]:
        """Serve the request as the token's admin or API key. Raises Unauthenticated, Forbidden, RateLimited."""
        caller = await self._tokens.caller(token_of(request.headers.getlist("authorization")))
        if caller.scopes is not None:
            check_scope(caller.scopes, scope_of(getattr(request.scope.get("route"), "tags", ()), request.method))
            await self._limiter.count(caller.merchant_id, caller.actor, Limit(caller.per_minute))
        await self._limiter.count(caller.merchant_id, endpoint_of(request), self._limit)
        with call_context.use(
            replace(call_context.current(), merchant_id=caller.merchant_id, actor=caller.actor, role=caller.role)
        ):
            yield


def check_scope(allowed: frozenset[str], asked: str) -> None:
    """Raise Forbidden unless an API key with the scopes `allowed` may call a route that asks for `asked`."""
    if not asked:
        raise Forbidden("API keys cannot call this: log in.")
    if asked not in allowed:
        raise Forbidden(f"The API key lacks the scope {asked}; an owner of the merchant can add it.")


def token_of(values: list[str]) -> str:
    """The token in the request's Authorization headers. Raises Unauthenticated unless there is exactly one."""
    if not values:
        raise Unauthenticated("This needs a token: Authorization: Bearer …")
    found = _CREDENTIALS.fullmatch(values[0].strip()) if len(values) == 1 and len(values[0]) <= MAX_TOKEN else None
    if found is None:
        raise Unauthenticated("The Authorization header must be one: Bearer, a space, and the token.")
    return found[1]


def endpoint_of(request: Request) -> str:
    """Method and route for the limit's key, without the braces that Redis Cluster would take for a hash tag."""
    route = route_of(request.scope).lstrip("/").replace("{", ":").replace("}", "")
    return f"{request.method.lower()}/{route}"


def _refused() -> Unauthenticated:
    return Unauthenticated("The token is not valid; log in again.")
