"""Session tokens: what an embedded admin page shows to prove which person of which shop is using it.

Source: shopify.dev "Session tokens": a JWT, HS256 with the app's secret, `aud` the client id, `iss` and `dest` on one
host, `sub` the user's id, valid for a minute. 10 seconds of clock difference are allowed, as Shopify's libraries do.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from loyalnest.kit.errors import InvalidInput, Unauthenticated
from loyalnest.kit.shopify.endpoint import shop_domain

LEEWAY_SECONDS = 10
_CLAIMS = ("exp", "nbf", "iss", "dest", "aud", "sub")


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A verified token. `user_id` is Shopify's id of the admin user, `session_id` its `sid` (may be empty)."""

    shop_domain: str
    user_id: str
    session_id: str
    expires_at: datetime


def verify_session_token(token: str, *, api_key: str, secrets: Sequence[str], now: datetime) -> SessionToken:
    """Verify `token` for the app `api_key` under any of `secrets` (the current one and the previous).

    Raises Unauthenticated that says what is wrong with it.
    """
    claims = _decode(token, api_key, [secret for secret in secrets if secret])
    _check_times(claims, now.timestamp())
    shop = _shop(claims)
    user_id = claims["sub"]
    if not isinstance(user_id, str) or not user_id:
        raise Unauthenticated("The session token names no user.")
    return SessionToken(shop, user_id, str(claims.get("sid") or ""), datetime.fromtimestamp(claims["exp"], UTC))


def _decode(token: str, api_key: str, secrets: Sequence[str]) -> Mapping[str, Any]:
    for secret in secrets:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # Shopify chose its length
                return jwt.decode(
                    token,
                    secret,
                    algorithms=["HS256"],
                    audience=api_key,
                    options={  # times are checked here, by the clock that was given
                        "require": list(_CLAIMS),
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                    },
                )
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidAlgorithmError:
            raise Unauthenticated("The session token is not signed with HS256.") from None
        except jwt.InvalidAudienceError:
            raise Unauthenticated("The session token is for another app.") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"The session token has no {error.claim!r}.") from None
        except jwt.InvalidTokenError:
            raise Unauthenticated("This is no session token.") from None
    raise Unauthenticated("The session token's signature is wrong.")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    for name in ("exp", "nbf"):
        value = claims[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 36:
            raise Unauthenticated(f"The session token's {name!r} is no time.")
    if now >= claims["exp"] + LEEWAY_SECONDS:
        raise Unauthenticated("The session token has expired; the page gets a new one from Shopify for each request.")
    if now < claims["nbf"] - LEEWAY_SECONDS:
        raise Unauthenticated("The session token is not valid yet; is a clock wrong?")


def _shop(claims: Mapping[str, Any]) -> str:
    issuer, shop = _host(claims["iss"]), _host(claims["dest"])
    if issuer != shop:
        raise Unauthenticated("The session token was issued for one shop and is meant for another.")
    try:
        return shop_domain(shop)
    except InvalidInput:
        raise Unauthenticated("The session token's shop is not a myshopify.com domain.") from None


def _host(url: object) -> str:
    if not isinstance(url, str):
        raise Unauthenticated("The session token's shop is no address.")
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and parts.netloc == parts.hostname
    except ValueError:
        plain = False
    if not plain:
        raise Unauthenticated("The session token's shop is no https address.")
    return parts.netloc
