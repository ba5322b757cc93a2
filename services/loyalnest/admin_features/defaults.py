"""The templates and words that come with LoyalNest, in five languages. Files are read when they are first needed.

A default template is a subject, a heading and paragraphs; its text and its HTML are both made of these, so that they
say the same. A merchant who begins with it sees, and may change, the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from loyalnest.admin_features.kinds import Channel, Kind
from loyalnest.admin_features.languages import choices

LANGUAGES = ("en", "de", "fr", "es", "ja")


@dataclass(frozen=True, slots=True)
class Content:
    """The source of a template, in Jinja. An SMS has a `text` only."""

    subject: str = ""
    text: str = ""
    html: str = ""


@cache
def layout() -> str:
    """The source of `layout.html`, which a template's HTML may extend."""
    return (files("loyalnest.admin_features") / "defaults" / "layout.html").read_text(encoding="utf-8")


@cache
def _language(language: str) -> Mapping[str, Any]:
    source = (files("loyalnest.admin_features") / "defaults" / f"{language}.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(source)
    return found


def spoken(language: str, default: str = "") -> str:
    """The best of our own languages for somebody who speaks `language`, in a shop that speaks `default`."""
    return next(each for each in choices(language, default) if each in LANGUAGES)


def words(language: str) -> Mapping[str, str]:
    """The words of footers, units and pages; `{shop}` stands for the shop's name."""
    found: Mapping[str, str] = _language(spoken(language))["words"]
    return found


def default_content(kind: Kind, channel: Channel, language: str) -> Content | None:
    """The template that comes with LoyalNest; None if there is none in that very language."""
    if language not in LANGUAGES:
        return None
    found = _language(language)[kind.value]
    if channel is Channel.SMS:
        return Content(text=found["sms"])
    link = "link" if kind is Kind.REFERRAL_INVITATION else "shop_url"
    return Content(subject=found["subject"], text=_text(found, link), html=_html(found, link))


def _text(found: Mapping[str, Any], link: str) -> str:
    blocks = [found["heading"], *([found["highlight"]] if "highlight" in found else [])]
    blocks += [_either("{text}", each) for each in found["paragraphs"]]
    blocks.append(f"{found['button']}: {{{{ {link} }}}}")
    blocks.append("--\n{{ words.why }}\n{{ words.unsubscribe }}: {{ unsubscribe_url }}")
    return "\n\n".join(blocks)


def _html(found: Mapping[str, Any], link: str) -> str:
    lines: Sequence[str] = [
        '{% extends "layout.html" %}',
        "{% block content %}",
        f"<h1>{found['heading']}</h1>",
        *([f'<p class="highlight">{found["highlight"]}</p>'] if "highlight" in found else []),
        *(_either("<p>{text}</p>", each) for each in found["paragraphs"]),
        f'<p><a class="button" href="{{{{ {link} }}}}">{found["button"]}</a></p>',
        "{% endblock %}",
    ]
    return "\n".join(lines)


def _either(form: str, paragraph: str | Mapping[str, str]) -> str:
    """A paragraph in `form`, under its condition if it has one."""
    if isinstance(paragraph, str):
        return form.replace("{text}", paragraph)
    condition = paragraph["if"] if "if" in paragraph else f"not {paragraph['unless']}"
    return f"{{% if {condition} %}}{form.replace('{text}', paragraph['text'])}{{% endif %}}"
