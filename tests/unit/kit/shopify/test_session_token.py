"""Session tokens: what is accepted, and in which words the rest is refused."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from loyalnest.kit.errors import Unauthenticated
from loyalnest.kit.shopify.session_token import SessionToken, verify_session_token

KEY = "acme-key"
SECRET, PREVIOUS, STRANGE = (f"shpss_{digit * 32}" for digit in "123")
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
SHOP = "acme.myshopify.com"


def claims(**changes: Any) -> dict[str, Any]:
    usual = {
        "iss": f"https://{SHOP}/admin",
        "dest": f"https://{SHOP}",
        "aud": KEY,
        "sub": "42",
        "exp": int(NOW.timestamp()) + 60,
        "nbf": int(NOW.timestamp()),
        "sid": "a1",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(secret: str = SECRET, **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm="HS256")


def verify(text: str, *secrets: str, now: datetime = NOW) -> SessionToken:
    return verify_session_token(text, api_key=KEY, secrets=secrets or [SECRET, PREVIOUS], now=now)


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS])
def test_a_token_under_the_current_or_the_previous_secret_is_accepted(secret: str) -> None:
    assert verify(token(secret)) == SessionToken(SHOP, "42", "a1", NOW + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aud": "other-key"}, "another app"),
        ({"aud": None}, "no 'aud'"),
        ({"exp": None}, "no 'exp'"),
        ({"nbf": None}, "no 'nbf'"),
        ({"iss": None}, "no 'iss'"),
        ({"dest": None}, "no 'dest'"),
        ({"sub": None}, "no 'sub'"),
        ({"sub": ""}, "names no user"),
        ({"exp": 1e300}, "'exp' is no time"),
        ({"exp": "soon"}, "'exp' is no time"),
        ({"exp": 1 << 70}, "'exp' is no time"),
        ({"nbf": True}, "'nbf' is no time"),
        ({"iss": "https://globex.myshopify.com/admin"}, "one shop and is meant for another"),
        ({"dest": "https://globex.myshopify.com"}, "one shop and is meant for another"),
        ({"iss": "https://evil.example/admin", "dest": "https://evil.example"}, "not a myshopify.com"),
        ({"iss": f"http://{SHOP}/admin", "dest": f"http://{SHOP}"}, "no https address"),
        ({"iss": f"https://x@{SHOP}/admin", "dest": f"https://x@{SHOP}"}, "no https address"),
        ({"iss": f"https://{SHOP}:8443/admin", "dest": f"https://{SHOP}:8443"}, "no https address"),
        ({"dest": 7}, "no address"),
        ({"dest": "https://[::1"}, "no https address"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unauthenticated, match=words):
        verify(token(**changes))


def test_ten_seconds_of_clock_difference_are_allowed_and_no_more() -> None:
    expiry = NOW + timedelta(seconds=60)
    assert verify(token(), now=expiry + timedelta(seconds=9))
    with pytest.raises(Unauthenticated, match="expired"):
        verify(token(), now=expiry + timedelta(seconds=10))
    assert verify(token(), now=NOW - timedelta(seconds=10))
    with pytest.raises(Unauthenticated, match="not valid yet"):
        verify(token(), now=NOW - timedelta(seconds=11))


def test_a_strangers_signature_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        verify(token(STRANGE))
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        verify_session_token(token(), api_key=KEY, secrets=["", ""], now=NOW)


def test_a_changed_payload_is_refused() -> None:
    header, _, signature = token().split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims(sub="1")).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        verify(f"{header}.{forged}.{signature}")


def test_an_unsigned_token_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="not signed with HS256"):
        verify(jwt.encode(claims(), "", algorithm="none"))


@pytest.mark.parametrize("algorithm", ["RS256", "HS384", "HS512", "ES256", "nOnE"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    _, payload, signature = token().split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated, match="not signed with HS256"):
        verify(f"{header}.{payload}.{signature}")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "....", "\x00", "ä.ö.ü", "e30.e30.e30", "9" * 5000])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(text)
