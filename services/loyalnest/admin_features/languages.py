"""Languages: their tags, and how numbers, days and points are written in them (CLDR, by Babel)."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_decimal

from loyalnest.kit.errors import InvalidInput

FALLBACK = "en"
"""The language of whoever cannot be served better."""

_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?(?:[-_].*)?")


def tag_of(text: str) -> str:
    """A language tag in its usual form, such as `de` or `pt-BR`; what follows the region is left out. Empty for text
    that is none.
    """
    match = _TAG.fullmatch(text.strip())
    if match is None:
        return ""
    language, script, region = match.groups()
    parts = (language.lower(), (script or "").title(), (region or "").upper())
    return "-".join(part for part in parts if part)


def required_tag(text: str) -> str:
    """The language that `text` names. Raises InvalidInput."""
    tag = tag_of(text)
    if not tag or len(text) > 20:
        raise InvalidInput(f"{text[:20]!r} is no language: give a tag such as de or pt-BR.")
    return tag


def choices(locale: str, default: str) -> Sequence[str]:
    """The languages to look for, best first: the customer's with its region, without it, the merchant's, English."""
    wanted: dict[str, None] = {}
    for tag in (tag_of(locale), tag_of(default), FALLBACK):
        parts = tag.split("-") if tag else []
        for length in range(len(parts), 0, -1):
            wanted.setdefault("-".join(parts[:length]))
    return list(wanted)


@lru_cache(maxsize=256)
def _locale(tag: str) -> Locale:
    for each in choices(tag, FALLBACK):
        try:
            return Locale.parse(each, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    raise AssertionError("Babel knows English")


def number_text(value: int | str | Decimal, language: str) -> str:
    """A number with the separators of the language. Raises ValueError for text that is no number."""
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise ValueError(f"{value!r} is no number") from None
    return format_decimal(number, locale=_locale(language))


def day_text(value: date, language: str) -> str:
    """A day written out: `15 March 2026` in British English."""
    return format_date(value, format="long", locale=_locale(language))


def is_one(value: int, language: str) -> bool:
    """Whether the language says "1 point" and not "2 points" of `value`."""
    return _locale(language).plural_form(value) == "one"
