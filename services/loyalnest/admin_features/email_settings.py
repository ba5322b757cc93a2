"""What a merchant decides about messages: which are sent, from whom, in which language, how many a day."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from email_validator import EmailNotValidError, validate_email

from loyalnest.admin_features.kinds import Kind
from loyalnest.admin_features.languages import tag_of
from loyalnest.kit.errors import InvalidInput

MOST_NAME: Final = 78
MOST_A_DAY: Final = 50
MOST_POINTS: Final = 1_000_000
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class EmailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a merchant's e-mail settings.

    shop_name, shop_url: what messages say. sender_name: as a rule the shop's name. sender_address: an address that
    the provider may send for; empty for the platform's own. reply_to: empty for the sender.
    default_language: for customers whose language is not known or has no template.
    minimum_points: an order that earned fewer is not worth a mail. daily_cap: mails a customer gets in 24 hours.
    disabled: kinds that are not sent. All others are.
    """

    shop_name: str
    shop_url: str
    sender_name: str = ""
    sender_address: str = ""
    reply_to: str = ""
    default_language: str = "en"
    accent_color: str = "#1f2937"
    minimum_points: int = 10
    daily_cap: int = 3
    disabled: tuple[str, ...] = ()

    def sends(self, kind: Kind) -> bool:
        """Whether messages of a kind are wanted at all."""
        return kind.value not in self.disabled


def first_settings(shop_domain: str) -> EmailSettings:
    """What a merchant begins with: `acme-tea.myshopify.com` calls itself Acme Tea until somebody says better."""
    return EmailSettings(
        shop_name=shop_domain.partition(".")[0].replace("-", " ").title()[:MOST_NAME], shop_url=f"https://{shop_domain}"
    )


def checked(settings: EmailSettings) -> EmailSettings:
    """`settings` in their usual form. Raises InvalidInput with everything that is wrong."""
    problems = {
        "shop_name": _wrong_name(settings.shop_name) or ("" if settings.shop_name else "must not be empty"),
        "shop_url": _wrong_url(settings.shop_url),
        "sender_name": _wrong_name(settings.sender_name),
        "sender_address": _wrong_address(settings.sender_address),
        "reply_to": _wrong_address(settings.reply_to),
        "default_language": "" if tag_of(settings.default_language) else "must be a language tag such as de",
        "accent_color": "" if _COLOR.fullmatch(settings.accent_color) else "must be a color such as #1f2937",
        "minimum_points": _outside(settings.minimum_points, 1, MOST_POINTS),
        "daily_cap": _outside(settings.daily_cap, 1, MOST_A_DAY),
        "disabled": _unknown(settings.disabled),
    }
    wrong = [f"{name} {words}" for name, words in problems.items() if words]
    if wrong:
        raise InvalidInput(f"The e-mail settings are not right: {'; '.join(wrong)}.")
    return msgspec.structs.replace(
        settings,
        default_language=tag_of(settings.default_language),
        disabled=tuple(sorted(set(settings.disabled))),
    )


def differences(before: EmailSettings, after: EmailSettings) -> tuple[dict[str, str], dict[str, str]]:
    """What changed, for the audit log: the old values and the new ones, by field."""
    old, new = _texts(before), _texts(after)
    changed = [name for name, value in new.items() if old[name] != value]
    return {name: old[name] for name in changed}, {name: new[name] for name in changed}


def _texts(settings: EmailSettings) -> Mapping[str, str]:
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in values.items()}


def _wrong_name(text: str) -> str:
    """What is wrong with a name that stands in headers."""
    if len(text) > MOST_NAME:
        return f"has at most {MOST_NAME} characters"
    return "" if text.isprintable() and text == text.strip() else "must be one line of text without outer spaces"


def _wrong_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme == "https" and parts.hostname and not parts.username and text.isprintable()
    except ValueError:
        good = False
    if not good or len(text) > 500 or re.search(r"[\s\"'<>]", text):
        return "must be an https address such as https://acme.example"
    return ""


def _wrong_address(text: str) -> str:
    if not text:
        return ""
    try:
        validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return "must be an e-mail address or empty"
    return ""


def _outside(value: int, least: int, most: int) -> str:
    return "" if least <= value <= most else f"must be between {least} and {most}"


def _unknown(kinds: tuple[str, ...]) -> str:
    unknown = sorted(set(kinds) - set(Kind))
    return f"has kinds that there are not: {', '.join(each[:40] for each in unknown[:5])}" if unknown else ""
