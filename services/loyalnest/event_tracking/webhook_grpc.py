"""The gRPC side of webhooks: messages in and out, no decisions."""

from typing import Any
from uuid import UUID

import msgspec

from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.webhook_service import WebhookService
from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.rpc.fields import moment_of, time_text, uuid_of


class WebhookMethods:
    """The methods of webhooks, for the servicer."""

    _webhooks: WebhookService

    async def CreateWebhookSubscription(
        self, request: pb.CreateWebhookSubscriptionRequest, context: Any
    ) -> pb.WebhookSubscriptionWithSecret:
        require_role("owner", "staff")
        row, secret = await self._webhooks.create(required_merchant(), request.url, request.topics)
        return pb.WebhookSubscriptionWithSecret(subscription=self._subscription(row), secret=secret)

    async def GetWebhookSubscription(
        self, request: pb.GetWebhookSubscriptionRequest, context: Any
    ) -> pb.WebhookSubscription:
        return self._subscription(await self._webhooks.get(required_merchant(), _id(request.subscription_id)))

    async def ListWebhookSubscriptions(
        self, request: pb.ListWebhookSubscriptionsRequest, context: Any
    ) -> pb.ListWebhookSubscriptionsResponse:
        rows = await self._webhooks.list_all(required_merchant())
        return pb.ListWebhookSubscriptionsResponse(subscriptions=[self._subscription(row) for row in rows])

    async def UpdateWebhookSubscription(
        self, request: pb.UpdateWebhookSubscriptionRequest, context: Any
    ) -> pb.WebhookSubscription:
        require_role("owner", "staff")
        row = await self._webhooks.update(
            required_merchant(),
            _id(request.subscription_id),
            request.url if request.HasField("url") else None,
            request.topics,
            request.enabled if request.HasField("enabled") else None,
        )
        return self._subscription(row)

    async def DeleteWebhookSubscription(
        self, request: pb.DeleteWebhookSubscriptionRequest, context: Any
    ) -> pb.DeleteWebhookSubscriptionResponse:
        require_role("owner", "staff")
        await self._webhooks.delete(required_merchant(), _id(request.subscription_id))
        return pb.DeleteWebhookSubscriptionResponse()

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Any
    ) -> pb.WebhookSubscriptionWithSecret:
        require_role("owner", "staff")
        hours = request.overlap_hours if request.HasField("overlap_hours") else None
        row, secret = await self._webhooks.rotate(required_merchant(), _id(request.subscription_id), hours)
        return pb.WebhookSubscriptionWithSecret(subscription=self._subscription(row), secret=secret)

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: Any
    ) -> pb.ListWebhookDeliveriesResponse:
        rows, token = await self._webhooks.deliveries(
            required_merchant(),
            _id(request.subscription_id),
            request.status,
            request.page_size,
            request.page_token,
        )
        return pb.ListWebhookDeliveriesResponse(deliveries=[_delivery(row) for row in rows], next_page_token=token)

    async def ReplayWebhookDeliveries(
        self, request: pb.ReplayWebhookDeliveriesRequest, context: Any
    ) -> pb.ReplayWebhookDeliveriesResponse:
        require_role("owner", "staff")
        merchant_id, subscription_id = required_merchant(), _id(request.subscription_id)
        since = moment_of(request.failed_since, "failed_since")
        if bool(request.delivery_id) == (since is not None):
            raise InvalidInput("Give either delivery_id, for one delivery, or failed_since, for all that failed since.")
        if since is not None:
            count = await self._webhooks.replay_failed(merchant_id, subscription_id, since)
        else:
            delivery_id = uuid_of(request.delivery_id, "delivery")
            count = await self._webhooks.replay(merchant_id, subscription_id, delivery_id)
        return pb.ReplayWebhookDeliveriesResponse(deliveries=count)

    def _subscription(self, row: Any) -> pb.WebhookSubscription:
        until = row["previous_until"]
        return pb.WebhookSubscription(
            subscription_id=str(row["subscription_id"]),
            url=row["url"],
            topics=row["topics"],
            enabled=row["enabled"],
            disabled_reason=row["disabled_reason"],
            status=self._webhooks.status(row),
            failing_since=time_text(row["failing_since"]),
            previous_secret_until=time_text(until if until and until > self._webhooks.now() else None),
            created_at=time_text(row["created_at"]),
        )


def _id(text: str) -> UUID:
    return uuid_of(text, "webhook")


def _delivery(row: Any) -> pb.WebhookDelivery:
    return pb.WebhookDelivery(
        delivery_id=str(row["task_id"]),
        event_id=row["unique_key"].rpartition(":")[2],
        topic=row["reason"],
        status=row["status"],
        due_at=time_text(row["due_at"]),
        last_error=row["error"],
        created_at=time_text(row["created_at"]),
        finished_at=time_text(row["finished_at"]),
        attempts=[
            pb.Attempt(
                **{name: each[name] for name in ("attempt", "provider", "outcome", "error", "started_at", "ended_at")}
            )
            for each in msgspec.json.decode(row["attempts"])
        ],
        answer=row["provider_id"],
    )
