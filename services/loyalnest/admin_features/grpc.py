"""The gRPC side of admin_features: messages in and out, who may ask, no other decisions."""

from typing import Any

from loyalnest.admin_features import admin_features_pb2 as pb
from loyalnest.admin_features.admin_features_pb2_grpc import AdminFeaturesServiceServicer
from loyalnest.admin_features.composing import content_of
from loyalnest.admin_features.defaults import LANGUAGES
from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.kinds import KINDS, Kind, channel_of, kind_of, variables_of
from loyalnest.admin_features.languages import required_tag
from loyalnest.admin_features.models import Message, Standing, TemplateVersion
from loyalnest.admin_features.service import AdminFeatures, SettingsVersion
from loyalnest.admin_features.templates import Key, Templates
from loyalnest.admin_features.tokens import Subject
from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.rpc.fields import time_text, uuid_of

_READERS = ("owner", "staff", "support")
_SETTINGS = (
    *("shop_name", "shop_url", "sender_name", "sender_address", "reply_to", "default_language", "accent_color"),
    *("minimum_points", "daily_cap"),
)


class AdminFeaturesGrpc(AdminFeaturesServiceServicer):
    """Serves `admin_features.v1.AdminFeaturesService` for the merchant of the call's context."""

    def __init__(self, service: AdminFeatures, templates: Templates) -> None:
        self._service = service
        self._templates = templates

    async def ListEmailEvents(self, request: pb.ListEmailEventsRequest, context: Any) -> pb.ListEmailEventsResponse:
        require_role(*_READERS)
        settings = (await self._service.settings(required_merchant()))[1]
        return pb.ListEmailEventsResponse(events=[_event(kind, settings) for kind in Kind], languages=LANGUAGES)

    async def CreateEmailTemplate(self, request: pb.CreateEmailTemplateRequest, context: Any) -> pb.EmailTemplate:
        require_role("owner", "staff")
        content = content_of(request.subject, request.text, request.html)
        return _template(await self._templates.create(required_merchant(), _key(request.key), content))

    async def GetEmailTemplate(self, request: pb.TemplateKey, context: Any) -> pb.EmailTemplate:
        require_role(*_READERS)
        return _template(await self._templates.find(required_merchant(), _key(request)))

    async def ListEmailTemplates(
        self, request: pb.ListEmailTemplatesRequest, context: Any
    ) -> pb.ListEmailTemplatesResponse:
        require_role(*_READERS)
        found = await self._templates.in_force(required_merchant())
        return pb.ListEmailTemplatesResponse(templates=[_template(each, texts=False) for each in found])

    async def UpdateEmailTemplate(self, request: pb.UpdateEmailTemplateRequest, context: Any) -> pb.EmailTemplate:
        require_role("owner", "staff")
        content = content_of(request.subject, request.text, request.html)
        key = _key(request.key)
        return _template(await self._templates.update(required_merchant(), key, request.expected_version, content))

    async def DeleteEmailTemplate(self, request: pb.TemplateKey, context: Any) -> pb.EmailTemplate:
        require_role("owner", "staff")
        return _template(await self._templates.delete(required_merchant(), _key(request)))

    async def ListTemplateVersions(
        self, request: pb.ListTemplateVersionsRequest, context: Any
    ) -> pb.ListTemplateVersionsResponse:
        require_role(*_READERS)
        rows, token = await self._templates.versions(
            required_merchant(), _key(request.key), request.page_size, request.page_token
        )
        return pb.ListTemplateVersionsResponse(versions=[_template(each) for each in rows], next_page_token=token)

    async def RestoreTemplate(self, request: pb.RestoreTemplateRequest, context: Any) -> pb.EmailTemplate:
        require_role("owner", "staff")
        return _template(await self._templates.restore(required_merchant(), _key(request.key), request.version))

    async def PreviewTemplate(self, request: pb.PreviewTemplateRequest, context: Any) -> pb.Preview:
        require_role(*_READERS)
        given = content_of(request.subject, request.text, request.html)
        content = given if given.subject or given.text or given.html else None
        made = await self._templates.preview(required_merchant(), _key(request.key), content)
        return pb.Preview(subject=made.subject, text=made.text, html=made.html)

    async def SendTest(self, request: pb.SendTestRequest, context: Any) -> pb.SendTestResponse:
        require_role("owner", "staff")
        message_id = await self._templates.send_test(required_merchant(), _key(request.key), request.to)
        return pb.SendTestResponse(message_id=str(message_id))

    async def GetEmailSettings(self, request: pb.GetEmailSettingsRequest, context: Any) -> pb.EmailSettings:
        require_role(*_READERS)
        return _settings(await self._service.settings(required_merchant()))

    async def UpdateEmailSettings(self, request: pb.EmailSettings, context: Any) -> pb.EmailSettings:
        require_role("owner", "staff")
        given = EmailSettings(**{name: getattr(request, name) for name in _SETTINGS}, disabled=tuple(request.disabled))
        return _settings(await self._service.update_settings(required_merchant(), request.version, given))

    async def ListEmailSettingsVersions(
        self, request: pb.ListEmailSettingsVersionsRequest, context: Any
    ) -> pb.ListEmailSettingsVersionsResponse:
        require_role(*_READERS)
        rows, token = await self._service.settings_versions(required_merchant(), request.page_size, request.page_token)
        return pb.ListEmailSettingsVersionsResponse(versions=[_settings(each) for each in rows], next_page_token=token)

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Any) -> pb.ListMessagesResponse:
        require_role(*_READERS)
        rows, token = await self._service.messages(
            required_merchant(), request.customer_id, request.status, request.page_size, request.page_token
        )
        return pb.ListMessagesResponse(messages=[_message(each) for each in rows], next_page_token=token)

    async def GetMessage(self, request: pb.GetMessageRequest, context: Any) -> pb.Message:
        require_role(*_READERS)
        return _message(await self._service.message(required_merchant(), uuid_of(request.message_id, "message")))

    async def GetAddress(self, request: pb.GetAddressRequest, context: Any) -> pb.Address:
        require_role(*_READERS)
        return _address(await self._service.address(required_merchant(), request.email))

    async def ClearBounce(self, request: pb.GetAddressRequest, context: Any) -> pb.Address:
        require_role("owner", "staff")
        return _address(await self._service.clear_bounce(required_merchant(), request.email))

    async def GetSubscription(self, request: pb.SubscriptionRequest, context: Any) -> pb.Subscription:
        return _subscription(await self._service.subscription(request.token))

    async def Unsubscribe(self, request: pb.SubscriptionRequest, context: Any) -> pb.Subscription:
        return _subscription(await self._service.subscribe(request.token, wanted=False))

    async def Resubscribe(self, request: pb.SubscriptionRequest, context: Any) -> pb.Subscription:
        return _subscription(await self._service.subscribe(request.token, wanted=True))

    async def TakeProviderEvent(
        self, request: pb.TakeProviderEventRequest, context: Any
    ) -> pb.TakeProviderEventResponse:
        await self._service.take_provider_event(request.provider, dict(request.headers), request.body)
        return pb.TakeProviderEventResponse()


def _key(key: pb.TemplateKey) -> Key:
    """What a template is for. Raises NotFound for an unknown event or channel, InvalidInput for an unknown language."""
    kind = kind_of(key.event)
    return kind, channel_of(kind, key.channel), required_tag(key.language)


def _event(kind: Kind, settings: EmailSettings) -> pb.EmailEvent:
    about = KINDS[kind]
    return pb.EmailEvent(
        event=kind,
        summary=about.summary,
        basis=about.basis,
        why=about.why,
        channels=about.channels,
        variables=[pb.Variable(name=name, meaning=text) for name, text in variables_of(kind).items()],
        enabled=settings.sends(kind),
    )


def _template(template: TemplateVersion, *, texts: bool = True) -> pb.EmailTemplate:
    content = template.content
    return pb.EmailTemplate(
        key=pb.TemplateKey(event=template.kind, channel=template.channel, language=template.language),
        version=template.version,
        is_default=template.removed or template.version == 0,
        subject=content.subject,
        text=content.text if texts else "",
        html=content.html if texts else "",
        changed_by=template.changed_by,
        changed_at=time_text(template.changed_at),
    )


def _settings(found: SettingsVersion) -> pb.EmailSettings:
    version, settings, changed_by, changed_at = found
    return pb.EmailSettings(
        version=version,
        **{name: getattr(settings, name) for name in _SETTINGS},
        disabled=settings.disabled,
        changed_by=changed_by,
        changed_at=time_text(changed_at),
    )


def _message(message: Message) -> pb.Message:
    return pb.Message(
        message_id=str(message.message_id),
        event=message.kind,
        channel=message.channel,
        customer_id=message.customer_id or 0,
        status=message.status,
        reason=message.reason,
        language=message.language,
        template_version=message.template_version,
        provider=message.provider,
        created_at=time_text(message.created_at),
        updated_at=time_text(message.updated_at),
    )


def _address(standing: Standing) -> pb.Address:
    return pb.Address(unsubscribed=standing.unsubscribed, bounced=standing.bounced, complained=standing.complained)


def _subscription(found: tuple[Subject, str, bool]) -> pb.Subscription:
    subject, shop_name, subscribed = found
    return pb.Subscription(subscribed=subscribed, shop_name=shop_name, language=subject.language)
