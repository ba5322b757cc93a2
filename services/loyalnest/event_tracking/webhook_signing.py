"""Secrets and signatures of webhooks, as https://www.standardwebhooks.com has them. Pure."""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

_PREFIX: Final = "whsec_"
_BYTES: Final = 32
"""Of a secret; the specification wants 24 to 64."""


def new_secret() -> str:
    """A random secret in its printed form."""
    return _PREFIX + base64.b64encode(os.urandom(_BYTES)).decode()


def signed_headers(event_id: UUID, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The three headers that prove who sent `body`, and when, with a signature for each of `secrets`."""
    timestamp = str(int(now.timestamp()))
    content = b".".join((str(event_id).encode(), timestamp.encode(), body))
    signatures = (
        hmac.new(base64.b64decode(secret.removeprefix(_PREFIX)), content, hashlib.sha256).digest() for secret in secrets
    )
    return {
        "webhook-id": str(event_id),
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }
