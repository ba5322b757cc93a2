"""The gRPC side of auth: messages in and out, who may ask, no other decisions."""

from typing import Any

from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.access import ShopAccess
from loyalnest.auth.admins import AdminUsers
from loyalnest.auth.api_key_rules import DEFAULT_OVERLAP_HOURS
from loyalnest.auth.api_keys import ApiKeys
from loyalnest.auth.auth_pb2_grpc import AuthServiceServicer
from loyalnest.auth.install import Installs
from loyalnest.auth.keys import KeyRotation
from loyalnest.auth.models import AdminSession, AdminUser, ApiKey, Merchant, OpenedSession
from loyalnest.auth.service import AuthService
from loyalnest.auth.sessions import Sessions, TokenValidator
from loyalnest.kit.context import current, only_ourselves, required_merchant
from loyalnest.kit.rpc.fields import time_text, uuid_of


class AuthGrpc(AuthServiceServicer):
    """Serves `auth.v1.AuthService`. What holds keys, secrets or tokens of a shop is for LoyalNest's own callers."""

    def __init__(
        self,
        service: AuthService,
        validator: TokenValidator,
        sessions: Sessions,
        admins: AdminUsers,
        installs: Installs,
        access: ShopAccess,
        rotation: KeyRotation,
        api_keys: ApiKeys,
    ) -> None:
        self._service = service
        self._validator = validator
        self._sessions = sessions
        self._admins = admins
        self._installs = installs
        self._access = access
        self._rotation = rotation
        self._api_keys = api_keys

    async def ValidateToken(self, request: pb.ValidateTokenRequest, context: Any) -> pb.ValidateTokenResponse:
        identity = await self._validator.validate(request.token)
        return pb.ValidateTokenResponse(
            merchant_id=identity.merchant_id,
            actor=identity.actor,
            role=identity.role,
            session_id=str(identity.session_id),
            expires_at=time_text(identity.expires_at),
            scopes=identity.scopes,
            requests_per_minute=identity.requests_per_minute,
        )

    async def ValidateMerchant(self, request: pb.ValidateMerchantRequest, context: Any) -> pb.Merchant:
        only_ourselves()
        merchant, secrets = await self._service.merchant_of_shop(request.shop_domain)
        return _merchant(merchant, secrets)

    async def GetMerchant(self, request: pb.GetMerchantRequest, context: Any) -> pb.Merchant:
        return _merchant(await self._service.merchant(required_merchant()))

    async def CloseMerchant(self, request: pb.CloseMerchantRequest, context: Any) -> pb.CloseMerchantResponse:
        only_ourselves()
        return pb.CloseMerchantResponse(closed_at=time_text(await self._service.close(required_merchant())))

    async def ListMerchants(self, request: pb.ListMerchantsRequest, context: Any) -> pb.ListMerchantsResponse:
        only_ourselves()
        found, token = await self._service.merchants(request.page_size, request.page_token)
        return pb.ListMerchantsResponse(merchants=[_merchant(each) for each in found], next_page_token=token)

    async def GetDataKeys(self, request: pb.GetDataKeysRequest, context: Any) -> pb.GetDataKeysResponse:
        only_ourselves()
        return pb.GetDataKeysResponse(
            keys=[
                pb.WrappedKey(purpose=key.purpose, version=key.version, kek_id=key.kek_id, wrapped=key.wrapped)
                for key in await self._service.keys(required_merchant())
            ]
        )

    async def RotateKeys(self, request: pb.RotateKeysRequest, context: Any) -> pb.RotateKeysResponse:
        only_ourselves()
        merchants, rewrapped, made = await self._rotation.rotate(current().merchant_id, request.rotation_id)
        return pb.RotateKeysResponse(merchants=merchants, rewrapped=rewrapped, new_data_keys=made)

    async def GetShopAccess(self, request: pb.GetShopAccessRequest, context: Any) -> pb.GetShopAccessResponse:
        only_ourselves()
        access = await self._access.get(required_merchant(), request.refused_token)
        return pb.GetShopAccessResponse(
            connected=bool(access.access_token),
            shop_domain=access.shop_domain,
            access_token=access.access_token,
            expires_at=time_text(access.expires_at),
        )

    async def BeginInstall(self, request: pb.BeginInstallRequest, context: Any) -> pb.BeginInstallResponse:
        url, state = await self._installs.begin(request.shop_domain, request.redirect_uri)
        return pb.BeginInstallResponse(authorize_url=url, state=state)

    async def CompleteInstall(self, request: pb.CompleteInstallRequest, context: Any) -> pb.Session:
        query = [(item.name, item.value) for item in request.query]
        return _opened(await self._installs.complete(query, request.cookie_state))

    async def ExchangeSessionToken(self, request: pb.ExchangeSessionTokenRequest, context: Any) -> pb.Session:
        return _opened(await self._installs.exchange_session_token(request.session_token))

    async def CreateSession(self, request: pb.CreateSessionRequest, context: Any) -> pb.Session:
        return _opened(
            await self._sessions.create(required_merchant(), request.admin, request.role, request.lifetime_seconds)
        )

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Any) -> pb.ListSessionsResponse:
        found = await self._sessions.listed(required_merchant())
        return pb.ListSessionsResponse(sessions=[_session(each) for each in found])

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Any) -> pb.RevokeSessionResponse:
        session_id = uuid_of(request.session_id, "session")
        return pb.RevokeSessionResponse(revoked=await self._sessions.revoke(required_merchant(), session_id))

    async def CreateAdminUser(self, request: pb.CreateAdminUserRequest, context: Any) -> pb.AdminUser:
        return _admin_user(await self._admins.create(required_merchant(), request.name, request.role))

    async def ListAdminUsers(self, request: pb.ListAdminUsersRequest, context: Any) -> pb.ListAdminUsersResponse:
        found = await self._admins.listed(required_merchant())
        return pb.ListAdminUsersResponse(admin_users=[_admin_user(each) for each in found])

    async def UpdateAdminUser(self, request: pb.UpdateAdminUserRequest, context: Any) -> pb.AdminUser:
        active = request.active if request.HasField("active") else None
        admin_user_id = uuid_of(request.admin_user_id, "admin user")
        return _admin_user(
            await self._admins.update(required_merchant(), admin_user_id, request.name, request.role, active)
        )

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Any) -> pb.ApiKey:
        made = await self._api_keys.create(
            required_merchant(), request.name, request.scopes, request.expires_in_days, request.requests_per_minute
        )
        return _api_key(*made)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Any) -> pb.ListApiKeysResponse:
        found = await self._api_keys.listed(required_merchant())
        return pb.ListApiKeysResponse(api_keys=[_api_key(each) for each in found])

    async def UpdateApiKey(self, request: pb.UpdateApiKeyRequest, context: Any) -> pb.ApiKey:
        api_key_id = uuid_of(request.api_key_id, "API key")
        return _api_key(
            await self._api_keys.update(
                required_merchant(), api_key_id, request.name, request.scopes, request.requests_per_minute
            )
        )

    async def RotateApiKey(self, request: pb.RotateApiKeyRequest, context: Any) -> pb.ApiKey:
        api_key_id = uuid_of(request.api_key_id, "API key")
        overlap = request.overlap_hours if request.HasField("overlap_hours") else DEFAULT_OVERLAP_HOURS
        return _api_key(*await self._api_keys.rotate(required_merchant(), api_key_id, overlap))

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Any) -> pb.RevokeApiKeyResponse:
        api_key_id = uuid_of(request.api_key_id, "API key")
        return pb.RevokeApiKeyResponse(revoked=await self._api_keys.revoke(required_merchant(), api_key_id))


def _merchant(merchant: Merchant, secrets: list[str] | None = None) -> pb.Merchant:
    return pb.Merchant(
        merchant_id=merchant.merchant_id,
        shop_domain=merchant.shop_domain,
        status=merchant.status,
        api_key=merchant.api_key,
        api_secrets=secrets or [],
        created_at=time_text(merchant.created_at),
        connected=merchant.connected,
        installed_at=time_text(merchant.installed_at),
        closed=merchant.closed,
    )


def _session(session: AdminSession, token: str = "") -> pb.Session:
    return pb.Session(
        session_id=str(session.session_id),
        merchant_id=session.merchant_id,
        token=token,
        role=session.role,
        actor=session.actor,
        created_at=time_text(session.created_at),
        expires_at=time_text(session.expires_at),
        revoked=session.revoked_at is not None,
    )


def _opened(opened: OpenedSession) -> pb.Session:
    return _session(opened.session, opened.token)


def _admin_user(user: AdminUser) -> pb.AdminUser:
    return pb.AdminUser(
        admin_user_id=str(user.admin_user_id),
        name=user.name,
        role=user.role,
        active=user.active,
        created_at=time_text(user.created_at),
    )


def _api_key(key: ApiKey, secret: str = "") -> pb.ApiKey:
    return pb.ApiKey(
        api_key_id=str(key.api_key_id),
        name=key.name,
        scopes=key.scopes,
        requests_per_minute=key.requests_per_minute,
        created_by=key.created_by,
        created_at=time_text(key.created_at),
        expires_at=time_text(key.expires_at),
        last_used_at=time_text(key.last_used_at),
        previous_until=time_text(key.previous_until),
        secret=secret,
    )
