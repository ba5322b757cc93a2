"""What an order says about how it came to be, however oddly it says so."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.api_gateway.attribution import MAX_ATTRIBUTES, MAX_DISCOUNT_CODES, MAX_LANDING_SITE
from unit.api_gateway.bodies import facts, order, read


def attribute(value: Any, name: Any = "loyalnest_referral") -> dict[str, Any]:
    return {"name": name, "value": value}


def referral(*attributes: Any, landing_site: Any = None) -> str:
    code: str = facts(note_attributes=list(attributes), landing_site=landing_site).referral_code
    return code


def test_an_order_that_says_nothing() -> None:
    found = facts()
    assert (found.referral_code, found.discount_codes, found.locale) == ("", [], "")


@pytest.mark.parametrize("code", ["BCDFGHJK", "bcdfghjk:sms", "BCDFGHJK:email", "K7"])
def test_a_cart_attribute_is_kept_as_it_is(code: str) -> None:
    assert referral(attribute("newsletter", "source"), attribute(f" {code} ")) == code


@pytest.mark.parametrize(
    "site",
    [
        "/?ref=BCDFGHJK",
        "/products/tea?utm_source=x&ref=BCDFGHJK&utm_medium=y#top",
        "https://acme.example/?ref=BCDFGHJK",
        "/?ref=&ref=BCDFGHJK",
        "/?ref=%20BCDFGHJK+",
    ],
)
def test_the_landing_page_tells_where_the_cart_does_not(site: str) -> None:
    assert referral(landing_site=site) == "BCDFGHJK"
    assert referral(attribute("not a code"), landing_site=site) == "BCDFGHJK"
    assert referral(attribute("KKKKKKKK:sms"), landing_site=site) == "KKKKKKKK:sms"


def test_a_channel_in_the_landing_page_may_be_escaped() -> None:
    assert referral(landing_site="/?ref=BCDFGHJK:sms") == "BCDFGHJK:sms"
    assert referral(landing_site="/?ref=BCDFGHJK%3Asms") == "BCDFGHJK:sms"


@pytest.mark.parametrize(
    "value",
    [None, 7, 7.5, True, [], {}, ["BCDFGHJK"], "", " ", "B C", "x" * 33, "BCD:", "BCD:sms:sms", "BCD\u0000;", "Öl"],
)
def test_what_is_no_code_counts_as_not_there(value: Any) -> None:
    assert referral(attribute(value)) == ""
    assert referral(attribute("BCDFGHJK", value)) == ""
    assert referral(value) == ""


@pytest.mark.parametrize(
    "site",
    [
        7, [], {}, "", "/?ref=", "/?reference=BCDFGHJK", "//[x?ref=BCDFGHJK", "/?ref=%FF%00",
        "/?" + "a=1&" * 200 + "ref=BCDFGHJK", "/?ref=BCDFGHJK&x=" + "y" * MAX_LANDING_SITE,
    ],
)  # fmt: skip
def test_an_address_that_tells_nothing(site: Any) -> None:
    assert referral(landing_site=site) == ""


@pytest.mark.parametrize("attributes", [None, 1, "x", {}, {"name": "loyalnest_referral", "value": "BCDFGHJK"}])
def test_attributes_that_are_no_list(attributes: Any) -> None:
    assert facts(note_attributes=attributes).referral_code == ""


def test_no_more_attributes_are_looked_at_than_a_cart_has() -> None:
    assert referral(*[attribute("x", "y")] * (MAX_ATTRIBUTES - 1), attribute("BCDFGHJK")) == "BCDFGHJK"
    assert referral(*[attribute("x", "y")] * MAX_ATTRIBUTES, attribute("BCDFGHJK")) == ""


def test_discount_codes_are_kept_as_typed_and_bounded() -> None:
    def codes(*given: Any) -> list[str]:
        found: list[str] = facts(discount_codes=list(given)).discount_codes
        return found

    one = {"code": "Summer 10%", "amount": "1.00", "type": "percentage"}
    assert codes(one, {"code": "LOYAL-1"}, one) == ["Summer 10%", "LOYAL-1"]
    assert codes(None, 7, "x", {}, {"code": None}, {"code": 7}, {"code": ""}, {"code": "x" * 256}) == []
    assert len(codes(*({"code": f"C{number}"} for number in range(50)))) == MAX_DISCOUNT_CODES
    assert facts(discount_codes={"code": "X"}).discount_codes == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [("de-DE", "de-DE"), ("en", "en"), ("zh-Hant-TW", "zh-Hant-TW"), ("pt_BR", "pt-BR")]
    + [(odd, "") for odd in (None, 7, "", "english", "d", "de-", "de-<b>", "de-" + "x" * 99)],
)
def test_the_language_of_the_checkout(given: Any, kept: str) -> None:
    assert facts(customer_locale=given).locale == kept


names = st.sampled_from(["name", "value", "code", "x"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "value", "code", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(note_attributes=anything, landing_site=anything, discount_codes=anything, customer_locale=anything)
def test_nothing_there_makes_a_delivery_refused(**odd: Any) -> None:
    found = read(order(**odd)).order
    assert found is not None
    assert len(found.referral_code) <= 49
    assert all(len(code) <= 255 for code in found.discount_codes)
