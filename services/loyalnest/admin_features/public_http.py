"""The routes that need no login: pages to unsubscribe, whose token tells who is meant, and providers' webhooks, whose
signature tells that they are theirs.
"""

import base64
import hashlib
from html import escape
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from loyalnest.admin_features import admin_features_pb2 as pb
from loyalnest.admin_features.admin_features_pb2_grpc import AdminFeaturesServiceStub
from loyalnest.admin_features.composing import page_words
from loyalnest.admin_features.tokens import MOST
from loyalnest.kit.environment import Environment
from loyalnest.kit.http.body import read_body

MOST_BODY: Final = 256 * 1024
BODY_SECONDS: Final = 10.0
_HEADERS: Final = ("svix-id", "svix-timestamp", "svix-signature")
_STYLE: Final = (
    "body{font:18px/1.5 sans-serif;max-width:32em;margin:4em auto;padding:0 1em;color:#111827}"
    "button{font:inherit;padding:.5em 1.5em;border:0;border-radius:6px;background:#1f2937;color:#fff}"
)

Token = Annotated[str, Path(min_length=1, max_length=MOST, pattern=r"^[A-Za-z0-9_-]+$")]


class TakenView(BaseModel):
    """The telling was taken in, now or before."""


def public_routes(environment: Environment) -> APIRouter:
    """The router of `/email/…`."""
    router = APIRouter(prefix="/email", tags=["email"])
    service = AdminFeaturesServiceStub(environment.channel("admin_features"))
    policy = _policy()

    def page(found: pb.Subscription, token: str, *, asked: bool = False) -> HTMLResponse:
        return HTMLResponse(_page(found, token, asked=asked), headers={"Content-Security-Policy": policy})

    # It only asks: mail filters look at every link of a mail, and must not unsubscribe anybody.
    @router.get("/unsubscribe/{token}", summary="The page to unsubscribe", response_class=HTMLResponse)
    async def ask(token: Token) -> HTMLResponse:
        return page(await service.GetSubscription(pb.SubscriptionRequest(token=token)), token, asked=True)

    @router.post("/unsubscribe/{token}", summary="Unsubscribe, by one click (RFC 8058)", response_class=HTMLResponse)
    async def unsubscribe(token: Token) -> HTMLResponse:
        return page(await service.Unsubscribe(pb.SubscriptionRequest(token=token)), token)

    @router.post("/resubscribe/{token}", summary="Subscribe again", response_class=HTMLResponse)
    async def resubscribe(token: Token) -> HTMLResponse:
        return page(await service.Resubscribe(pb.SubscriptionRequest(token=token)), token)

    @router.post("/providers/{provider}", summary="What Resend or Mailgun tells of a message")
    async def provider_event(
        request: Request, provider: Annotated[str, Path(max_length=20, pattern=r"^[a-z]+$")]
    ) -> TakenView:
        body = await read_body(request.scope, request.receive, MOST_BODY, BODY_SECONDS)
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        await service.TakeProviderEvent(pb.TakeProviderEventRequest(provider=provider, headers=headers, body=body))
        return TakenView()

    return router


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _page(found: pb.Subscription, token: str, *, asked: bool) -> str:
    """The page in the mail's language. asked: the visitor has not said anything yet."""
    words = {name: escape(text) for name, text in page_words(found.language, found.shop_name).items()}
    if asked and found.subscribed:
        text, action, button = words["page_ask"], "unsubscribe", words["page_unsubscribe"]
    elif found.subscribed:
        text, action, button = words["page_back"], "unsubscribe", words["page_unsubscribe"]
    else:
        text, action, button = words["page_done"], "resubscribe", words["page_subscribe"]
    return (
        f'<!DOCTYPE html><html lang="{words["language"]}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{words['page_title']}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{words['page_title']}</h1><p>{text}</p>"
        f'<form method="post" action="/email/{action}/{token}"><button>{button}</button></form></main></body></html>'
    )
