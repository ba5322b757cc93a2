"""Reads a body of Shopify's: and says in words what is wrong with it.

No detail of an error repeats a value of the body: it names the field and what was expected of it.
"""

import re
from typing import Final, TypeVar

import msgspec

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.shopify.values import MAX_ID

T = TypeVar("T")


def read(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """`body` decoded, with msgspec's errors turned into ours. Causes are cut off: they may quote the body."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(_in_words(str(error))) from None
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise InvalidInput(f"The body is not valid JSON: {reason[:1].lower()}{reason[1:]}") from None


_LOCATED = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_NAMES: Final[dict[str, str]] = {
    "int": "a whole number",
    "float": "a number with a fraction",
    "decimal": "an amount",
    "str": "text",
    "bool": "true or false",
    "datetime": "a time",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _in_words(message: str) -> str:
    """msgspec's "Expected `array`, got `null` - at `$.line_items`" as "line_items: expected a list, got null"."""
    located = _LOCATED.fullmatch(message)
    reason, path = (located["reason"], located["path"] or "") if located else (message, "")
    if missing := _MISSING.fullmatch(reason):
        return f"{path}.{missing['field']}".lstrip(".") + ": is missing"
    if "matching regex" in reason:  # only ids have a pattern
        reason = f"expected a whole number from 1 to {MAX_ID}"
    elif "out of range" in reason:
        reason = "expected a smaller number"
    elif reason.startswith("Invalid decimal"):
        reason = "expected an amount"
    elif reason.startswith("Invalid RFC3339"):
        reason = "expected a time such as 2026-01-31T12:00:00Z"
    return f"{path or 'body'}: {reason[:1].lower()}{_TYPES.sub(_named, reason[1:])}"


_TYPES = re.compile(r"`([^`]*)`")


def _named(types: re.Match[str]) -> str:
    return " or ".join(_NAMES.get(name, name) for name in types[1].split(" | "))
