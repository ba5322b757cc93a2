"""The routes of e-mail at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from loyalnest.admin_features import admin_features_pb2 as pb
from loyalnest.admin_features.admin_features_pb2_grpc import AdminFeaturesServiceStub
from loyalnest.admin_features.views import (
    AddressBody,
    AddressView,
    ContentBody,
    EventsView,
    EventView,
    MessagesView,
    MessageView,
    NewTemplateBody,
    PreviewView,
    RestoreBody,
    SettingsBody,
    SettingsVersionsView,
    SettingsView,
    TemplatesView,
    TemplateView,
    TestBody,
    TestView,
    UpdateBody,
    VariableView,
    VersionsView,
)
from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import CustomerId, PageSize, PageToken, ShortText

Part = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_-]+$")]
_ONE = "/templates/{event}/{channel}/{language}"


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/email/…`."""
    router = APIRouter(prefix="/frontend/email", tags=["email"])
    service = AdminFeaturesServiceStub(environment.channel("admin_features"))
    _template_routes(router, service)
    _settings_routes(router, service)
    _message_routes(router, service)
    return router


def _template_routes(router: APIRouter, service: AdminFeaturesServiceStub) -> None:
    @router.get("/events", summary="What messages there are, and what their templates may name")
    async def events() -> EventsView:
        found = await service.ListEmailEvents(pb.ListEmailEventsRequest())
        return EventsView(events=[_event(each) for each in found.events], languages=list(found.languages))

    @router.get("/templates", summary="The templates in force, without their texts")
    async def templates() -> TemplatesView:
        found = await service.ListEmailTemplates(pb.ListEmailTemplatesRequest())
        return TemplatesView(templates=[_template(each) for each in found.templates])

    @router.post("/templates", summary="A template of the merchant's own")
    async def create(body: NewTemplateBody) -> TemplateView:
        key = _key(body.event, body.channel, body.language)
        return _template(
            await service.CreateEmailTemplate(
                pb.CreateEmailTemplateRequest(key=key, subject=body.subject, text=body.text, html=body.html)
            )
        )

    @router.get(_ONE, summary="The template in force")
    async def template(event: Part, channel: Part, language: Part) -> TemplateView:
        return _template(await service.GetEmailTemplate(_key(event, channel, language)))

    @router.put(_ONE, summary="A new version of the merchant's own template")
    async def update(event: Part, channel: Part, language: Part, body: UpdateBody) -> TemplateView:
        request = pb.UpdateEmailTemplateRequest(
            key=_key(event, channel, language),
            expected_version=body.expected_version,
            subject=body.subject,
            text=body.text,
            html=body.html,
        )
        return _template(await service.UpdateEmailTemplate(request))

    @router.delete(_ONE, summary="Back to the template that comes with LoyalNest")
    async def delete(event: Part, channel: Part, language: Part) -> TemplateView:
        return _template(await service.DeleteEmailTemplate(_key(event, channel, language)))

    @router.get(f"{_ONE}/versions", summary="Every version of the merchant's own, newest first")
    async def versions(
        event: Part, channel: Part, language: Part, page_size: PageSize = 50, page_token: PageToken = ""
    ) -> VersionsView:
        page = await service.ListTemplateVersions(
            pb.ListTemplateVersionsRequest(
                key=_key(event, channel, language), page_size=page_size, page_token=page_token
            )
        )
        return VersionsView(versions=[_template(each) for each in page.versions], next_page_token=page.next_page_token)

    @router.post(f"{_ONE}/restore", summary="Put an old version in force again")
    async def restore(event: Part, channel: Part, language: Part, body: RestoreBody) -> TemplateView:
        request = pb.RestoreTemplateRequest(key=_key(event, channel, language), version=body.version)
        return _template(await service.RestoreTemplate(request))

    @router.post(f"{_ONE}/preview", summary="How a template comes out; an empty body previews the one in force")
    async def preview(event: Part, channel: Part, language: Part, body: ContentBody) -> PreviewView:
        request = pb.PreviewTemplateRequest(
            key=_key(event, channel, language), subject=body.subject, text=body.text, html=body.html
        )
        made = await service.PreviewTemplate(request)
        return PreviewView(subject=made.subject, text=made.text, html=made.html)

    @router.post(f"{_ONE}/test", summary="Send the template in force to one address")
    async def test(event: Part, channel: Part, language: Part, body: TestBody) -> TestView:
        done = await service.SendTest(pb.SendTestRequest(key=_key(event, channel, language), to=body.to))
        return TestView(message_id=done.message_id)


def _settings_routes(router: APIRouter, service: AdminFeaturesServiceStub) -> None:
    @router.get("/settings", summary="What the merchant decided about messages")
    async def settings() -> SettingsView:
        return _settings(await service.GetEmailSettings(pb.GetEmailSettingsRequest()))

    @router.put("/settings", summary="Change that")
    async def change(body: SettingsBody) -> SettingsView:
        return _settings(await service.UpdateEmailSettings(pb.EmailSettings(**body.model_dump())))

    @router.get("/settings/versions", summary="Every version of the settings, newest first")
    async def settings_versions(page_size: PageSize = 50, page_token: PageToken = "") -> SettingsVersionsView:
        page = await service.ListEmailSettingsVersions(
            pb.ListEmailSettingsVersionsRequest(page_size=page_size, page_token=page_token)
        )
        return SettingsVersionsView(
            versions=[_settings(each) for each in page.versions], next_page_token=page.next_page_token
        )


def _message_routes(router: APIRouter, service: AdminFeaturesServiceStub) -> None:
    @router.get("/messages", summary="Messages, newest first, and what became of them")
    async def messages(
        customer_id: Annotated[CustomerId | None, Query()] = None,
        status: Annotated[str, Query(max_length=20)] = "",
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> MessagesView:
        page = await service.ListMessages(
            pb.ListMessagesRequest(
                customer_id=int(customer_id or 0), status=status, page_size=page_size, page_token=page_token
            )
        )
        return MessagesView(messages=[_message(each) for each in page.messages], next_page_token=page.next_page_token)

    @router.get("/messages/{message_id}", summary="One message")
    async def message(message_id: ShortText) -> MessageView:
        return _message(await service.GetMessage(pb.GetMessageRequest(message_id=message_id)))

    # An address must not stand in a URL, which logs keep; so it is asked by POST.
    @router.post("/addresses/find", summary="Whether an address unsubscribed, bounced or complained")
    async def address(body: AddressBody) -> AddressView:
        return _address(await service.GetAddress(pb.GetAddressRequest(email=body.email)))

    @router.post("/addresses/clear-bounce", summary="Try an address again that bounced")
    async def clear_bounce(body: AddressBody) -> AddressView:
        return _address(await service.ClearBounce(pb.GetAddressRequest(email=body.email)))


def _key(event: str, channel: str, language: str) -> pb.TemplateKey:
    return pb.TemplateKey(event=event, channel=channel, language=language)


def _event(found: pb.EmailEvent) -> EventView:
    return EventView(
        **{name: getattr(found, name) for name in ("event", "summary", "basis", "why", "enabled")},
        channels=list(found.channels),
        variables=[VariableView(name=each.name, meaning=each.meaning) for each in found.variables],
    )


def _template(found: pb.EmailTemplate) -> TemplateView:
    names = ("version", "is_default", "subject", "text", "html", "changed_by", "changed_at")
    return TemplateView(
        event=found.key.event,
        channel=found.key.channel,
        language=found.key.language,
        **{name: getattr(found, name) for name in names},
    )


def _settings(found: pb.EmailSettings) -> SettingsView:
    values = {name: getattr(found, name) for name in SettingsView.model_fields if name != "disabled"}
    return SettingsView(**values, disabled=list(found.disabled))


def _message(found: pb.Message) -> MessageView:
    values = {name: getattr(found, name) for name in MessageView.model_fields if name != "customer_id"}
    return MessageView(customer_id=str(found.customer_id) if found.customer_id else None, **values)


def _address(found: pb.Address) -> AddressView:
    return AddressView(unsubscribed=found.unsubscribed, bounced=found.bounced, complained=found.complained)
