"""The routes of webhooks to merchants' own servers, at the gateway."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceStub
from loyalnest.event_tracking.webhook_addresses import MOST_URL
from loyalnest.event_tracking.webhook_service import DEFAULT_OVERLAP_HOURS, MOST_OVERLAP_HOURS
from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import PageSize, PageToken, ShortText

Topic = Literal[
    "points.earned",
    "points.redeemed",
    "points.expired",
    "points.clawed_back",
    "tier.changed",
    "referral.completed",
    "referral.reversed",
    "badge.awarded",
]
Url = Annotated[
    str, Field(min_length=1, max_length=MOST_URL, pattern=r"^[\x21-\x7e]+$", examples=["https://example.com/hooks"])
]
Topics = Annotated[list[Topic], Field(min_length=1, max_length=20, description="What is told.")]
DeliveryStatus = Literal["waiting", "running", "done", "failed", "cancelled"]


class SubscriptionBody(BaseModel):
    url: Url = Field(description="https, and at a public address.")
    topics: Topics


class SubscriptionChange(BaseModel):
    """What is left out stays as it is."""

    url: Url | None = None
    topics: Topics | None = None
    enabled: bool | None = None


class SubscriptionView(BaseModel):
    """An address that events are posted to, signed as standardwebhooks.com has it."""

    subscription_id: str
    url: str
    topics: list[str]
    enabled: bool
    disabled_reason: str = Field(description="Why it was disabled, if LoyalNest did so: its receiver answered 410.")
    status: Literal["active", "failing", "disabled"] = Field(
        description="failing: nothing was delivered for an hour of trying."
    )
    failing_since: str = Field(description="Empty if the last attempt succeeded.")
    previous_secret_until: str = Field(description="Until when the secret before the last rotation signs too.")
    created_at: str


class SubscriptionWithSecretView(SubscriptionView):
    secret: str = Field(description="whsec_…: what signatures are checked with. It is shown here and nowhere else.")


class SubscriptionsView(BaseModel):
    subscriptions: list[SubscriptionView]


class SecretBody(BaseModel):
    overlap_hours: Annotated[int, Field(ge=0, le=MOST_OVERLAP_HOURS)] = Field(
        default=DEFAULT_OVERLAP_HOURS, description="How long deliveries are signed with the present secret too."
    )


class DeliveryAttemptView(BaseModel):
    attempt: int
    outcome: str = Field(description="delivered, rejected, not_taken, unknown or lost")
    error: str
    started_at: str
    ended_at: str


class DeliveryView(BaseModel):
    """One event for one address."""

    delivery_id: str
    event_id: str = Field(description="The header webhook-id, the same at every attempt.")
    topic: str
    status: DeliveryStatus
    due_at: str
    last_error: str
    answer: str = Field(description="The status that it was taken with.")
    created_at: str
    finished_at: str
    attempts: list[DeliveryAttemptView] = Field(description="First to last.")


class DeliveriesView(BaseModel):
    deliveries: list[DeliveryView]
    next_page_token: str


class ReplayBody(BaseModel):
    failed_since: AwareDatetime = Field(description="All that failed since then is delivered again, 10,000 at most.")


class ReplayedView(BaseModel):
    deliveries: int


def webhook_routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/webhooks…`. Its tag is not `webhooks`, which is closed to API keys."""
    router = APIRouter(prefix="/frontend/webhooks", tags=["subscriptions"])
    service = EventTrackingServiceStub(environment.channel("event_tracking"))
    _subscription_routes(router, service)
    _delivery_routes(router, service)
    return router


def _subscription_routes(router: APIRouter, service: EventTrackingServiceStub) -> None:
    @router.get("", summary="The merchant's webhooks, oldest first")
    async def subscriptions() -> SubscriptionsView:
        found = await service.ListWebhookSubscriptions(pb.ListWebhookSubscriptionsRequest())
        return SubscriptionsView(subscriptions=[_subscription(each) for each in found.subscriptions])

    @router.post("", summary="Have events posted to an address")
    async def create(body: SubscriptionBody, response: Response) -> SubscriptionWithSecretView:
        request = pb.CreateWebhookSubscriptionRequest(url=body.url, topics=body.topics)
        return _with_secret(await service.CreateWebhookSubscription(request), response)

    @router.get("/{subscription_id}", summary="A webhook, and how it fares")
    async def subscription(subscription_id: ShortText) -> SubscriptionView:
        request = pb.GetWebhookSubscriptionRequest(subscription_id=subscription_id)
        return _subscription(await service.GetWebhookSubscription(request))

    @router.patch("/{subscription_id}", summary="Change a webhook's address or topics, enable or disable it")
    async def update(subscription_id: ShortText, body: SubscriptionChange) -> SubscriptionView:
        request = pb.UpdateWebhookSubscriptionRequest(
            subscription_id=subscription_id, url=body.url, topics=body.topics or (), enabled=body.enabled
        )
        return _subscription(await service.UpdateWebhookSubscription(request))

    @router.delete("/{subscription_id}", summary="End a webhook", status_code=204)
    async def delete(subscription_id: ShortText) -> None:
        await service.DeleteWebhookSubscription(pb.DeleteWebhookSubscriptionRequest(subscription_id=subscription_id))

    @router.post("/{subscription_id}/secret", summary="Give a webhook a new secret")
    async def rotate(subscription_id: ShortText, body: SecretBody, response: Response) -> SubscriptionWithSecretView:
        request = pb.RotateWebhookSecretRequest(subscription_id=subscription_id, overlap_hours=body.overlap_hours)
        return _with_secret(await service.RotateWebhookSecret(request), response)


def _delivery_routes(router: APIRouter, service: EventTrackingServiceStub) -> None:
    @router.get("/{subscription_id}/deliveries", summary="A webhook's deliveries and their attempts, newest first")
    async def deliveries(
        subscription_id: ShortText,
        status: Annotated[DeliveryStatus | None, Query(description="Only those of this status.")] = None,
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> DeliveriesView:
        request = pb.ListWebhookDeliveriesRequest(
            subscription_id=subscription_id, status=status or "", page_size=page_size, page_token=page_token
        )
        page = await service.ListWebhookDeliveries(request)
        return DeliveriesView(
            deliveries=[DeliveryView.model_validate(each, from_attributes=True) for each in page.deliveries],
            next_page_token=page.next_page_token,
        )

    @router.post("/{subscription_id}/deliveries/{delivery_id}/replay", summary="Deliver again, under the same id")
    async def replay(subscription_id: ShortText, delivery_id: ShortText) -> ReplayedView:
        request = pb.ReplayWebhookDeliveriesRequest(subscription_id=subscription_id, delivery_id=delivery_id)
        return ReplayedView(deliveries=(await service.ReplayWebhookDeliveries(request)).deliveries)

    @router.post("/{subscription_id}/replay", summary="Deliver again all that failed since a time")
    async def replay_failed(subscription_id: ShortText, body: ReplayBody) -> ReplayedView:
        request = pb.ReplayWebhookDeliveriesRequest(
            subscription_id=subscription_id, failed_since=body.failed_since.isoformat()
        )
        return ReplayedView(deliveries=(await service.ReplayWebhookDeliveries(request)).deliveries)


def _subscription(found: pb.WebhookSubscription) -> SubscriptionView:
    return SubscriptionView.model_validate(found, from_attributes=True)


def _with_secret(found: pb.WebhookSubscriptionWithSecret, response: Response) -> SubscriptionWithSecretView:
    response.headers["Cache-Control"] = "no-store"
    return SubscriptionWithSecretView(**_subscription(found.subscription).model_dump(), secret=found.secret)
