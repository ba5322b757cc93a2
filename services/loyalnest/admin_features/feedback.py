"""What e-mail providers tell by webhook: proofs that it is theirs, and what it means. Pure.

Resend signs as Svix does (https://docs.svix.com/receiving/verifying-payloads/how-manual): base64 of HMAC-SHA256 over
`id.timestamp.body`. Mailgun signs a timestamp and a token, and nothing else (its guide, "Securing webhooks"): so a
token must never be good twice, or who saw one could tell us anything.
"""

import base64
import binascii
import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from loyalnest.kit.errors import InvalidInput, NotFound, Unauthenticated

RESEND: Final = "resend"
MAILGUN: Final = "mailgun"
FRESH_SECONDS: Final = {RESEND: 300, MAILGUN: 86_400}
"""How old a signature may be: Svix signs every attempt anew, Mailgun may repeat one for 8 hours."""
BOUNCED: Final = "bounced"
COMPLAINED: Final = "complained"
_MOST_ID: Final = 300
_HARD: Final = frozenset({"bounce", "hardfail", "suppress-bounce"})
"""Mailgun's reasons of a permanent failure that lie in the address; others lie in the sender or the server."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One telling. event_id: its identity. outcome: `bounced` (for good), `complained`, or empty for anything else."""

    provider: str
    event_id: str
    provider_id: str
    outcome: str


def read(provider: str, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Feedback:
    """What a provider told. `headers` by their names in small letters.

    Raises Unauthenticated if it is not the provider's, or too old; InvalidInput if it makes no sense; NotFound for a
    provider that is unknown.
    """
    if provider not in FRESH_SECONDS:
        raise NotFound(f"There are webhooks of {RESEND} and {MAILGUN}, and of nobody else.")
    if not secret:
        raise Unauthenticated(f"No secret for the webhooks of {provider} is set, so none can be believed.")
    return _resend(secret, headers, body, now) if provider == RESEND else _mailgun(secret, body, now)


def _resend(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Feedback:
    event_id, timestamp = headers.get("svix-id", ""), headers.get("svix-timestamp", "")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise Unauthenticated("The secret for Resend's webhooks is not base64: copy it anew from Resend.") from None
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = [
        each.removeprefix("v1,") for each in headers.get("svix-signature", "").split(" ") if each.startswith("v1,")
    ]
    genuine = [hmac.compare_digest(expected, each.encode()) for each in given[:20]]
    if not event_id or not any(genuine):
        raise Unauthenticated("The signature is not Resend's.")
    _fresh(RESEND, timestamp, now)
    document = _document(body)
    data = _mapping(document, "data")
    outcome = {"email.bounced": BOUNCED, "email.complained": COMPLAINED}.get(_text(document, "type"), "")
    kind = _text(_mapping(data, "bounce"), "type")
    if outcome == BOUNCED and kind not in {"", "Permanent"}:  # a mailbox that is full will be emptied
        outcome = ""
    return Feedback(RESEND, event_id[:_MOST_ID], _text(data, "email_id")[:_MOST_ID], outcome)


def _mailgun(secret: str, body: bytes, now: datetime) -> Feedback:
    document = _document(body)
    signature = _mapping(document, "signature")
    timestamp, token = _text(signature, "timestamp"), _text(signature, "token")
    expected = hmac.new(secret.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    if not token or not hmac.compare_digest(expected.encode(), _text(signature, "signature").encode()):
        raise Unauthenticated("The signature is not Mailgun's.")
    _fresh(MAILGUN, timestamp, now)
    data = _mapping(document, "event-data")
    event, hard = _text(data, "event"), _text(data, "reason") in _HARD
    outcome = COMPLAINED if event == "complained" else ""
    if event == "failed" and _text(data, "severity") == "permanent" and hard:
        outcome = BOUNCED
    provider_id = _text(_mapping(_mapping(data, "message"), "headers"), "message-id")
    return Feedback(MAILGUN, token[:_MOST_ID], plain_id(provider_id)[:_MOST_ID], outcome)


def plain_id(provider_id: str) -> str:
    """A provider's id of a message, without the brackets that Mailgun's has when it is sent and not when it is told."""
    return provider_id.strip().removeprefix("<").removesuffix(">")


def _fresh(provider: str, timestamp: str, now: datetime) -> None:
    try:
        age = now.timestamp() - float(timestamp)
    except ValueError:
        age = math.inf
    if not abs(age) <= FRESH_SECONDS[provider]:
        raise Unauthenticated("The signature is too old, or of a clock that is wrong.")


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidInput("The body must be a JSON object.")
    return document


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value.replace("\0", "") if isinstance(value, str) else ""
