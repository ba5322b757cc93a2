"""Keyed hashes of personal data, so that an encrypted column can be searched for equality.

HMAC-SHA256 under a key of the merchant: equal values of one merchant have equal hashes, and nothing can be learned
without the key, not even whether two merchants share a customer. Values are normalised first; the rules below are
part of what is stored and must never change without hashing everything anew.
"""

import hashlib
import hmac
import unicodedata
from uuid import UUID

from loyalnest.kit.crypto.envelope import binding

_DOMAIN = "loyalnest.lookup.v1"


def normalise_email(value: str) -> str:
    """`value` without surrounding space and without differences of case or of Unicode form (NFKC_Casefold,
    Unicode Standard D146, default ignorable code points kept).

    Dots and `+tags` stay: whether they matter is each provider's business, and merging two people is worse than
    missing one.
    """
    folded = unicodedata.normalize("NFD", value).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def normalise_phone(value: str) -> str:
    """The digits of `value`, in ASCII, with a leading `+` if it has one or begins with `00`.

    A national number stays national: the country is not known here. Empty if there is no digit.
    """
    text = unicodedata.normalize("NFKC", value).strip()
    digits = "".join(str(unicodedata.decimal(char)) for char in text if char.isdecimal())
    if text.startswith("+"):
        return f"+{digits}" if digits else ""
    return f"+{digits[2:]}" if digits.startswith("00") and len(digits) > 2 else digits


def lookup_hash(index_key: bytes, kind: str, value: str) -> bytes:
    """32 bytes by which `value` is found among values of the same `kind` ("email", "phone").

    `value` is taken as it is; `MerchantKeys.hash` normalises it first.
    """
    return hmac.new(index_key, binding(_DOMAIN, kind, value), hashlib.sha256).digest()


def pseudonym(index_key: bytes, request_id: UUID, customer_id: int) -> int:
    """The number that stands for a redacted customer from the request on: from −2^63 to −1, where Shopify has no ids.

    One request gives a customer the same number in every service. Without the key nobody can tell whose it is, and a
    later request gives the same customer another.
    """
    digest = lookup_hash(index_key, "pseudonym", f"{request_id}:{customer_id}")
    return -1 - (int.from_bytes(digest[:8], "big") >> 1)
