"""What an order says about how it came to be: the referral code, the discount codes, the language of the checkout.

Read leniently and bounded: none of it decides whether a delivery is taken.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Raw

from loyalnest.kit.shopify.lenient import NOTHING, list_of, text_of

REFERRAL_ATTRIBUTE: Final = "loyalnest_referral"
"""The cart attribute that the storefront widget sets."""
REFERRAL_PARAMETER: Final = "ref"
"""The parameter of a referral link."""

MAX_ATTRIBUTES: Final = 100
MAX_DISCOUNT_CODES: Final = 20
MAX_DISCOUNT_CODE: Final = 255
"""Shopify's own limit; a longer one is none of its codes and is left out."""
MAX_LANDING_SITE: Final = 2048
MAX_PARAMETERS: Final = 100

# A code, and the channel it came by; what merely resembles one is found out by referrals, which knows the codes.
_REFERRAL = re.compile(r"[A-Za-z0-9]{1,32}(?::[A-Za-z]{1,16})?")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")


class Attribute(msgspec.Struct, gc=False):
    name: Raw = NOTHING
    value: Raw = NOTHING


class DiscountCode(msgspec.Struct, gc=False):
    code: Raw = NOTHING


_attribute_decoder = msgspec.json.Decoder(Attribute | None)
_discount_decoder = msgspec.json.Decoder(DiscountCode | None)


def referral_code(note_attributes: Raw, landing_site: Raw) -> str:
    """`CODE`, or `CODE:channel`, of the cart attribute, else of the landing page's address; empty for neither.

    A cart attribute that is no code counts as not there.
    """
    for raw in list_of(note_attributes, MAX_ATTRIBUTES):
        try:
            attribute = _attribute_decoder.decode(raw)
        except msgspec.DecodeError:
            continue
        if attribute is not None and text_of(attribute.name) == REFERRAL_ATTRIBUTE:
            if found := _referral(text_of(attribute.value)):
                return found
            break
    return next(filter(None, map(_referral, _parameters(text_of(landing_site)))), "")


def discount_codes(raw: Raw) -> list[str]:
    """The discount codes that were used, each once, as they were typed."""
    codes: dict[str, None] = {}
    for each in list_of(raw, MAX_DISCOUNT_CODES):
        try:
            discount = _discount_decoder.decode(each)
        except msgspec.DecodeError:
            continue
        code = text_of(discount.code) if discount is not None else ""
        if 0 < len(code) <= MAX_DISCOUNT_CODE:
            codes[code] = None
    return list(codes)


def locale_of(raw: Raw) -> str:
    """A language tag such as `de-DE`; empty if there is none."""
    text = text_of(raw)
    return text.replace("_", "-") if _LOCALE.fullmatch(text) else ""


def _referral(text: str) -> str:
    return text if _REFERRAL.fullmatch(text) else ""


def _parameters(landing_site: str) -> Iterable[str]:
    """The values of `REFERRAL_PARAMETER` in an address, which Shopify gives as a path with its query."""
    if not 0 < len(landing_site) <= MAX_LANDING_SITE:
        return []
    try:
        pairs = parse_qsl(urlsplit(landing_site).query, max_num_fields=MAX_PARAMETERS)
    except ValueError:  # brackets that enclose no address, or too many parameters
        return []
    return [value.strip() for name, value in pairs if name == REFERRAL_PARAMETER]
