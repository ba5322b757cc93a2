"""The documents of the routes below /frontend/email."""

from typing import Annotated

from pydantic import BaseModel, Field

from loyalnest.kit.http.fields import ShortText

Source = Annotated[str, Field(max_length=60_000)]


class VariableView(BaseModel):
    name: str
    meaning: str


class EventView(BaseModel):
    """A kind of message."""

    event: str
    summary: str
    basis: str = Field(description="transactional, marketing (only with consent) or invitation")
    why: str
    channels: list[str]
    variables: list[VariableView] = Field(description="What its templates may name.")
    enabled: bool


class EventsView(BaseModel):
    events: list[EventView]
    languages: list[str] = Field(description="Languages of the templates that come with LoyalNest.")


class TemplateView(BaseModel):
    """A template. `version` is what an update must name as `expected_version`."""

    event: str
    channel: str
    language: str
    version: int
    is_default: bool = Field(description="Whether it is the one that comes with LoyalNest.")
    subject: str
    text: str
    html: str
    changed_by: str
    changed_at: str


class TemplatesView(BaseModel):
    templates: list[TemplateView] = Field(description="Without text and html.")


class VersionsView(BaseModel):
    versions: list[TemplateView]
    next_page_token: str


class ContentBody(BaseModel):
    """The source of a template, in Jinja. `html` may extend "layout.html". An SMS has a `text` only."""

    subject: Annotated[str, Field(max_length=300)] = ""
    text: Annotated[str, Field(max_length=20_000)] = ""
    html: Source = ""


class NewTemplateBody(ContentBody):
    event: ShortText
    channel: Annotated[str, Field(max_length=10)] = "email"
    language: Annotated[str, Field(min_length=2, max_length=20)]


class UpdateBody(ContentBody):
    expected_version: Annotated[int, Field(ge=1, le=2**31 - 1)]


class RestoreBody(BaseModel):
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]


class PreviewView(BaseModel):
    subject: str
    text: str
    html: str


class TestBody(BaseModel):
    to: Annotated[str, Field(min_length=3, max_length=320, description="An e-mail address, or a number for SMS.")]


class TestView(BaseModel):
    message_id: str


class SettingsFields(BaseModel):
    """What the merchant decides about messages."""

    shop_name: Annotated[str, Field(max_length=78)]
    shop_url: Annotated[str, Field(max_length=500)]
    sender_name: Annotated[str, Field(max_length=78, description="Empty for the shop's name.")] = ""
    sender_address: Annotated[
        str, Field(max_length=320, description="One that the provider may send for; empty for the platform's.")
    ] = ""
    reply_to: Annotated[str, Field(max_length=320, description="Empty for the sender.")] = ""
    default_language: Annotated[str, Field(max_length=20)] = "en"
    accent_color: Annotated[str, Field(max_length=7, description="Of buttons, such as #1f2937.")] = "#1f2937"
    minimum_points: Annotated[
        int, Field(ge=1, le=1_000_000, description="An order that earned fewer makes no mail.")
    ] = 10
    daily_cap: Annotated[int, Field(ge=1, le=50, description="Mails that a customer gets in 24 hours.")] = 3
    disabled: Annotated[list[ShortText], Field(max_length=20, description="Events that make no message.")] = []


class SettingsBody(SettingsFields):
    version: Annotated[int, Field(ge=1, le=2**31 - 1, description="The version that is changed.")]


class SettingsView(SettingsFields):
    version: int
    changed_by: str
    changed_at: str


class SettingsVersionsView(BaseModel):
    versions: list[SettingsView]
    next_page_token: str


class MessageView(BaseModel):
    """A message that was or will be sent, or was decided against."""

    message_id: str
    event: str
    channel: str
    customer_id: str | None = Field(description="Whom it concerns; null for a test, negative once redacted.")
    status: str = Field(description="pending, queued, sent, failed, bounced, complained or suppressed")
    reason: str = Field(description="Why it was suppressed, or failed.")
    language: str
    template_version: int
    provider: str
    created_at: str
    updated_at: str


class MessagesView(BaseModel):
    messages: list[MessageView]
    next_page_token: str


class AddressBody(BaseModel):
    email: Annotated[str, Field(min_length=3, max_length=320)]


class AddressView(BaseModel):
    unsubscribed: bool
    bounced: bool
    complained: bool
