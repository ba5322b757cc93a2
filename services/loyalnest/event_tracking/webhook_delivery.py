"""Delivers webhooks: one signed POST an attempt, and what its answer means.

Receivers know repeats by `webhook-id`, so unlike a message a webhook whose outcome is unknown is tried again.
"""

import asyncio
import ssl
from datetime import timedelta
from typing import Final
from uuid import UUID

import httpx
import msgspec

from loyalnest.event_tracking import webhook_repository
from loyalnest.event_tracking.answers import seconds_to_wait
from loyalnest.event_tracking.auditing import audited
from loyalnest.event_tracking.handlers import WEBHOOK
from loyalnest.event_tracking.models import Delivered, Handler, NotTaken, Outcome, Rejected, Unknown
from loyalnest.event_tracking.webhook_addresses import NotReachable, resolve
from loyalnest.event_tracking.webhook_bodies import WEBHOOK_PURPOSE, Delivery
from loyalnest.event_tracking.webhook_repository import Target
from loyalnest.event_tracking.webhook_signing import signed_headers
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import OUTAGES, Database
from loyalnest.kit.errors import NotFound
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.settings import Settings

ANSWER_SECONDS: Final = 10.0
"""Longest time of an attempt, the look-up of the name included."""
SECRET_PURPOSE: Final = "event_tracking.webhook_secret"  # noqa: S105 - what it is for
"""The purpose that subscriptions' secrets are sealed for."""
GONE: Final = "The receiver answered 410 Gone."

_REPEATS_KNOWN: Final = timedelta(days=365)


class WebhookSender:
    """The handler of webhook tasks."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: KeyRing,
        settings: Settings,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """tls: who is trusted to vouch for receivers, if not the usual authorities."""
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._clock = clock
        self._private = settings.webhooks_to_private_addresses
        self._per_second = settings.webhooks_per_second
        # No connection is kept: one that was proven to be a host's must not serve another host at the same address.
        self._http = httpx.AsyncClient(
            timeout=ANSWER_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
            verify=tls or True,
        )

    def handler(self) -> Handler:
        """As the workers know it."""
        return Handler(WEBHOOK, WEBHOOK_PURPOSE, _REPEATS_KNOWN, self._per_second, self.perform, self._http.aclose)

    async def perform(self, _task_id: UUID, payload: bytes) -> Outcome:
        """One attempt."""
        delivery = msgspec.json.decode(payload, type=Delivery)
        try:
            async with self._database.worker() as connection:
                target = await webhook_repository.target(
                    connection, delivery.merchant_id, delivery.subscription_id, self._clock()
                )
            if target is None or not target.enabled:
                return Rejected(f"Its subscription was {'deleted' if target is None else 'disabled'}.")
            secrets = [await self._secret(delivery.merchant_id, sealed) for sealed in target.secrets]
        except (NotFound, SealError):
            return Rejected("Its subscription's secret cannot be read: rotate it.")
        except OUTAGES as error:  # nothing was sent
            return NotTaken(f"LoyalNest itself was not ready ({type(error).__name__}).")
        outcome = await self._post(delivery, target, secrets)
        await self._note(delivery, target, outcome)
        return outcome

    async def _secret(self, merchant_id: str, sealed: bytes) -> str:
        return (await self._keys.open(merchant_id, SECRET_PURPOSE, sealed)).decode()

    async def _post(self, delivery: Delivery, target: Target, secrets: list[str]) -> Outcome:
        body = delivery.body.encode()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                destination = await resolve(target.url, private=self._private)
                request = self._http.build_request(
                    "POST",
                    destination.url,
                    content=body,
                    headers={
                        "Host": destination.host_header,
                        "Content-Type": "application/json",
                        "User-Agent": "LoyalNest-Webhooks/1",
                        **signed_headers(delivery.event_id, body, secrets, self._clock()),
                    },
                    extensions={"sni_hostname": destination.server_name},
                )
                answer = await self._http.send(request, stream=True)  # of what it says, only the status matters
                await answer.aclose()
        except NotReachable as error:
            return NotTaken(str(error))
        except TimeoutError:
            return Unknown(f"The receiver gave no answer within {ANSWER_SECONDS:.0f} seconds.")
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return NotTaken(f"The receiver cannot be reached ({type(error).__name__}).")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Unknown(f"The receiver gave no answer ({type(error).__name__}).")
        wait = seconds_to_wait(answer.headers.get("Retry-After"), self._clock())
        return meaning(answer.status_code, wait)

    async def _note(self, delivery: Delivery, target: Target, outcome: Outcome) -> None:
        """Keep what the attempt says of the subscription. If that cannot be stored, the next attempt says it again."""
        merchant_id, subscription_id = delivery.merchant_id, delivery.subscription_id
        if isinstance(outcome, Delivered) and not target.failing:
            return
        try:
            async with self._database.worker() as connection:
                if isinstance(outcome, Delivered):
                    await webhook_repository.note_success(connection, merchant_id, subscription_id)
                elif isinstance(outcome, Rejected):
                    if await webhook_repository.disable(connection, merchant_id, subscription_id, target.url, GONE):
                        with as_merchant(merchant_id):
                            entry = audited(
                                merchant_id,
                                "webhook.disabled",
                                f"webhook:{subscription_id}",
                                self._clock(),
                                {"enabled": "true"},
                                {"enabled": "false", "reason": GONE},
                            )
                        await self._outbox.append(connection, [entry])
                elif not target.failing:
                    await webhook_repository.note_failure(connection, merchant_id, subscription_id, self._clock())
        except OUTAGES:
            return


def meaning(status: int, retry_after: float) -> Outcome:
    """What an answer means. Anything but 2xx and 410 may be mended: standardwebhooks.com, "Operational considerations".

    A 429 is held against the delivery, unlike a provider's: this pace is the receiver's own, not that of all merchants.
    """
    if 200 <= status < 300:
        return Delivered(str(status))
    if status == 410:
        return Rejected(GONE)
    more = " Redirects are not followed: subscribe with the address itself." if 300 <= status < 400 else ""
    return NotTaken(f"The receiver answered {status}.{more}", retry_after)
