"""The storefront widget's calls about referrals through Shopify's app proxy, and the API's routes behind a token."""

import asyncio
import time
from urllib.parse import urlencode

import httpx
import pytest

from integration.api_gateway.conftest import SHOP, Gateway, Start
from integration.api_gateway.test_proxy import NOT_GENUINE, signed
from loyalnest.kit.shopify.signatures import proxy_signature
from shopify import bodies

OWNER = {"Authorization": "Bearer acme-owner"}
ANNA = "9007199254740993"


async def call(gateway: Gateway, path: str = "", *more: tuple[str, str], shop: str = SHOP) -> httpx.Response:
    items = signed(*more, secret=shop.replace(".myshopify.com", "-secret"), shop=shop)
    return await gateway.http.get(f"/proxy/referrals{path}", params=httpx.QueryParams(urlencode(items)))


async def fares(gateway: Gateway, customer_id: str = ANNA) -> dict[str, object]:
    found = await gateway.http.get("/frontend/referrals", params={"customer_id": customer_id}, headers=OWNER)
    assert found.status_code == 200, found.text
    answer: dict[str, object] = found.json()
    return answer


async def test_a_shopper_gets_a_link_and_sees_how_it_fares(platform: Gateway) -> None:
    first = (await call(platform, "", ("logged_in_customer_id", ANNA))).json()
    assert first["customer_id"] == ANNA
    assert first["offer"] == {
        "referrer_points": 500,
        "friend_points": 250,
        "minimum_spend": "20",
        "currency": "USD",
    }
    assert first["link"] == f"https://{SHOP}/?ref={first['code']}"
    for code, channel in ((first["code"], ""), (f"{first['code'].lower()}:sms", ""), (first["code"], "email")):
        answer = await call(platform, "/click", ("code", code), ("channel", channel))
        assert answer.json() == {"counted": True}
    again = (await call(platform, "", ("logged_in_customer_id", ANNA))).json()
    assert again["code"] == first["code"]
    assert [each["clicks"] for each in again["channels"]] == [1, 1, 1]
    found = await fares(platform)
    assert (found["clicks"], found["conversions"]) == (3, 0)


async def test_a_guest_sees_what_there_is_to_win_and_may_click(platform: Gateway) -> None:
    shown = (await call(platform)).json()
    assert (shown["customer_id"], shown["code"], shown["link"], shown["channels"]) == (None, None, None, [])
    assert shown["offer"]["friend_points"] == 250
    for given in ((), (("code", ""),), (("code", "NOBODYS"),), (("code", "A"), ("code", "B"))):
        assert (await call(platform, "/click", *given)).json() == {"counted": False}


async def test_another_shops_code_is_not_counted(platform: Gateway) -> None:
    code = (await call(platform, "", ("logged_in_customer_id", ANNA))).json()["code"]
    answer = await call(platform, "/click", ("code", code), shop="brew.myshopify.com")
    assert answer.json() == {"counted": False}
    assert (await fares(platform))["clicks"] == 0


async def test_an_order_by_the_link_converts_through_the_gateway(platform: Gateway) -> None:
    code = (await call(platform, "", ("logged_in_customer_id", ANNA))).json()["code"]
    body = bodies.order(
        customer=bodies.customer(),
        lines=[bodies.line("50.00")],
        note_attributes=[{"name": "loyalnest_referral", "value": f"{code}:sms"}],
    )
    assert (await platform.deliver(body, "orders/paid")).status_code == 200
    told = (await platform.last()).order
    assert told is not None
    assert (told.referral_code, told.locale) == (f"{code}:sms", "en-US")
    deadline = time.monotonic() + 120
    while (found := await fares(platform))["conversions"] != 1:
        assert time.monotonic() < deadline, found["statuses"]
        await asyncio.sleep(0.05)
    channels = found["channels"]
    assert isinstance(channels, list)
    assert [each["conversions"] for each in channels if each["channel"] == "sms"] == [1]


@pytest.mark.parametrize("path", ["", "/click"])
async def test_a_call_that_is_not_genuine(gateway: Gateway, path: str) -> None:
    for make, status in NOT_GENUINE:
        items = make()
        answer = await gateway.http.get(f"/proxy/referrals{path}", params=httpx.QueryParams(urlencode(items)))
        assert answer.status_code == status, (items, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_too_many_clicks_are_refused(start: Start) -> None:
    async with start(points=True, request_limit_per_minute=12) as gateway:  # a burst of 2
        statuses = [(await call(gateway, "/click", ("code", "X"))).status_code for _ in range(4)]
        assert statuses[:2] == [200, 200]
        assert 429 in statuses[2:]
        assert (await call(gateway)).status_code == 200, "clicks are counted by themselves"
        keys = await gateway.environment.redis.keys("rate_limit:acme:proxy/referrals*")
        assert sorted(keys) == [b"rate_limit:acme:proxy/referrals", b"rate_limit:acme:proxy/referrals/click"]


async def test_what_was_signed_for_a_click_is_signed_whole(platform: Gateway) -> None:
    items = signed(("code", "BCDFGHJK"), ("channel", "sms"))
    changed = [(name, "email" if value == "sms" else value) for name, value in items]
    answer = await platform.http.get("/proxy/referrals/click", params=httpx.QueryParams(urlencode(changed)))
    assert answer.status_code == 401
    assert proxy_signature("acme-secret", items[:-1]) == items[-1][1]
