"""What merchants may write in templates, and what they may not: attacks on the sandbox, bombs, and honest mistakes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import SecurityError

from loyalnest.admin_features import templating
from loyalnest.admin_features.composing import Shop, sample_values
from loyalnest.admin_features.defaults import Content
from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.kinds import Channel, Kind
from loyalnest.admin_features.templating import TemplateFault, checked, render
from loyalnest.kit.errors import InvalidInput

SHOP = Shop(EmailSettings(shop_name="Acme", shop_url="https://acme.example"), "UTC", 0, "a@b.example")
SAMPLES = sample_values(Kind.POINTS_EARNED, SHOP, "en")
FOOT = "{{ unsubscribe_url }}"


def save(text: str = FOOT, html: str = FOOT, subject: str = "s") -> Content:
    content = Content(subject, text, html)
    checked(content, Kind.POINTS_EARNED, Channel.EMAIL, SAMPLES)
    return content


ESCAPES = [
    # https://jinja.palletsprojects.com/en/stable/sandbox/ and its security advisories
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ config }}",
    "{{ request.application.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ joiner.__init__ }}",
    "{{ namespace.__init__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ '{0.__class__}'.format(first_name) }}",
    "{{ '{0.__class__}'.format_map({}) }}",
    "{{ first_name.format }}",
    "{{ ('{0.__class__}' | format(1)) }}",
    "{% set x = ''.format %}{{ x }}",
    "{{ words.__class__ }}",
    "{{ words.pop('why') }}",
    "{{ words.clear() }}",
    "{% for x in words.values() %}{{ x }}{% endfor %}",
    "{{ points.__add__ }}",
    "{{ points.real }}",
    "{{ available_at.__reduce__() }}",
    "{{ available_at.strftime('%Y') }}",
    "{{ loop }}",
    "{% for x in [1] %}{{ loop.__init__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop.parent }}{% endfor %}",
    "{% for x in [1] recursive %}{{ loop(x) }}{% endfor %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'layout.html' import x %}",
    "{% extends '/etc/passwd' %}",
    "{% extends first_name %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}",
    "{% call x() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% autoescape false %}{{ first_name }}{% endautoescape %}",
    "{{ first_name|safe }}",
    "{{ first_name|map('upper') }}",
    "{{ [1]|map(attribute='__class__')|first }}",
    "{{ [1]|sort(attribute='__class__') }}",
    "{{ 1|pprint }}",
    "{{ 1|tojson }}",
    "{{ super.__self__ }}",
    "{{ super().__class__ }}",
    "{{ dict(a=1) }}",
    "{{ (1).__class__ }}",
    "{{ ().__class__ }}",
    "{{ {'a': 1}.items() }}",
    "{% with a = 1 %}{% endwith %}",
    "{% do 1 %}",
    "{% debug %}",
]

BOMBS = [
    "{{ 'x' * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ 'x'|center(1000000000) }}",
    "{{ 'x'|indent(1000000000) }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ [1]|batch(1000000000, 'x')|list }}",
    "{{ 1|round(-1000000000) }}",
    "{{ 'abc'|join('x'|join('y')) }}",
    "{{ 'aaaa'|replace('a', 'aaaa') }}",
    "{{ lipsum(n=1000) }}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [1, 2] %}x{% endfor %}{% endfor %}",
    "{% for i in 'x'|wordwrap(1) %}x{% endfor %}",
    "{% for c in 'xxxxxxxxxx' %}x{% endfor %}",
    "{% for i in [" + "1," * 51 + "] %}x{% endfor %}",
    "{% for i in [1] %}x{% endfor %}" * 11,
    "{% set ns = namespace(s='x') %}",
    "{% if points %}" * 60 + "{% endif %}" * 60,
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "not " * 5000 + "1 }}",
    "{{ " + "9" * 5000 + " }}",
    "{{ points" + "|upper" * 2000 + " }}",
    "{% block a %}" + "x" * 20_000 + "{% endblock %}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_escapes_are_refused_in_every_part(source: str) -> None:
    with pytest.raises(InvalidInput, match="text "):
        save(text=f"{FOOT}{source}")
    with pytest.raises(InvalidInput, match="html "):
        save(html=f"{FOOT}{source}")
    with pytest.raises(InvalidInput, match="subject "):
        save(subject=source)


@pytest.mark.parametrize("source", BOMBS, ids=range(len(BOMBS)))
def test_bombs_are_refused(source: str) -> None:
    with pytest.raises(InvalidInput):
        save(text=f"{FOOT}{source}")


@pytest.mark.parametrize("source", ESCAPES)
def test_the_sandbox_behind_the_rules_holds_too(source: str) -> None:
    """Were the rules to miss one, rendering would come to nothing of Python's all the same."""
    try:
        made = render(Content(text=source), SAMPLES[0]).text
    except TemplateFault:
        return
    assert not any(word in made for word in ("class '", "<function", "<built-in", "bound method", "root:", "globals"))


def test_a_method_is_no_value_for_the_sandbox() -> None:
    environment = templating._environment(False)
    with pytest.raises(SecurityError):
        environment.from_string("{{ ''.upper() }}").render()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("a\n\n{{ pionts }}", "text line 3: there is no variable 'pionts'; there are accent_color, available_at,"),
        ("{% if points %}x", "text line 1: Unexpected end of template"),
        ("x\n{{ points|dtae }}", "text line 2: there is no filter 'dtae'; there are as_points,"),
        ("x\n{{ points is prime }}", "text line 2: there is no test 'prime'"),
        ("\n\n{{ points|date }}", "text line 3: the filter date is for days"),
        ("\n{{ first_name|number }}", "text line 2: 'Anna' is no number"),
        ("{{ words.wy }}", "text line 1: there is no words.wy"),
        ("nothing", r"text must show {{ unsubscribe_url }}"),
        ("", "text is missing"),
        ("x" * 20_001, "text has at most 20000 characters"),
    ],
)
def test_mistakes_are_named_with_their_line(source: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        save(text=source)
    assert problem in refused.value.detail


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        save(subject="{{ a }}", text="{{ b }}\n{{ c }}", html="{{ d }}")
    assert [name in refused.value.detail for name in ("'a'", "'b'", "'c'", "'d'")] == [True] * 4


def test_what_letters_need_is_there() -> None:
    content = save(
        subject="{{ points|as_points }}, {{ first_name|default('you')|upper }}",
        text="{% for x in ['a', 'b'] %}{{ loop.index }}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %} "
        "{{ 'many' if points > 100 else 'few' }} {{ points + 1 }} {{ -points }} {{ first_name ~ '!' }} "
        "{{ points is odd }} {{ first_name|truncate(2, true, '…', 0) }} {# no #}{% raw %}{{ }}{% endraw %}" + FOOT,
        html='{% extends "layout.html" %}{% block content %}<b>{{ available_at|date }}</b>{% endblock %}'
        "{% block footer %}Acme Road 1{{ super() }}{% endblock %}",
    )
    made = render(content, {**SAMPLES[0], "first_name": "<Anna>"})
    assert made.subject == "120 points, <ANNA>"
    assert made.text.startswith("1a, 2b many 121 -120 <Anna>! False <… {{ }}https://")
    assert "<b>March 1, 2026</b>" in made.html
    assert "Acme Road 1" in made.html
    assert "Unsubscribe" in made.html


def test_html_is_escaped_and_text_is_not() -> None:
    content = save(text="{{ first_name }}" + FOOT, html="{{ first_name }}" + FOOT)
    made = render(content, {**SAMPLES[0], "first_name": "<i>&"})
    assert made.text.startswith("<i>&")
    assert made.html.startswith("&lt;i&gt;&amp;")


def test_a_subject_is_one_line_and_short() -> None:
    made = render(Content(subject="a\n  b\r\nBcc: x {{ first_name }}", text="t", html="h"), {"first_name": "x" * 300})
    assert made.subject.startswith("a b Bcc: x xxx")
    assert len(made.subject) == 200


def test_output_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templating, "MOST_OUTPUT", 1000)
    with pytest.raises(TemplateFault, match="longer than 1000"):
        render(Content(text="{% for i in [1,2,3,4,5] %}" + "x" * 300 + "{% endfor %}"), {})


def test_the_most_that_the_rules_allow_is_still_cut() -> None:
    loop = "{% for i in [" + "1," * 49 + "1] %}" + "x" * 1500 + "{% endfor %}"
    with pytest.raises(InvalidInput, match="text comes out longer than 100000 characters"):
        save(text=FOOT + loop * 10)


@given(st.text(alphabet="{}%#-|()[].'\"=~+*/<>!, \nabforinedloptysuxw_09", max_size=120))
def test_any_text_is_taken_or_refused_in_words(source: str) -> None:
    content = Content("s", source + FOOT, FOOT)
    try:
        checked(content, Kind.POINTS_EARNED, Channel.EMAIL, SAMPLES)
    except InvalidInput:
        return  # in words: whatever else is raised fails
    made: Any = render(content, SAMPLES[0])
    assert SAMPLES[0]["unsubscribe_url"] in made.text
