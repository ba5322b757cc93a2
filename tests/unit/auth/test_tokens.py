"""Bearer tokens: what is signed reads back, and nothing else is let in."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.auth import tokens
from loyalnest.auth.models import AdminSession, Role
from loyalnest.kit.crypto.envelope import DataKey
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.errors import Unauthenticated

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = b"k" * 32


def session(merchant_id: str = "acme", actor: str = "admin:x", role: Role = Role.STAFF) -> AdminSession:
    return AdminSession(merchant_id, uuid4(), None, actor, role, NOW, NOW + timedelta(hours=1))


def keys(merchant_id: str, index_key: bytes) -> MerchantKeys:
    data = DataKey(1, b"d" * 32)
    return MerchantKeys(merchant_id, data, {1: data}, index_key)


def read(token: str, now: datetime = NOW, key: bytes = KEY) -> tokens.Claims:
    return tokens.verify(token, tokens.merchant_of(token), key, now)


merchants = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True)


@given(merchants, st.from_regex(r"admin:[A-Za-z0-9_.-]{1,64}", fullmatch=True), st.sampled_from(Role))
def test_what_is_signed_reads_back(merchant_id: str, actor: str, role: Role) -> None:
    made = session(merchant_id, actor, role)
    claims = read(tokens.sign(KEY, made))
    assert (claims.merchant_id, claims.actor, claims.role) == (merchant_id, actor, role)
    assert (claims.session_id, claims.expires_at) == (made.session_id, made.expires_at)


@given(st.data())
def test_a_token_with_any_other_character_is_refused(data: st.DataObject) -> None:
    token = tokens.sign(KEY, session())
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda char: char != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    with pytest.raises(Unauthenticated):
        read(changed)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{43}", fullmatch=True))
def test_garbage_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        read(text)
    assert caught.value.detail in (tokens.NOT_OURS, tokens.EXPIRED)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jku", "b64", "zip"]), json_values), json_values)
def test_any_header_and_payload_without_our_signature_is_refused(header: dict[str, Any], payload: Any) -> None:
    with pytest.raises(Unauthenticated):
        read(f"{_part(header)}.{_part(payload)}.{'A' * 43}")


@given(st.sampled_from(["iss", "sub", "merchant", "role", "sid", "iat", "exp", "jti"]), json_values, st.booleans())
def test_signed_claims_that_make_no_sense_are_refused_or_read(name: str, value: Any, drop: bool) -> None:
    """Even a token that has our signature cannot do worse than be refused."""
    claims = jwt.decode(tokens.sign(KEY, session()), options={"verify_signature": False})
    if drop:
        del claims[name]
    else:
        claims[name] = value
    try:
        found = read(_signed(claims))
    except Unauthenticated:
        return
    assert name in ("sub", "iat", "exp", "jti")
    assert not drop
    assert found.merchant_id == "acme"


def _signed(claims: dict[str, Any]) -> str:
    head = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'acme'})}.{_part(claims)}"
    mac = hmac.new(KEY, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def test_deep_nesting_is_refused() -> None:
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 370).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        read(f"{deep}.{deep}.{'A' * 43}")


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    claims = jwt.decode(tokens.sign(KEY, session()), options={"verify_signature": False})
    key = None if algorithm == "none" else KEY * 2
    with pytest.raises(Unauthenticated):
        read(jwt.encode(claims, key, algorithm, headers={"kid": "acme"}), key=KEY * 2)  # type: ignore[arg-type]


def test_it_expires_to_the_second() -> None:
    token = tokens.sign(KEY, session())
    assert read(token, NOW + timedelta(minutes=59, seconds=59))
    with pytest.raises(Unauthenticated, match="expired"):
        read(token, NOW + timedelta(hours=1))


def test_the_key_is_the_merchants_and_not_the_index_key() -> None:
    index_key = b"i" * 32
    made = {tokens.signing_key(keys(name, index_key)) for name in ("acme", "globex")}
    assert len(made) == 2
    assert index_key not in made
    assert tokens.signing_key(keys("acme", b"j" * 32)) not in made


def test_the_key_never_changes() -> None:
    """A changed derivation would log everybody out at an upgrade."""
    assert tokens.signing_key(keys("acme", bytes(range(32)))).hex() == (
        "983eac24110b7ebdd91b45621758a059890ae93b9ebf62f0cce1abe4711e3026"
    )
