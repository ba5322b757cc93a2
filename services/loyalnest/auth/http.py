"""Auth's routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from loyalnest.auth import api_key_http
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import InvalidInput, Unauthenticated
from loyalnest.kit.http.fields import ShortText

STATE_COOKIE = "loyalnest_install"
STATE_SECONDS = 600
SHOPIFY_SECONDS = 20.0
"""For calls that wait for Shopify's token endpoint, which may take 10 s."""
_CALLBACK = "/auth/callback"
_NO_STORE = {"Cache-Control": "no-store"}
_MAX_QUERY = 50

RoleName = Literal["owner", "staff", "support"]


class SessionTokenBody(BaseModel):
    session_token: str = Field(
        min_length=1, max_length=8192, description="What App Bridge's idToken() gave the embedded page."
    )


class TokenView(BaseModel):
    """A bearer token of LoyalNest for the `Authorization` header."""

    token: str
    expires_at: str
    role: str


class SessionView(BaseModel):
    session_id: str
    role: str
    actor: str = Field(description="Whose it is, as the audit log names them: admin:<id>.")
    created_at: str
    expires_at: str
    revoked: bool


class NewSessionView(SessionView):
    merchant_id: str
    token: str


class SessionsView(BaseModel):
    sessions: list[SessionView]


class WhoView(BaseModel):
    """Who the bearer token speaks for, and where."""

    merchant_id: str
    shop_domain: str
    connected: bool = Field(description="Whether LoyalNest can call the shop's Admin API.")
    actor: str
    role: str
    session_id: str
    expires_at: str


class RevokedView(BaseModel):
    revoked: bool = Field(description="False if the session had been ended before.")


class AdminUserBody(BaseModel):
    name: ShortText
    role: RoleName


class AdminUserChange(BaseModel):
    """What is left out stays as it is."""

    name: ShortText | None = None
    role: RoleName | None = None
    active: bool | None = Field(default=None, description="False ends the user's sessions.")


class AdminUserView(BaseModel):
    admin_user_id: str
    name: str
    role: str
    active: bool
    created_at: str


class AdminUsersView(BaseModel):
    admin_users: list[AdminUserView]


def public_routes(environment: Environment) -> APIRouter:
    """The router of the ways in, which need no bearer token."""
    router = APIRouter(prefix="/auth", tags=["auth"])
    auth = AuthServiceStub(environment.channel("auth"))
    public_url = environment.settings.public_url.rstrip("/")
    secure = public_url.startswith("https://")

    @router.get("/install", summary="Begin to install the app in a shop", status_code=302, response_class=Response)
    async def install(
        shop: Annotated[str, Query(max_length=200, description="The shop's domain: acme.myshopify.com.")],
    ) -> RedirectResponse:
        begun = await auth.BeginInstall(pb.BeginInstallRequest(shop_domain=shop, redirect_uri=public_url + _CALLBACK))
        answer = RedirectResponse(begun.authorize_url, status_code=302, headers=_NO_STORE)
        answer.set_cookie(
            STATE_COOKIE,
            begun.state,
            max_age=STATE_SECONDS,
            path="/auth",
            secure=secure,
            httponly=True,
            samesite="lax",  # Shopify sends the browser back from another site
        )
        return answer

    @router.get("/callback", summary="Where Shopify sends the browser back")
    async def callback(request: Request, response: Response) -> NewSessionView:
        items = request.query_params.multi_items()
        if len(items) > _MAX_QUERY:
            raise InvalidInput(f"Shopify's answer has at most {_MAX_QUERY} parameters.")
        session = await auth.CompleteInstall(
            pb.CompleteInstallRequest(
                query=[pb.QueryItem(name=name, value=value) for name, value in items],
                cookie_state=request.cookies.get(STATE_COOKIE, ""),
            ),
            timeout=SHOPIFY_SECONDS,
        )
        response.headers.update(_NO_STORE)
        response.delete_cookie(STATE_COOKIE, path="/auth", secure=secure, httponly=True, samesite="lax")
        return NewSessionView(**{name: getattr(session, name) for name in NewSessionView.model_fields})

    @router.post("/token", summary="A bearer token for a Shopify session token")
    async def token(body: SessionTokenBody, response: Response) -> TokenView:
        session = await auth.ExchangeSessionToken(
            pb.ExchangeSessionTokenRequest(session_token=body.session_token), timeout=SHOPIFY_SECONDS
        )
        response.headers.update(_NO_STORE)
        return TokenView(token=session.token, expires_at=session.expires_at, role=session.role)

    return router


def routes(environment: Environment) -> APIRouter:
    """The router of sessions, admin users and API keys."""
    router = APIRouter(prefix="/auth", tags=["auth"])
    auth = AuthServiceStub(environment.channel("auth"))

    @router.get("/session", summary="Who the bearer token speaks for")
    async def session(request: Request) -> WhoView:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Send the bearer token in the Authorization header.")
        who = await auth.ValidateToken(pb.ValidateTokenRequest(token=token.strip()))
        merchant = await auth.GetMerchant(pb.GetMerchantRequest())
        return WhoView(
            merchant_id=merchant.merchant_id,
            shop_domain=merchant.shop_domain,
            connected=merchant.connected,
            actor=who.actor,
            role=who.role,
            session_id=who.session_id,
            expires_at=who.expires_at,
        )

    @router.get("/sessions", summary="Sessions that have not expired: an owner sees all, others their own")
    async def sessions() -> SessionsView:
        found = await auth.ListSessions(pb.ListSessionsRequest())
        return SessionsView(sessions=[_session(each) for each in found.sessions])

    @router.delete("/sessions/{session_id}", summary="End a session; in effect everywhere within 10 seconds")
    async def revoke(session_id: ShortText) -> RevokedView:
        done = await auth.RevokeSession(pb.RevokeSessionRequest(session_id=session_id))
        return RevokedView(revoked=done.revoked)

    @router.get("/admin-users", summary="The merchant's admin users, oldest first")
    async def admin_users() -> AdminUsersView:
        found = await auth.ListAdminUsers(pb.ListAdminUsersRequest())
        return AdminUsersView(admin_users=[_admin_user(each) for each in found.admin_users])

    @router.post("/admin-users", summary="Add an admin user (owners only)")
    async def add(body: AdminUserBody) -> AdminUserView:
        return _admin_user(await auth.CreateAdminUser(pb.CreateAdminUserRequest(name=body.name, role=body.role)))

    @router.patch("/admin-users/{admin_user_id}", summary="Change an admin user (owners only)")
    async def change(admin_user_id: ShortText, body: AdminUserChange) -> AdminUserView:
        request = pb.UpdateAdminUserRequest(
            admin_user_id=admin_user_id, name=body.name or "", role=body.role or "", active=body.active
        )
        return _admin_user(await auth.UpdateAdminUser(request))

    api_key_http.add_routes(router, environment)
    return router


def _session(found: pb.Session) -> SessionView:
    return SessionView(**{name: getattr(found, name) for name in SessionView.model_fields})


def _admin_user(found: pb.AdminUser) -> AdminUserView:
    return AdminUserView(**{name: getattr(found, name) for name in AdminUserView.model_fields})
