"""Making the message: the template in the right language, filled in, with the headers that mail needs. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import formataddr, parseaddr
from typing import Any, Final
from zoneinfo import ZoneInfo

from loyalnest.admin_features.defaults import Content, default_content, spoken, words
from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.events import Message as Envelope
from loyalnest.admin_features.kinds import KINDS, Channel, Kind
from loyalnest.admin_features.languages import choices
from loyalnest.admin_features.models import TemplateVersion
from loyalnest.admin_features.templating import Rendered, TemplateFault, render

DAYS: Final = ("available_at", "expires_at")
"""Facts that are moments, and in a message days of the merchant's time zone."""
MOST_FIRST_NAME: Final = 40
_NO_NAME = re.compile(r"[/@<>:]|www\.|\.\w", re.IGNORECASE)

Templates = Mapping[tuple[Kind, Channel, str], TemplateVersion]
"""A merchant's own templates in force, by what they are for."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What a message takes from its merchant. email_from: the platform's own sender."""

    settings: EmailSettings
    timezone: str
    joining_points: int
    email_from: str


def own_templates(versions: Iterable[TemplateVersion]) -> dict[tuple[Kind, Channel, str], TemplateVersion]:
    """Those in force that were not removed."""
    return {(each.kind, each.channel, each.language): each for each in versions if not each.removed}


def candidates(
    templates: Templates, kind: Kind, channel: Channel, locale: str, default_language: str
) -> Sequence[TemplateVersion]:
    """The templates for somebody who speaks `locale`, best first: in each language the merchant's own before ours."""
    found: list[TemplateVersion] = []
    for language in choices(locale, default_language):
        own = templates.get((kind, channel, language))
        ours = default_content(kind, channel, language)
        if own is not None:
            found.append(own)
        if ours is not None:
            found.append(TemplateVersion(kind, channel, language, 0, removed=False, content=ours))
    return found


def values_for(
    kind: Kind, facts: Mapping[str, Any], shop: Shop, language: str, first_name: str, unsubscribe_url: str
) -> dict[str, Any]:
    """Everything that a template of the kind may name."""
    settings = shop.settings
    said = {name: text.replace("{shop}", settings.shop_name) for name, text in words(language).items()}
    if kind is Kind.REFERRAL_INVITATION:
        said["why"] = said["why_invited"]
    values: dict[str, Any] = {
        "first_name": first_name,
        "shop_name": settings.shop_name,
        "shop_url": settings.shop_url,
        "accent_color": settings.accent_color,
        "language": language,
        "unsubscribe_url": unsubscribe_url,
        "words": said,
    }
    if kind is Kind.JOINING:
        values["joining_points"] = shop.joining_points
    if kind is Kind.REFERRAL_INVITATION:
        values |= {"first_name": "", "sharer_name": first_name}
    return values | {name: _day(value, shop.timezone) if name in DAYS else value for name, value in facts.items()}


def sample_values(kind: Kind, shop: Shop, language: str) -> list[Mapping[str, Any]]:
    """What previews and checks fill in: the kind's samples, of somebody with a name and of somebody without."""
    url = "https://loyalty.example/email/unsubscribe/sample"
    filled: list[Mapping[str, Any]] = []
    for number, sample in enumerate(KINDS[kind].samples):
        values = values_for(kind, {}, shop, language, "Anna" if number == 0 else "", url)
        filled.append({**values, **sample})
    return filled


def rendered_first(
    templates: Sequence[TemplateVersion], values_in: Mapping[str, Mapping[str, Any]]
) -> tuple[TemplateVersion, Rendered, int]:
    """The first template that renders, what it gives, and how many failed before it.

    values_in: by language. LoyalNest's own English never fails.
    """
    for number, template in enumerate(templates):
        try:
            return template, render(template.content, values_in[template.language]), number
        except TemplateFault:
            if number == len(templates) - 1:
                raise
    raise AssertionError("there is a template in English")


def harmless_name(name: str) -> str:
    """A first name, or nothing where somebody put an address or an advertisement in its place: shops let anybody sign
    up by any name, and a mail to a friend would carry it.
    """
    name = " ".join(name.split())
    return "" if len(name) > MOST_FIRST_NAME or _NO_NAME.search(name) or not name.isprintable() else name


def envelope(channel: Channel, to: str, rendered: Rendered, shop: Shop, unsubscribe_url: str) -> Envelope:
    """The message for event_tracking. E-mails can be unsubscribed from by one click (RFC 2369, RFC 8058)."""
    if channel is Channel.SMS:
        return Envelope(to=to, text=rendered.text)
    settings = shop.settings
    headers = {"Auto-Submitted": "auto-generated"}
    if unsubscribe_url:
        headers |= {"List-Unsubscribe": f"<{unsubscribe_url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    address = settings.sender_address or parseaddr(shop.email_from)[1]
    return Envelope(
        to=to,
        sender=formataddr((settings.sender_name or settings.shop_name, address)),
        reply_to=settings.reply_to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        headers=headers,
    )


def page_words(language: str, shop_name: str) -> Mapping[str, str]:
    """The words of the page to unsubscribe, with its language as `language`."""
    said = {name: text.replace("{shop}", shop_name) for name, text in words(language).items()}
    return {**said, "language": spoken(language)}


def _day(value: Any, timezone: str) -> date:
    return datetime.fromisoformat(str(value)).astimezone(ZoneInfo(timezone)).date()


def content_of(subject: str, text: str, html: str) -> Content:
    """The source of a template as somebody wrote it, with line ends of one kind and no NUL."""
    parts = (each.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "") for each in (subject, text, html))
    return Content(*parts)
