"""Tokens in links, webhooks of providers, settings and names: what is believed and what is not."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.email_webhooks import MAILGUN_KEY, RESEND_SECRET, mailgun_body, resend_body, resend_headers
from loyalnest.admin_features import email_settings, feedback, tokens
from loyalnest.admin_features.composing import harmless_name
from loyalnest.admin_features.email_settings import EmailSettings, first_settings
from loyalnest.admin_features.feedback import Feedback
from loyalnest.admin_features.tokens import Subject
from loyalnest.kit.crypto.envelope import DataKey, new_key
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.errors import InvalidInput, LoyalNestError, NotFound, Unauthenticated

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def keys(merchant_id: str = "acme") -> MerchantKeys:
    data = DataKey(1, new_key())
    return MerchantKeys(merchant_id, data, {1: data}, new_key())


ACME = keys()
SUBJECT = Subject("acme", 7000000000001, b"h" * 32, "de")


@given(
    st.builds(
        Subject,
        st.from_regex(r"[a-z0-9-]{1,52}", fullmatch=True),
        st.one_of(st.none(), st.integers(1, 2**63 - 1)),
        st.binary(min_size=32, max_size=32),
        st.sampled_from(["de", "pt-BR", "zh-Hant-TW"]),
    )
)
def test_a_token_says_whom_it_is_about(subject: Subject) -> None:
    token = tokens.token_of(ACME, subject)
    assert len(token) <= tokens.MOST
    assert tokens.claimed(token) == subject
    assert tokens.is_genuine(ACME, token)
    assert not tokens.is_genuine(keys(), token)


@given(st.data())
def test_a_token_that_was_changed_is_not_genuine(data: st.DataObject) -> None:
    whole = base64.urlsafe_b64decode(tokens.token_of(ACME, SUBJECT) + "==")
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([*whole[:at], whole[at] ^ data.draw(st.integers(1, 255)), *whole[at + 1 :]])
    token = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
    try:
        tokens.claimed(token)
    except NotFound:
        return
    assert not tokens.is_genuine(ACME, token)


@given(st.one_of(st.text(max_size=60), st.text(alphabet="abcXYZ019-_=", max_size=500)))
def test_any_text_is_no_token(text: str) -> None:
    with pytest.raises(NotFound):
        tokens.claimed(text)


BOUNCE = resend_body("email.bounced", "re_1", bounce={"type": "Permanent"})


def read_resend(body: bytes, headers: dict[str, str], secret: str = RESEND_SECRET) -> Feedback:
    return feedback.read("resend", secret, headers, body, NOW)


def test_what_resend_tells() -> None:
    for body, outcome in (
        (BOUNCE, "bounced"),
        (resend_body("email.bounced", "re_1"), "bounced"),
        (resend_body("email.bounced", "re_1", bounce={"type": "Transient"}), ""),
        (resend_body("email.complained", "re_1"), "complained"),
        (resend_body("email.delivered", "re_1"), ""),
    ):
        assert read_resend(body, resend_headers(body, "e1", NOW)) == Feedback("resend", "e1", "re_1", outcome)


def test_several_signatures_while_a_secret_changes() -> None:
    headers = resend_headers(BOUNCE, "e1", NOW)
    headers["svix-signature"] = f"v1,{base64.b64encode(b'x' * 32).decode()} v2,zzz {headers['svix-signature']}"
    assert read_resend(BOUNCE, headers).outcome == "bounced"


@pytest.mark.parametrize(
    "change",
    [
        {"svix-id": "e2"},
        {"svix-id": ""},
        {"svix-timestamp": str(int(NOW.timestamp()) + 1)},
        {"svix-timestamp": "nan"},
        {"svix-signature": ""},
        {"svix-signature": "v1,"},
        {"svix-signature": "v1,é"},
        {"svix-signature": "x" * 10_000},
    ],
)
def test_forged_for_resend(change: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        read_resend(BOUNCE, resend_headers(BOUNCE, "e1", NOW) | change)


def test_forged_bodies_old_ones_and_other_secrets() -> None:
    good = resend_headers(BOUNCE, "e1", NOW)
    other = "whsec_" + base64.b64encode(b"another").decode()
    for body, headers, secret in (
        (BOUNCE.replace(b"re_1", b"re_2"), good, RESEND_SECRET),
        (BOUNCE, good, other),
        (BOUNCE, good, "whsec_not base64!"),
        (BOUNCE, good, ""),
        (BOUNCE, resend_headers(BOUNCE, "e1", NOW - timedelta(seconds=301)), RESEND_SECRET),
        (BOUNCE, resend_headers(BOUNCE, "e1", NOW + timedelta(seconds=301)), RESEND_SECRET),
        (BOUNCE, {}, RESEND_SECRET),
    ):
        with pytest.raises(Unauthenticated):
            read_resend(body, headers, secret)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"[" * 100_000, b"\xff"])
def test_bodies_that_make_no_sense(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_resend(body, resend_headers(body, "e1", NOW))
    with pytest.raises(InvalidInput):
        feedback.read("mailgun", MAILGUN_KEY, {}, body, NOW)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"type": 5, "data": []}', b'{"type": "email.bounced", "data": {"email_id": {}}}']
)
def test_fields_of_other_types_say_nothing(body: bytes) -> None:
    told = read_resend(body, resend_headers(body, "e1", NOW))
    assert told.provider_id == ""


def read_mailgun(body: bytes, now: datetime = NOW) -> Feedback:
    return feedback.read("mailgun", MAILGUN_KEY, {}, body, now)


def test_what_mailgun_tells() -> None:
    hard = {"severity": "permanent", "reason": "bounce"}
    for event, data, outcome in (
        ("failed", hard, "bounced"),
        ("failed", {"severity": "permanent", "reason": "suppress-bounce"}, "bounced"),
        ("failed", {"severity": "permanent", "reason": "espblock"}, ""),
        ("failed", {"severity": "temporary", "reason": "bounce"}, ""),
        ("complained", {}, "complained"),
        ("delivered", {}, ""),
    ):
        body = mailgun_body(event, "<1@mg.example>", "t1", NOW, **data)
        assert read_mailgun(body) == Feedback("mailgun", "t1", "1@mg.example", outcome)


def test_forged_for_mailgun() -> None:
    good = msgspec.json.decode(mailgun_body("complained", "1", "t1", NOW))
    for change in ({"token": "t2"}, {"timestamp": "1"}, {"signature": ""}, {"signature": 5}, {"token": ""}):
        body = msgspec.json.encode({**good, "signature": {**good["signature"], **change}})
        with pytest.raises(Unauthenticated):
            read_mailgun(body)
    with pytest.raises(Unauthenticated):
        read_mailgun(mailgun_body("complained", "1", "t1", NOW, key="another"))
    with pytest.raises(Unauthenticated):
        read_mailgun(mailgun_body("complained", "1", "t1", NOW), NOW + timedelta(days=1, seconds=1))


def test_an_unknown_provider() -> None:
    with pytest.raises(NotFound):
        feedback.read("sendgrid", "x", {}, b"{}", NOW)


@given(st.binary(max_size=200))
def test_anything_is_refused_in_words(body: bytes) -> None:
    for provider, headers in (("resend", resend_headers(body, "e", NOW)), ("mailgun", {})):
        try:
            feedback.read(provider, {"resend": RESEND_SECRET, "mailgun": MAILGUN_KEY}[provider], headers, body, NOW)
        except LoyalNestError:
            continue
        assert provider == "resend"


def test_first_settings_are_right() -> None:
    settings = first_settings("acme-tea.myshopify.com")
    assert email_settings.checked(settings) == settings
    assert (settings.shop_name, settings.shop_url) == ("Acme Tea", "https://acme-tea.myshopify.com")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shop_name", ""),
        ("shop_name", "x" * 79),
        ("shop_name", "a\nBcc: x@y.example"),
        ("sender_name", " Acme"),
        ("sender_name", "a\u2028b"),
        ("shop_url", "http://acme.example"),
        ("shop_url", "javascript:alert(1)"),
        ("shop_url", "https://user@acme.example"),
        ("shop_url", 'https://acme.example/"><script>'),
        ("shop_url", "https://[::1"),
        ("sender_address", "acme"),
        ("sender_address", "a@b.example, c@d.example"),
        ("reply_to", "Acme <a@b.example>"),
        ("default_language", "german"),
        ("accent_color", "red"),
        ("accent_color", "#12345"),
        ("minimum_points", 0),
        ("daily_cap", 0),
        ("daily_cap", 51),
        ("disabled", ("joining", "nothing")),
    ],
)
def test_settings_that_are_wrong_are_named(field: str, value: Any) -> None:
    good = EmailSettings(shop_name="Acme", shop_url="https://acme.example")
    with pytest.raises(InvalidInput, match=f"{field} "):
        email_settings.checked(msgspec.structs.replace(good, **{field: value}))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Anna", "Anna"),
        ("  Anna  Maria ", "Anna Maria"),
        ("Zoë", "Zoë"),
        ("J. R.", "J. R."),
        ("花子", "花子"),
        ("http://x.example", ""),
        ("visit x.example", ""),
        ("WWW.x", ""),
        ("a@b", ""),
        ("<b>", ""),
        ("x" * 41, ""),
        ("a\u202eb", ""),
    ],
)
def test_names_that_are_none_are_left_out(name: str, kept: str) -> None:
    assert harmless_name(name) == kept
