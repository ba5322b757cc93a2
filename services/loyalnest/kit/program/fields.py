"""The building blocks of the program's model: its base class and its kinds of text and number.

Every kind checks at run time with words for people and says the same in JSON Schema, so that the CRD which is
generated from the model refuses what this refuses.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from loyalnest.kit.program.cel import Rule, matches, with_rules

INT_OR_STRING: JsonSchemaValue = {"x-kubernetes-int-or-string": True}
"""How Kubernetes writes a field that may be a whole number or text."""

_PLAIN_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")
_NUMERIC = r"string(self).matches(r'^-?[0-9]+(\.[0-9]+)?$')"


class Model(BaseModel):
    """Base of everything in a program: immutable, camelCase in documents, no unknown fields.

    Documents are validated with `by_alias=True, by_name=False`: the Python names are for Python only.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    api_rules: ClassVar[tuple[Rule, ...]] = ()
    """What the API server checks; each class states its own, and has those of its bases too."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        rules = [rule for base in reversed(cls.__mro__) for rule in vars(base).get("api_rules", ())]
        resolved = handler.resolve_ref_schema(found)
        resolved.update(with_rules(resolved, rules))
        return found


def wrong(words: str) -> PydanticCustomError:
    """An error whose message is `words`, as they are."""
    return PydanticCustomError("loyalnest", "{words}", {"words": words})


def refuse(title: str, problems: list[tuple[tuple[int | str, ...], str]]) -> None:
    """Raise a ValidationError for `problems`, if any: each is a place below the model that checks, and its reason."""
    if problems:
        details = [InitErrorDetails(type=wrong(words), loc=place, input=None) for place, words in problems]
        raise ValidationError.from_exception_data(title, details, hide_input=True)


def repeated(field: str, names: list[str]) -> list[tuple[tuple[int | str, ...], str]]:
    """A problem for each name of `names` that stands earlier in the list already."""
    first: dict[str, int] = {}
    problems: list[tuple[tuple[int | str, ...], str]] = []
    for index, name in enumerate(names):
        if name in first:
            problems.append(((field, index, "name"), f"must be unique, and {field}[{first[name]}] has the same name"))
        first.setdefault(name, index)
    return problems


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text that matches `pattern` as a whole, of at most `most` characters; `words` finish the sentence "must be …"."""

    pattern: str
    words: str
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = {**handler(schema), "pattern": self.pattern, "maxLength": self.most}
        return with_rules(found, [self.rule("self")])

    def rule(self, value: str) -> Rule:
        """The same of `value`, an expression, at the API server."""
        return matches(value, self.pattern, self.words)

    def check(self, text: str) -> str:
        """`text` itself, or an error with the words."""
        if len(text) > self.most:
            raise wrong(f"must be at most {self.most} characters long, has {len(text)}")
        if re.fullmatch(self.pattern, text) is None:
            raise wrong(f"must be {self.words}")
        return text


@dataclass(frozen=True, slots=True)
class Exact:
    """A decimal that never was a binary float: more than 0 (or at least 0), up to `most`, at most `places` decimals.

    It is read from text such as "1.5", from a whole number, and from a Decimal, which is what an unquoted 1.5 in a
    document becomes. It is written as text in its shortest form: "1.50" is "1.5".
    """

    most: int
    places: int
    zero: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.check,
            serialization=core_schema.plain_serializer_function_ser_schema(
                decimal_text, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        pattern = rf"^[0-9]+(\.[0-9]{{1,{self.places}}})?$"
        rules = [
            matches("string(self)", pattern, f'a decimal number such as "1.5", with at most {self.places} decimals'),
            # A text that is no number at all is refused by the rule above, and must not fail here.
            Rule(f"!{_NUMERIC} || double(self) >{'=' if self.zero else ''} 0.0", self._too_small),
            Rule(f"!{_NUMERIC} || double(self) <= {self.most}.0", self._too_large),
        ]
        return with_rules({**INT_OR_STRING, "pattern": pattern, "maxLength": 40}, rules)

    @property
    def _too_small(self) -> str:
        return "must be at least 0" if self.zero else "must be more than 0"

    @property
    def _too_large(self) -> str:
        return f"must be at most {self.most}"

    def check(self, value: object) -> Decimal:
        """The decimal in its shortest form, or an error that says what is allowed."""
        number = self._parse(value)
        if number is None:
            raise wrong(f'must be a decimal number in quotes, such as "1.5", with at most {self.places} decimals')
        if number < 0 or (number == 0 and not self.zero):
            raise wrong(self._too_small)
        if number > self.most:
            raise wrong(self._too_large)
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > self.places:
            raise wrong(f"must have at most {self.places} decimals")
        return Decimal(decimal_text(abs(number)))

    def _parse(self, value: object) -> Decimal | None:
        if isinstance(value, str):
            return Decimal(value) if len(value) <= 40 and _PLAIN_DECIMAL.fullmatch(value) else None
        if isinstance(value, Decimal):
            # More than 40 digits, or an exponent that far away, is nobody's rate or price.
            small = value.is_finite() and len(value.as_tuple().digits) <= 40 and abs(value.adjusted()) <= 40
            return value if small else None
        if isinstance(value, int) and not isinstance(value, bool):
            return Decimal(value) if abs(value) < 10**40 else None
        return None


def decimal_text(number: Decimal) -> str:
    """`number` without exponent and without zeros at the end, e.g. "1.5" for 1.50 and "10" for 1E+1."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Quantity:
    """A Kubernetes quantity such as 250m or 512Mi; a whole number is read as text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.check,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = {**INT_OR_STRING, "pattern": self.pattern, "maxLength": 20}
        return with_rules(found, [matches("string(self)", self.pattern, self.words)])

    pattern: ClassVar[str] = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
    words: ClassVar[str] = "a quantity such as 250m or 512Mi"

    def check(self, value: object) -> str:
        """The quantity as text, or an error with an example."""
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if len(text) > 20 or re.fullmatch(self.pattern, text) is None:
            raise wrong(f"must be {self.words}")
        return text


Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Points = Annotated[int, Strict(), Field(ge=1, le=10**9)]
PointsOrNone = Annotated[int, Strict(), Field(ge=0, le=10**9)]
Label = Annotated[
    str,
    Strict(),
    Pattern(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "small letters a-z, digits and hyphens, with a letter or digit at both ends",
        63,
    ),
]
Title = Annotated[
    str,
    Strict(),
    Pattern(r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$", "text without spaces at its ends", 50),
]
Hostname = Annotated[
    str,
    Strict(),
    Pattern(
        r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$",
        "a host name in small letters, such as loyalty.example.com",
        253,
    ),
]
