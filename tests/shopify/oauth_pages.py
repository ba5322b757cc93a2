"""The stand-in's OAuth: the page where a merchant allows the app, and the token endpoint.

Refusals have the shape and, where they are documented or reported, the words of Shopify's.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
from jwt.types import Options
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from loyalnest.kit.shopify.signatures import sign_oauth_query
from shopify.model import Grant, Seen, Shop
from shopify.state import State

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
OFFLINE = "urn:shopify:params:oauth:token-type:offline-access-token"


class Refused(Exception):
    """An OAuth error answer."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error} | ({"error_description": description} if description else {})


def authorize(state: State, shop: Shop, request: Request) -> Response:
    """The merchant allows everything at once: back to the app with a signed code."""
    query = request.query_params
    app = state.app(shop, query.get("client_id", ""))
    if app is None:
        return PlainTextResponse("Oauth error application_cannot_be_found", 400)
    if query.get("redirect_uri") not in app.redirect_uris:
        return PlainTextResponse("Oauth error invalid_request: The redirect_uri is not whitelisted", 400)
    wanted = {scope for scope in query.get("scope", "").split(",") if scope}
    if not wanted <= set(app.scopes.split(",")):
        return PlainTextResponse("Oauth error invalid_scope: The access scope is invalid", 400)
    items = [
        ("code", state.issue_code(shop)),
        ("host", base64.b64encode(f"admin.shopify.com/store/{shop.handle}".encode()).decode().rstrip("=")),
        ("shop", shop.domain),
        ("state", query.get("state", "")),
        ("timestamp", str(int(state.now()))),
    ]
    return RedirectResponse(f"{query['redirect_uri']}?{urlencode(sign_oauth_query(app.secret, items))}", 302)


async def read_form(request: Request) -> dict[str, str]:
    """The token request's fields: a form or a JSON object, as Shopify takes both."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body = json.loads(await request.body())
        except ValueError:
            return {}
        return {key: str(value) for key, value in body.items()} if isinstance(body, dict) else {}
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


def access_token(state: State, shop: Shop, form: Mapping[str, str]) -> Response:
    """The token endpoint: a callback's code, a session token, or a refresh token."""
    kind = form.get("grant_type") or ("authorization_code" if "code" in form else "")
    state.seen.append(Seen("POST", "/admin/oauth/access_token", shop.domain, kind))
    try:
        return JSONResponse(_answer(state, _granted(state, shop, kind, form)))
    except Refused as refusal:
        return JSONResponse(refusal.body, refusal.status)


def _granted(state: State, shop: Shop, kind: str, form: Mapping[str, str]) -> Grant:
    app = state.app(shop, form.get("client_id", ""))
    if app is None:
        raise Refused("application_cannot_be_found")
    if form.get("client_secret", "") not in app.secrets:
        raise Refused("invalid_client", "The client credentials are wrong", 401)
    expiring = form.get("expiring") == "1"
    if kind == "authorization_code":
        if not state.take_code(shop, form.get("code", "")):
            raise Refused("invalid_request", "The authorization code was not found or was already used")
        return state.grant(shop, expiring=expiring)
    if kind == EXCHANGE:
        if form.get("subject_token_type") != ID_TOKEN or form.get("requested_token_type") != OFFLINE:
            raise Refused("invalid_request", "The token types are not supported")
        _check_session_token(state, shop, form.get("subject_token", ""))
        return state.grant(shop, expiring=expiring)
    if kind == "refresh_token":
        grant = state.refresh(shop, form.get("refresh_token", ""))
        if grant is None:
            raise Refused("invalid_request", "This request requires an active refresh_token", 401)
        return grant
    raise Refused("unsupported_grant_type")


_OWN_CLOCK: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


def _check_session_token(state: State, shop: Shop, token: str) -> None:
    for secret in shop.app.secrets:
        try:
            claims = jwt.decode(token, secret, algorithms=["HS256"], audience=shop.app.api_key, options=_OWN_CLOCK)
        except jwt.InvalidTokenError:
            continue
        at_home = claims.get("dest") == f"https://{shop.domain}" and claims.get("iss") == f"https://{shop.domain}/admin"
        if at_home and claims.get("exp", 0) > state.now():
            return
    raise Refused("invalid_subject_token", "The session token is invalid, expired or for another shop")


def _answer(state: State, grant: Grant) -> dict[str, Any]:
    answer: dict[str, Any] = {"access_token": grant.access_token, "scope": grant.scope}
    if grant.expires_at is not None and grant.refresh_expires_at is not None:
        answer["expires_in"] = round(grant.expires_at - state.now())
        answer["refresh_token"] = grant.refresh_token
        answer["refresh_token_expires_in"] = round(grant.refresh_expires_at - state.now())
    return answer
