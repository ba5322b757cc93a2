"""Every template that comes with LoyalNest, in every language, with every sample."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from loyalnest.admin_features.composing import Shop, sample_values, values_for
from loyalnest.admin_features.defaults import LANGUAGES, default_content, spoken, words
from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.kinds import KINDS, Channel, Kind
from loyalnest.admin_features.templating import checked, render

SHOP = Shop(EmailSettings(shop_name='Tom & "Jo"', shop_url="https://tomjo.example"), "UTC", 50, "a@b.example")
ALL = [
    (kind, channel, language) for kind, about in KINDS.items() for channel in about.channels for language in LANGUAGES
]
VOID = {"meta", "br", "img", "hr"}


class Balance(HTMLParser):
    """Fails where elements are not closed in their order; collects links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(("kind", "channel", "language"), ALL)
def test_it_can_be_saved_and_sent(kind: Kind, channel: Channel, language: str) -> None:
    content = default_content(kind, channel, language)
    assert content is not None
    samples = sample_values(kind, SHOP, language)
    checked(content, kind, channel, samples)
    for values in samples:
        made = render(content, values)
        for text in (made.subject, made.text, made.html):
            assert "{{" not in text
            assert "{%" not in text
            assert "None" not in text
        assert not re.search(r"\n\s*\n\s*\n| ,|\{\}| {2}", made.text), made.text
        assert "\n" not in made.subject
        if channel is Channel.EMAIL:
            page = Balance()
            page.feed(made.html)
            assert page.open == []
            assert values["unsubscribe_url"] in page.links
            assert values.get("link", values["shop_url"]) in page.links
            assert f'<html lang="{language}">' in made.html
            assert "<b>" not in made.html


@pytest.mark.parametrize(("kind", "channel", "language"), ALL)
def test_it_says_the_numbers_days_and_names(kind: Kind, channel: Channel, language: str) -> None:
    content = default_content(kind, channel, language)
    assert content is not None
    known: dict[Kind, dict[str, Any]] = {
        Kind.POINTS_EARNED: {"points": 54321, "pending": True, "available_at": "2026-04-09T12:00:00+00:00"},
        Kind.POINTS_EXPIRING: {"points": 54321, "expires_at": "2026-04-09T12:00:00+00:00"},
        Kind.REWARD_REDEEMED: {"points": 54321, "reward": "Mugxyz"},
        Kind.TIER_CHANGED: {"tier": "Goldxyz", "previous_tier": "Silverxyz", "multiplier": "2.25"},
        Kind.REFERRAL_COMPLETED: {"points": 54321},
        Kind.REFERRAL_INVITATION: {"points": 54321, "link": "https://x.example/?ref=A"},
        Kind.BADGE_AWARDED: {"badge": "Bestxyz"},
    }
    facts = known.get(kind, {})
    made = render(content, values_for(kind, facts, SHOP, language, "Zoëxyz", "https://u.example/t"))
    texts = ("tier", "previous_tier", "badge", "reward", "link")
    wanted = [str(value) for name, value in facts.items() if name in texts]
    wanted += ["Zoëxyz"]
    if "points" in facts:
        wanted.append(re.sub(r"(\d{2})(\d{3})", r"\1.\2", "54321"))  # with any separator
    if "available_at" in facts or "expires_at" in facts:
        wanted += ["2026", "9"]
    for part in (made.text, made.html) if channel is Channel.EMAIL else (made.text,):
        for each in wanted:
            assert re.search(each.replace("?", r"\?"), part), (each, part)


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_the_same_set_and_name_the_shop(language: str) -> None:
    said = words(language)
    assert said.keys() == words("en").keys()
    assert all("{}" in said[name] for name in ("points_one", "points_other"))
    assert all("{shop}" in said[name] for name in ("why", "why_invited", "page_title", "page_ask", "page_done"))


@pytest.mark.parametrize(
    ("language", "default", "found"),
    [
        ("de-AT", "", "de"),
        ("DE_de", "", "de"),
        ("pt-BR", "fr", "fr"),
        ("pt", "it", "en"),
        ("zh-Hans-CN", "", "en"),
        ("", "ja-JP", "ja"),
        ("<script>", "es", "es"),
    ],
)
def test_the_best_of_our_languages(language: str, default: str, found: str) -> None:
    assert spoken(language, default) == found


def test_one_point_is_no_points() -> None:
    for language, one, many in (("en", "1 point", "2 points"), ("de", "1 Punkt", "2 Punkte"), ("fr", "0 point", "")):
        content = default_content(Kind.POINTS_EARNED, Channel.EMAIL, language)
        assert content is not None
        for text in filter(None, (one, many)):
            facts = {"points": int(text.split()[0]), "pending": False, "available_at": "2026-01-01T00:00:00+00:00"}
            made = render(content, values_for(Kind.POINTS_EARNED, facts, SHOP, language, "", "https://u.example"))
            assert re.search(rf"\b{text}\b", made.text)
