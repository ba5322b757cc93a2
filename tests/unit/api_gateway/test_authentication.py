"""Tokens: how they are written, how long they are remembered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loyalnest.api_gateway import authentication
from loyalnest.api_gateway.authentication import Tokens, token_of
from loyalnest.auth import auth_pb2 as pb
from loyalnest.kit import context
from loyalnest.kit.errors import InvalidInput, Unauthenticated

NOW = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "token"),
    [(["Bearer abc.DEF-1_2~3+4/5=="], "abc.DEF-1_2~3+4/5=="), (["bearer  x"], "x"), (["BEARER x"], "x")],
)
def test_a_header_with_a_token(values: list[str], token: str) -> None:
    assert token_of(values) == token


@pytest.mark.parametrize(
    "values",
    [[], [""], ["Bearer"], ["Bearer "], ["Token x"], ["Bearer x y"], ["Bearer x\x00"], ["Bearer x", "Bearer x"]],
)
def test_a_header_without_one(values: list[str]) -> None:
    with pytest.raises(Unauthenticated):
        token_of(values)


class Auth:
    def __init__(self) -> None:
        self.asked = 0
        self.answer = pb.ValidateTokenResponse(merchant_id="acme", actor="admin:1", role="owner")
        self.error: Exception | None = None
        self.seen: context.CallContext | None = None

    async def ValidateToken(self, _request: Any, **_options: Any) -> pb.ValidateTokenResponse:  # noqa: N802
        self.asked += 1
        self.seen = context.current()
        if self.error:
            raise self.error
        return self.answer


def tokens(auth: Auth, now: list[float]) -> Tokens:
    return Tokens(auth, lambda: NOW, lambda: now[0])  # type: ignore[arg-type]


async def test_an_answer_is_remembered_for_five_seconds_at_most() -> None:
    auth, now = Auth(), [0.0]
    known = tokens(auth, now)
    for moment, asked in ((0.0, 1), (4.9, 1), (5.0, 2)):
        now[0] = moment
        assert (await known.caller("t")).merchant_id == "acme"
        assert auth.asked == asked
    assert auth.seen is not None
    assert (auth.seen.merchant_id, auth.seen.role) == ("", "system")


async def test_an_answer_is_not_remembered_beyond_the_tokens_own_end() -> None:
    auth, now = Auth(), [0.0]
    auth.answer.expires_at = (NOW + timedelta(seconds=2)).isoformat()
    known = tokens(auth, now)
    await known.caller("t")
    now[0] = 2.0
    await known.caller("t")
    assert auth.asked == 2


@pytest.mark.parametrize("error", [InvalidInput("x"), Unauthenticated("x")])
async def test_what_auth_refuses_is_not_remembered(error: Exception) -> None:
    auth = Auth()
    auth.error = error
    known = tokens(auth, [0.0])
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await known.caller("t")
    assert auth.asked == 2


async def test_a_token_of_no_merchant_is_refused() -> None:
    auth = Auth()
    auth.answer.merchant_id = ""
    with pytest.raises(Unauthenticated):
        await tokens(auth, [0.0]).caller("t")


async def test_the_memory_is_bounded_and_holds_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MOST_REMEMBERED", 3)
    known = tokens(Auth(), [0.0])
    for number in range(9):
        await known.caller(f"secret-{number}")
    assert len(known._remembered) == 3
    assert "secret" not in repr(known._remembered)
