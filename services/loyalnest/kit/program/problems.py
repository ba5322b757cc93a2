"""What is wrong with a program, in words for the person who wrote it."""

import difflib
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from loyalnest.kit.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)
Place = tuple[int | str, ...]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN = 40
_REASONS = {
    "missing": "is required",
    "model_type": "must be a mapping, found {kind}",
    "dict_type": "must be a mapping, found {kind}",
    "tuple_type": "must be a list, found {kind}",
    "string_type": "must be text (put it in quotes), found {kind}",
    "string_unicode": "must be valid Unicode text",
    "int_type": "must be a whole number, found {found}",
    "bool_type": "must be true or false, found {found}",
    "greater_than_equal": "must be at least {ge}, found {found}",
    "less_than_equal": "must be at most {le}, found {found}",
    "too_short": "must have at least {min_length} of them, has {actual_length}",
    "too_long": "must have at most {max_length} entries, has {actual_length}",
    "enum": "must be {expected}, found {found}",
    "literal_error": "must be {expected}, found {found}",
}
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (types.NoneType, "nothing"),
    (bool, "true or false"),
    ((int, float, Decimal), "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
)
_WITHOUT_VALUE = ("missing", "too_short", "too_long", "string_unicode")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    file: where, as the caller named it. document: its number in the file, from 1. line: where it starts, from 1.
    path: the field, e.g. `spec.earning.rules[1].points`. What is not known or does not apply is None or empty.
    """

    reason: str
    file: Path | None = None
    document: int | None = None
    line: int | None = None
    path: str = ""

    def __str__(self) -> str:
        where = [f"document {self.document}"] if self.document else []
        where += [f"line {self.line}"] if self.line else []
        parts = [str(self.file) if self.file else "", ", ".join(where), self.path, self.reason]
        return ": ".join(_one_line(part) for part in parts if part)


class InvalidPrograms(InvalidInput):
    """Documents that cannot be taken. `detail` has one line for each of `problems`, which are all there are."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def validate(model: type[M], value: object) -> M:
    """`value` as a `model`. Raises InvalidPrograms with every wrong place and its reason."""
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [Problem(path=path, reason=reason) for path, reason in describe(error, model)]
    # Outside of the handler, so that the error with the input in it is not chained to this one.
    raise InvalidPrograms(problems)


def describe(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """Path and reason of each problem that validating a `model` found. Credentials' values are never in them."""
    described: list[tuple[str, str]] = []
    items = error.errors(include_url=False)
    for item in items:
        if item["type"] == "too_short" and any(item["loc"] == other["loc"][:-1][: len(item["loc"])] for other in items):
            # Pydantic does not count the entries that are wrong; those have problems of their own.
            continue
        place = tuple(part for part in item["loc"] if part != "[key]")
        value = item["input"]
        kind = item["type"]
        if kind == "loyalnest":
            reason = item["msg"] + _found_if_short(value)
        elif kind == "extra_forbidden":
            reason = f"is not a known field{suggestion(str(place[-1]), names_at(model, place[:-1]))}"
        else:
            words = _REASONS.get(kind, item["msg"].replace("{", "{{").replace("}", "}}"))
            reason = words.format(kind=kind_of(value), found=shown(value), **item.get("ctx", {}))
        if "credentialsSecret" in place and kind not in {"extra_forbidden", *_WITHOUT_VALUE}:
            # Somebody may have written the secret itself where only its name belongs.
            reason = re.sub(r", found .*", "", reason, flags=re.DOTALL)
        described.append((path_text(place), reason))
    return described


def names_at(model: type[BaseModel], place: Place) -> list[str]:
    """Names that documents may use for the fields of whatever stands at `place` below `model`."""
    found: Any = model
    for part in place:
        if isinstance(found, type) and issubclass(found, BaseModel):
            fields = {field.alias or name: field for name, field in found.model_fields.items()}
            if part not in fields:
                return []
            found = _shape(fields[str(part)].annotation)
        else:
            found = _shape(typing.get_args(found)[-1 if isinstance(part, str) else 0])
    if isinstance(found, type) and issubclass(found, BaseModel):
        return [field.alias or name for name, field in found.model_fields.items()]
    return []


def _shape(annotation: Any) -> Any:
    """`annotation` without `| None` and `Annotated`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _shape(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return _shape(next(part for part in typing.get_args(annotation) if part is not types.NoneType))
    return annotation


def suggestion(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown `name`: the known one that is nearest, or nothing."""
    lower = {candidate.lower(): candidate for candidate in known}
    # approval_days and approval-days are what people write for approvalDays.
    near = difflib.get_close_matches(name.lower().replace("_", "").replace("-", ""), list(lower), n=1, cutoff=0.7)
    return f"; did you mean {lower[near[0]]}?" if near else ""


def path_text(place: Place) -> str:
    """`place` as people write it: `spec.earning.rules[1].points`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) <= _SHOWN and _PLAIN_NAME.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text


def kind_of(value: object) -> str:
    """What `value` is, in the words of a document's author."""
    return next((words for kinds, words in _KINDS if isinstance(value, kinds)), "something else")


def shown(value: object) -> str:
    """`value` itself where it is short and plain, else what it is."""
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) >= 10**_SHOWN:
            return kind_of(value)
        case int() | Decimal():
            text = str(value)
            return text if len(text) <= _SHOWN else kind_of(value)
        case str():
            return ascii(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
        case _:
            return kind_of(value)


def _found_if_short(value: object) -> str:
    return f", found {shown(value)}" if isinstance(value, str | int | Decimal) else ""


def _one_line(text: str) -> str:
    """`text` with whatever could break the line or the terminal written as an escape."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
