"""The routes of API keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.api_key_rules import MOST_DAYS, MOST_OVERLAP_HOURS, MOST_PER_MINUTE
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.http.fields import ShortText
from loyalnest.kit.http.scopes import scope_of

Scopes = Annotated[
    list[ShortText],
    Field(min_length=1, max_length=100, description="Such as points:read; GET /auth/scopes lists them."),
]
PerMinute = Annotated[int, Field(ge=1, le=MOST_PER_MINUTE, description="Most requests a minute with this key.")]


class ApiKeyBody(BaseModel):
    name: ShortText = Field(description="Which program uses it.")
    scopes: Scopes
    requests_per_minute: PerMinute = 600
    expires_in_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = Field(
        default=None, description="Left out: it does not expire."
    )


class ApiKeyChange(BaseModel):
    """What is left out stays as it is."""

    name: ShortText | None = None
    scopes: Scopes | None = None
    requests_per_minute: PerMinute | None = None


class RotationBody(BaseModel):
    overlap_hours: Annotated[int, Field(ge=0, le=MOST_OVERLAP_HOURS)] = Field(
        default=24, description="How long the present secret goes on."
    )


class ApiKeyView(BaseModel):
    api_key_id: str
    name: str
    scopes: list[str]
    requests_per_minute: int
    created_by: str
    created_at: str
    expires_at: str = Field(description="Empty: never.")
    last_used_at: str = Field(description="To the hour; empty: never.")
    previous_until: str = Field(description="Until when the secret before the last rotation goes on.")


class NewApiKeyView(ApiKeyView):
    secret: str = Field(description="The bearer token. It is shown here and nowhere else.")


class ApiKeysView(BaseModel):
    api_keys: list[ApiKeyView]


class ApiKeyRevokedView(BaseModel):
    revoked: bool = Field(description="False if the key had been revoked before.")


class ScopesView(BaseModel):
    scopes: list[str]


def add_routes(router: APIRouter, environment: Environment) -> None:
    """The routes of `/auth/api-keys` and `/auth/scopes`, for a router with the prefix `/auth`."""
    auth = AuthServiceStub(environment.channel("auth"))

    @router.get("/scopes", summary="What an API key can be allowed to do")
    async def scopes(request: Request) -> ScopesView:
        return ScopesView(scopes=known_scopes(request.app.openapi()))

    @router.get("/api-keys", summary="The merchant's API keys, oldest first (owners only)")
    async def api_keys() -> ApiKeysView:
        found = await auth.ListApiKeys(pb.ListApiKeysRequest())
        return ApiKeysView(api_keys=[ApiKeyView(**_fields(each)) for each in found.api_keys])

    @router.post("/api-keys", summary="Make an API key (owners only)")
    async def add_api_key(body: ApiKeyBody, request: Request, response: Response) -> NewApiKeyView:
        _check(body.scopes, request)
        made = await auth.CreateApiKey(
            pb.CreateApiKeyRequest(
                name=body.name,
                scopes=body.scopes,
                requests_per_minute=body.requests_per_minute,
                expires_in_days=body.expires_in_days or 0,
            )
        )
        return NewApiKeyView(**_fields(made), secret=made.secret)

    @router.patch("/api-keys/{api_key_id}", summary="Change an API key (owners only)")
    async def change_api_key(api_key_id: ShortText, body: ApiKeyChange, request: Request) -> ApiKeyView:
        _check(body.scopes or [], request)
        changed = pb.UpdateApiKeyRequest(
            api_key_id=api_key_id,
            name=body.name or "",
            scopes=body.scopes or [],
            requests_per_minute=body.requests_per_minute or 0,
        )
        return ApiKeyView(**_fields(await auth.UpdateApiKey(changed)))

    @router.post("/api-keys/{api_key_id}/rotate", summary="Give an API key a new secret (owners only)")
    async def rotate_api_key(api_key_id: ShortText, body: RotationBody) -> NewApiKeyView:
        made = await auth.RotateApiKey(pb.RotateApiKeyRequest(api_key_id=api_key_id, overlap_hours=body.overlap_hours))
        return NewApiKeyView(**_fields(made), secret=made.secret)

    @router.delete("/api-keys/{api_key_id}", summary="Revoke an API key; in effect everywhere within 10 seconds")
    async def revoke_api_key(api_key_id: ShortText) -> ApiKeyRevokedView:
        done = await auth.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=api_key_id))
        return ApiKeyRevokedView(revoked=done.revoked)


def known_scopes(document: dict[str, Any]) -> list[str]:
    """The scopes that the routes of an OpenAPI document ask for, if they stand behind the bearer token."""
    asked = {
        scope_of(operation.get("tags", ()), method)
        for operations in document["paths"].values()
        for method, operation in operations.items()
        if operation.get("security")
    }
    return sorted(asked - {""})


def _check(scopes: list[str], request: Request) -> None:
    known = known_scopes(request.app.openapi())
    if unknown := sorted(set(scopes) - set(known)):
        raise InvalidInput(f"No route asks for the scope {', '.join(unknown)}; there is {', '.join(known)}.")


def _fields(key: pb.ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in ApiKeyView.model_fields} | {"scopes": list(key.scopes)}
