"""Text to plain values: YAML and JSON, read so that nothing is guessed and nothing grows.

Numbers with a point or an exponent become Decimal from their own digits, never a binary float. Duplicate keys,
aliases (and so alias bombs), tags and deep nesting are refused.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import yaml

from loyalnest.kit.program.problems import InvalidPrograms, Place, Problem, path_text

MOST_BYTES = 1024 * 1024
"""The largest file that is read."""

_DEEPEST = 50
_MOST_DUPLICATES = 100
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    # What YAML 1.1 takes for true and false, because kubectl does: `currency: NO` is false and must be refused.
    **{form: True for word in ("true", "yes", "on") for form in (word, word.title(), word.upper())},
    **{form: False for word in ("false", "no", "off") for form in (word, word.title(), word.upper())},
}
# Says nothing of the tag itself: it may be a secret that begins with an exclamation mark.
_TAGGED = "tags (!name) are not read here; put text that begins with ! in quotes"
_STRING_TAG = "tag:yaml.org,2002:str"


@dataclass(slots=True)
class Document:
    """One document of a file: its number and the line where its content starts, both from 1, and its plain value.

    `problems` are those that did not keep it from being read, such as duplicate keys.
    """

    number: int
    line: int
    value: object = None
    problems: list[Problem] = field(default_factory=list)


def parse_json(text: str | bytes) -> object:
    """The value of a JSON text. Raises InvalidPrograms (without a file) that says what is wrong and on which line."""
    document = _parse_json(text)
    if document.problems:
        raise InvalidPrograms(document.problems)
    return document.value


def read_json(text: str) -> Iterator[Document]:
    """The one document of a JSON file, or none if it is empty. Raises InvalidPrograms if it is not JSON."""
    if text.strip():
        yield _parse_json(text)


def _parse_json(text: str | bytes) -> Document:
    document = Document(number=1, line=1)

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key, value in pairs:
            if key in mapping:
                document.problems.append(Problem(path=path_text((key,)), reason="is written twice in one mapping"))
            mapping[key] = value
        return mapping

    def constant(name: str) -> object:
        raise InvalidPrograms([Problem(reason=f"is not valid JSON: {name} is not a number")])

    try:
        document.value = json.loads(text, parse_float=Decimal, parse_constant=constant, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        problem = Problem(line=error.lineno, reason=f"is not valid JSON: {error.msg}")
    except RecursionError:
        problem = Problem(reason="is nested too deeply")
    except (ValueError, ArithmeticError):
        # A number of thousands of digits, or bytes that are no text.
        problem = Problem(reason="is not valid JSON: it has a number that is too large, or is not UTF-8 text")
    else:
        return document
    raise InvalidPrograms([problem])


def read_yaml(text: str) -> Iterator[Document]:
    """The documents of a YAML file one after the other; empty ones are left out but numbered.

    Raises InvalidPrograms (without a file) at the first thing that makes the rest unreadable.
    """
    builder = _Builder()
    number = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            match event:
                case yaml.DocumentStartEvent():
                    number += 1
                    builder = _Builder()
                case yaml.DocumentEndEvent():
                    if builder.value is not None:
                        yield Document(number, builder.line, builder.value, builder.problems)
                case yaml.NodeEvent() | yaml.CollectionEndEvent():
                    builder.take(event)
                case _:
                    pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = Problem(line=mark.line + 1 if mark else None, reason=f"is not valid YAML: {error.problem}")
    except yaml.YAMLError:
        problem = Problem(reason="is not valid YAML: it has a character that YAML does not allow")
    except _RefusedError as error:
        problem = Problem(document=number, line=error.line, reason=error.reason)
    else:
        return
    raise InvalidPrograms([problem])


class _RefusedError(Exception):
    def __init__(self, event: yaml.Event, reason: str) -> None:
        super().__init__(reason)
        self.line = _line(event)
        self.reason = reason


class _Builder:
    """Builds one document's value from its events, with a stack of its own instead of recursion."""

    def __init__(self) -> None:
        self.value: object = None
        self.line = 0
        self.problems: list[Problem] = []
        self._open: list[dict[str, object] | list[object]] = []
        self._keys: list[str | None] = []

    def take(self, event: yaml.NodeEvent | yaml.CollectionEndEvent) -> None:
        """Add what `event` says."""
        self.line = self.line or _line(event)
        match event:
            case yaml.CollectionEndEvent():
                self._open.pop()
                self._keys.pop()
            case yaml.AliasEvent():
                raise _RefusedError(event, "aliases (*name) are not read here; write the value out")
            case yaml.ScalarEvent():
                if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
                    self._key(event)
                else:
                    self._add(event, _scalar(event))
            case yaml.CollectionStartEvent():
                if event.tag not in (None, "!"):
                    raise _RefusedError(event, _TAGGED)
                value: dict[str, object] | list[object] = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._add(event, value)
                self._open.append(value)
                self._keys.append(None)
                if len(self._open) > _DEEPEST:
                    raise _RefusedError(event, "is nested too deeply")

    def _key(self, event: yaml.ScalarEvent) -> None:
        mapping = self._open[-1]
        if event.value in mapping and len(self.problems) < _MOST_DUPLICATES:
            path = path_text((*self._place(), event.value))
            self.problems.append(Problem(path=path, reason=f"is written twice, again on line {_line(event)}"))
        self._keys[-1] = event.value

    def _add(self, event: yaml.NodeEvent, value: object) -> None:
        if not self._open:
            self.value = value
            return
        holder = self._open[-1]
        if isinstance(holder, list):
            holder.append(value)
            return
        key = self._keys[-1]
        if key is None:
            raise _RefusedError(event, "a key of a mapping must be text")
        holder[key] = value
        self._keys[-1] = None

    def _place(self) -> Place:
        """Where the innermost open collection stands."""
        place: list[int | str] = []
        for holder, child in zip(self._open, self._open[1:], strict=False):
            if isinstance(holder, list):
                place.append(len(holder) - 1)
            else:
                place.append(next(key for key, value in holder.items() if value is child))
        return tuple(place)


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 1


def _scalar(event: yaml.ScalarEvent) -> object:
    plain, quoted = event.implicit
    if not plain and not quoted and event.tag not in (_STRING_TAG, "!"):
        raise _RefusedError(event, _TAGGED)
    if not plain:
        return event.value
    return plain_value(event.value)


def plain_value(text: str) -> object:
    """What an unquoted `text` means: nothing, true or false, an int, a Decimal of its own digits, or text.

    Octal, hexadecimal, underscored and sexagesimal numbers and dates stay text.
    """
    if text in _WORDS:
        return _WORDS[text]
    match = _NUMBER.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        return text
    return int(text) if match[2] is None and match[3] is None else Decimal(text)
