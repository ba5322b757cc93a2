"""Templates: checked as they are saved, rendered as they are sent."""

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from typing import Any, Final

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from loyalnest.admin_features import template_rules
from loyalnest.admin_features.defaults import Content, layout, words
from loyalnest.admin_features.kinds import Channel, Kind, variables_of
from loyalnest.admin_features.languages import FALLBACK, day_text, is_one, number_text
from loyalnest.kit.errors import InvalidInput

MOST_SOURCE: Final = {"subject": 300, "text": 20_000, "html": 60_000}
"""Characters of a template's parts."""
MOST_OUTPUT: Final = 100_000
"""Characters that a part may come to: above 102 kB, Gmail cuts a mail short and hides its footer."""
MOST_SUBJECT: Final = 200
CACHED: Final = 256
"""Compiled parts that a process keeps, over all merchants."""

_EMPTY_LINES = re.compile(r"\n\s*\n\s*\n")
"""A condition that does not hold leaves one more than there should be."""


class TemplateFault(Exception):
    """A template cannot be rendered with what it was given. The text names the part, and the line if it is known."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's parts. An SMS has a `text` only."""

    subject: str
    text: str
    html: str


class _Sandbox(ImmutableSandboxedEnvironment):
    """Attributes of nothing but `loop` and mappings, whatever the rules of templates missed."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return isinstance(obj, LoopContext) and attr in template_rules.LOOP

    def wrap_str_format(self, value: Any) -> None:
        """Do not even give out `str.format`, which Jinja would guard."""

    def is_safe_callable(self, obj: Any) -> bool:
        return type(obj).__name__ == "BlockReference"  # super()


@cache
def _environment(autoescape: bool) -> _Sandbox:
    environment = _Sandbox(
        autoescape=autoescape,
        undefined=StrictUndefined,
        loader=DictLoader({template_rules.LAYOUT: layout()}),
        keep_trailing_newline=False,
        cache_size=4,
    )
    environment.filters = {
        name: each for name, each in environment.filters.items() if name in template_rules.FILTERS
    } | {"number": _number, "date": _date, "as_points": _as_points}
    environment.tests = {name: each for name, each in environment.tests.items() if name in template_rules.TESTS}
    environment.globals = {}
    return environment


@lru_cache(maxsize=CACHED)
def _compiled(source: str, autoescape: bool) -> Template:
    return _environment(autoescape).from_string(source)


def _language(context: Context) -> str:
    return str(context.get("language", FALLBACK))


@pass_context
def _number(context: Context, value: Any) -> str:
    return number_text(value if isinstance(value, int) else str(value), _language(context))


@pass_context
def _date(context: Context, value: Any) -> str:
    if not isinstance(value, date):
        raise TypeError("the filter date is for days")
    return day_text(value, _language(context))


@pass_context
def _as_points(context: Context, value: Any) -> str:
    language = _language(context)
    unit = words(language)["points_one" if is_one(int(value), language) else "points_other"]
    return unit.replace("{}", number_text(int(value), language))


def checked(content: Content, kind: Kind, channel: Channel, samples: list[Mapping[str, Any]]) -> None:
    """Refuse a template that could not be sent: too long, not allowed, or failing with a sample.

    Raises InvalidInput with everything that is wrong, by part and line.
    """
    found = list(_wrong_parts(content, channel))
    names = variables_of(kind)
    if not found:
        for part in MOST_SOURCE:
            found += [f"{part} {each}" for each in _problems(getattr(content, part), names)]
    for sample in [] if found else samples:
        try:
            rendered = render(content, sample)
        except TemplateFault as fault:
            found.append(str(fault))
            break
        found += _missing(rendered, channel, str(sample["unsubscribe_url"]))
        if found:
            break
    if found:
        raise InvalidInput(f"The template is not right: {'; '.join(dict.fromkeys(found))}.")


def _wrong_parts(content: Content, channel: Channel) -> list[str]:
    wanted = ("text",) if channel is Channel.SMS else tuple(MOST_SOURCE)
    found = []
    for part, most in MOST_SOURCE.items():
        source = getattr(content, part)
        if part in wanted and not source.strip():
            found.append(f"{part} is missing")
        elif part not in wanted and source:
            found.append(f"{part} is not for {channel}")
        elif len(source) > most:
            found.append(f"{part} has at most {most} characters")
    return found


def _problems(source: str, names: Mapping[str, str]) -> list[str]:
    """What is wrong with the source of one part."""
    environment = _environment(False)
    try:
        tree = environment.parse(source)
        return template_rules.problems(tree, (*names, "words"), words(FALLBACK))
    except TemplateSyntaxError as error:
        return [f"line {error.lineno}: {error.message}"]
    except (RecursionError, ValueError) as error:  # a wall of parentheses; a number of 5,000 digits
        return [f"cannot be understood: {type(error).__name__}"]


def _missing(rendered: Rendered, channel: Channel, unsubscribe_url: str) -> list[str]:
    if channel is Channel.SMS:
        return []
    found = [] if rendered.subject else ["subject comes out empty"]
    for part, text in (("text", rendered.text), ("html", rendered.html.replace("&amp;", "&"))):
        if unsubscribe_url not in text:
            found.append(f"{part} must show {{{{ unsubscribe_url }}}}")
    return found


def render(content: Content, values: Mapping[str, Any]) -> Rendered:
    """The message. `values` has everything that templates of its kind may name. Raises TemplateFault."""
    subject = " ".join(_part("subject", content.subject, values).split())
    return Rendered(
        subject=subject if len(subject) <= MOST_SUBJECT else f"{subject[: MOST_SUBJECT - 1]}…",
        text=_EMPTY_LINES.sub("\n\n", _part("text", content.text, values)).strip(),
        html=_part("html", content.html, values).strip(),
    )


def _part(part: str, source: str, values: Mapping[str, Any]) -> str:
    if not source:
        return ""
    pieces: list[str] = []
    size = 0
    try:
        for piece in _compiled(source, part == "html").generate(values):
            size += len(piece)
            if size > MOST_OUTPUT:
                raise TemplateFault(f"{part} comes out longer than {MOST_OUTPUT} characters")
            pieces.append(piece)
    except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError, MemoryError, SyntaxError) as error:
        raise TemplateFault(f"{part} {_line(error)}{_words(error)}") from error
    return "".join(pieces)


def _line(error: BaseException) -> str:
    """The template's line that failed: Jinja puts it into the traceback."""
    lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == "<template>"]
    return f"line {lines[-1]}: " if lines else "fails: "


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, TemplateError | TypeError | ValueError) else type(error).__name__
