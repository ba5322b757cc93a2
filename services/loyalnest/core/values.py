"""What a value that people give must be: in calls and in the rows of a file. No words here repeat a value."""

import re
import unicodedata
from collections.abc import Mapping

from loyalnest.kit.crypto.lookup import normalise_email, normalise_phone
from loyalnest.kit.errors import InvalidInput

MAX_EMAIL = 320
MAX_PHONE = 64
MAX_NAME = 255
MAX_ID = 2**63 - 1

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_YES = frozenset({"true", "yes", "1"})
_NO = frozenset({"false", "no", "0"})


def wrong_with(name: str, text: str) -> str:
    """What is wrong with the `text` of a personal field, to follow "must"; empty if nothing is."""
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in text):
        return "be one line of text without control characters"
    match name:
        case "email":
            if len(text) > MAX_EMAIL or not _EMAIL.fullmatch(text) or not normalise_email(text):
                return f"be an e-mail address of at most {MAX_EMAIL} characters"
        case "phone":
            if len(text) > MAX_PHONE or not normalise_phone(text):
                return f"be a phone number of at most {MAX_PHONE} characters"
        case _:
            if len(text) > MAX_NAME:
                return f"have at most {MAX_NAME} characters"
    return ""


def checked_personal(personal: Mapping[str, str]) -> dict[str, str]:
    """`personal` without outer spaces; empty text is allowed. Raises InvalidInput naming every field that is wrong."""
    told = {name: text.strip() for name, text in personal.items()}
    problems = [f"{name} must {words}" for name, text in told.items() if text and (words := wrong_with(name, text))]
    if problems:
        raise InvalidInput("; ".join(problems) + ".")
    return told


def id_of(text: str) -> int | None:
    """The customer id that `text` is, or None."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    return number if 1 <= (number := int(text)) <= MAX_ID else None


def yes_or_no(text: str) -> bool | None:
    """What `text` says, or None if it says neither."""
    word = text.casefold()
    return True if word in _YES else False if word in _NO else None
