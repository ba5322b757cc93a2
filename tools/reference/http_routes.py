"""The gateway's OpenAPI document, made without any server, and a readable page of it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
from redis.asyncio import Redis

from loyalnest.api_gateway.app import build_app
from loyalnest.api_gateway.deliveries import Deliveries
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.clock import system_clock
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import KeyRing, WrappedKey
from loyalnest.kit.database import Database
from loyalnest.kit.environment import Environment
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.service import Service
from loyalnest.kit.settings import Settings

NOWHERE = "127.0.0.1:1"

_HEAD = """<!-- Written by `make reference` from the services' routes. Change those. -->
# HTTP routes

Of the gateway; [openapi.json](openapi.json) has every field. Errors are problem documents (RFC 9457). Routes that are
marked *token* need `Authorization: Bearer …`; the others have proofs of their own, such as a signature.
"""


class _Undialled:
    """A channel for routes that are described and never called."""

    def unary_unary(self, *_arguments: Any, **_options: Any) -> Any:
        """Something that a stub can hold."""
        return self


async def _no_keys(_merchant_id: str) -> list[WrappedKey]:
    return []


def document(services: Mapping[str, Service]) -> dict[str, Any]:
    """The OpenAPI document with the routes of all services."""
    return asyncio.run(_document(services))


async def _document(services: Mapping[str, Service]) -> dict[str, Any]:
    url = f"postgresql://{NOWHERE}/none"
    environment = Environment(
        settings=Settings(),
        clock=system_clock,
        database=Database(asyncpg.create_pool(url), "none"),
        outbox=Outbox("none"),
        bus=PostgresBus(url, partitions=1, retention_hours=1),
        redis=Redis.from_url(f"redis://{NOWHERE}"),
        redis_prefix="",
        keys=KeyRing(_no_keys, KeyEncryptionKeys.parse("none:" + "A" * 43 + "=")),
        channel=lambda _service: _Undialled(),
        services=services,
        running=[],
    )
    return build_app(environment, Deliveries(environment.keys)).openapi()


def page(found: dict[str, Any]) -> str:
    """A table of routes for each tag."""
    rows: dict[str, list[str]] = {}
    for path, operations in sorted(found["paths"].items()):
        for method, operation in operations.items():
            token = "token" if operation.get("security") else ""
            summary = operation.get("summary", "").replace("|", "\\|")
            tag = operation.get("tags", ["gateway"])[0]
            rows.setdefault(tag, []).append(f"| `{method.upper()} {path}` | {summary} | {token} |")
    head = ["", "| route | what | |", "|---|---|---|"]
    return "\n".join([_HEAD, *("\n".join([f"## {tag}", *head, *rows[tag]]) + "\n" for tag in sorted(rows))])
