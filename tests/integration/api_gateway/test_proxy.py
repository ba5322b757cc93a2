"""The storefront widget's calls through Shopify's app proxy."""

import time
from collections.abc import Callable
from urllib.parse import urlencode

import httpx
import pytest

from integration.api_gateway.conftest import SHOP, Gateway
from loyalnest.kit.shopify.signatures import proxy_signature

Items = list[tuple[str, str]]


def signed(*more: tuple[str, str], secret: str = "acme-secret", shop: str = SHOP, age: float = 0) -> Items:
    items = [("shop", shop), ("path_prefix", "/apps/points"), ("timestamp", str(int(time.time() - age))), *more]
    return [*items, ("signature", proxy_signature(secret, items))]


async def call(gateway: Gateway, items: Items) -> httpx.Response:
    return await gateway.http.get("/proxy/points", params=httpx.QueryParams(urlencode(items)))


async def test_a_shopper_sees_their_own_points(platform: Gateway) -> None:
    done = await platform.http.post(
        "/frontend/points/adjust",
        headers={"Authorization": "Bearer acme-owner", "Idempotency-Key": "k"},
        json={"customer_id": "9007199254740993", "points": 40, "reason": "r"},
    )
    assert done.status_code == 200
    for secret in ("acme-secret", "acme-previous"):
        answer = await call(platform, signed(("logged_in_customer_id", "9007199254740993"), secret=secret))
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert shown["customer_id"] == "9007199254740993"
        assert shown["points"]["available"] == 40
        assert [reward["name"] for reward in shown["rewards"]] == ["five-off"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("guest", [(), (("logged_in_customer_id", ""),)])
async def test_a_guest_sees_what_there_is_to_win(platform: Gateway, guest: tuple[tuple[str, str], ...]) -> None:
    shown = (await call(platform, signed(*guest))).json()
    assert (shown["customer_id"], shown["points"]) == (None, None)
    assert shown["rewards"]


def resigned(items: Items, place: int, *more: tuple[str, str]) -> Items:
    """`items` with `more` put in after they were signed."""
    return [*items[:place], *more, *items[place:]]


NOT_GENUINE: list[tuple[Callable[[], Items], int]] = [
    (list, 401),
    (lambda: signed()[:-1], 401),
    (lambda: signed(secret="wrong"), 401),
    (lambda: signed(secret="brew-secret"), 401),
    (lambda: [*signed()[:-1], ("signature", "0" * 64)], 401),
    (lambda: [*signed(), ("signature", "0" * 64)], 401),
    (lambda: resigned(signed(), 1, ("logged_in_customer_id", "1")), 401),
    (lambda: signed(age=400), 401),
    (lambda: signed(age=-120), 401),
    (lambda: signed(shop="nobody.myshopify.com"), 404),
    (lambda: signed(("shop", "brew.myshopify.com")), 401),
    (lambda: signed(("timestamp", "1")), 401),
    (lambda: signed(("logged_in_customer_id", "1"), ("logged_in_customer_id", "2")), 400),
    (lambda: signed(("logged_in_customer_id", "-1")), 400),
    (lambda: signed(("logged_in_customer_id", "٣")), 400),
    (lambda: signed(("logged_in_customer_id", "9" * 30)), 400),
]


@pytest.mark.parametrize(("make", "status"), NOT_GENUINE)
async def test_a_call_that_is_not_genuine(gateway: Gateway, make: Callable[[], Items], status: int) -> None:
    answer = await call(gateway, make())
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_parameters_of_the_shoppers_own_are_signed_too(platform: Gateway) -> None:
    items = signed(("extra", "1"), ("extra", "2"), ("name", "Zoë & Co=+%"))
    assert (await call(platform, items)).status_code == 200
    changed = [(name, "3" if value == "2" else value) for name, value in items]
    assert (await call(platform, changed)).status_code == 401
