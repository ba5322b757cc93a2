"""What is wrong gets its documented status and a problem document, and never a 5xx."""

import json
import time
from typing import Any

import httpx
import jwt
import pytest

from e2e.platform import Platform, eventually
from shopify.bodies import customer, encode, line, order


def expect_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a response that must have `status`."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["detail"]
    assert "Traceback" not in response.text
    return document


@pytest.mark.parametrize(
    ("headers", "secret", "status"),
    [
        ({}, "wrong-secret", 401),
        ({"X-Shopify-Hmac-Sha256": ""}, None, 401),
        ({"X-Shopify-Hmac-Sha256": "bm90IGEgc2lnbmF0dXJl"}, None, 401),
        ({"X-Shopify-Hmac-Sha256": "!" * 500}, None, 401),
        ({"X-Shopify-Shop-Domain": "nobody.myshopify.com"}, None, 404),
        ({"X-Shopify-Shop-Domain": ""}, None, 400),
    ],
)
def test_a_delivery_that_is_not_from_the_shop(
    platform: Platform, headers: dict[str, str], secret: str | None, status: int
) -> None:
    response = platform.deliver("acme", "orders/create", order(), secret=secret, headers=headers)
    expect_problem(response, status)


def test_the_former_secret_still_signs_while_a_rotation_lasts(platform: Platform) -> None:
    body = customer()
    bought = order(customer=body, lines=[line(price="2.00", quantity=1)])
    platform.accept("acme", "orders/create", bought, secret="acme-former-secret")

    def earned() -> None:
        assert platform.points("acme", body["id"])["available"] == 20

    eventually(earned)


BODIES = {
    "empty": b"",
    "not JSON": b"<order/>",
    "truncated": encode(order())[:-20],
    "an array": b"[]",
    "deep": b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "no id": json.dumps({"line_items": [], "financial_status": "paid"}).encode(),
    "null id": json.dumps({"id": None}).encode(),
    "negative id": encode(order(-5)),
    "id over 64 bits": encode(order(2**63)),
    "NaN": b'{"id": NaN}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_signed_body_that_makes_no_sense(platform: Platform, name: str) -> None:
    expect_problem(platform.deliver("acme", "orders/create", BODIES[name]), 400)


@pytest.mark.parametrize(
    "change",
    [
        {"line_items": None},
        {"line_items": [{"id": 1, "quantity": 1, "price": "-3.00"}]},
        {"line_items": [{"id": 1, "quantity": -1, "price": "3.00"}]},
        {"line_items": [{"id": 1, "quantity": 1, "price": "1e999999"}]},
        {"line_items": [{"id": 1, "quantity": "many", "price": "3.00"}]},
        {"financial_status": 7},
        {"processed_at": "yesterday", "created_at": "yesterday"},
        {"customer": {"id": "x"}},
    ],
)
def test_a_signed_order_with_a_field_that_makes_no_sense(platform: Platform, change: dict[str, Any]) -> None:
    document = expect_problem(platform.deliver("acme", "orders/create", order(customer=customer()) | change), 400)
    assert any(name in document["detail"] for name in change), document["detail"]


def test_a_body_of_two_mebibytes_is_refused(platform: Platform) -> None:
    expect_problem(platform.deliver("acme", "orders/create", b'{"id": "' + b"x" * 2 * 1024 * 1024 + b'"}'), 413)


def test_surprising_text_is_taken(platform: Platform) -> None:
    body = customer(first_name="\u202eevil\u0000\U0001f600" + "x" * 5000, last_name="'; DROP TABLE customers; --")
    platform.accept("acme", "customers/create", body)

    def known() -> None:
        found = platform.get("acme", f"/frontend/customers/{body['id']}")
        assert found["last_name"] == "'; DROP TABLE customers; --"

    eventually(known)


def test_tokens_that_do_not_count(platform: Platform) -> None:
    genuine = platform.token("acme")
    header, payload, _ = genuine.split(".")
    claims = jwt.decode(genuine, options={"verify_signature": False})
    tampered = {
        "none": jwt.encode(claims, key="", algorithm="none"),
        "other key": jwt.encode(claims, key="k" * 32, algorithm="HS256"),
        "no signature": f"{header}.{payload}.",
        "expired": jwt.encode(claims | {"exp": int(time.time()) - 60}, key="k" * 32, algorithm="HS256"),
        "garbage": "x" * 5000,
        "other merchant": platform.token("brew") if platform.packing == "separate" else "a.b.c",
    }
    for name, token in tampered.items():
        response = httpx.get(
            f"{platform.url('acme')}/frontend/points",
            params={"customer_id": "1"},
            headers={"Authorization": f"Bearer {token}"},
        )
        expect_problem(response, 401)
        assert "www-authenticate" in response.headers, name
    expect_problem(httpx.get(f"{platform.url('acme')}/frontend/points", params={"customer_id": "1"}), 401)


def test_no_input_makes_a_token_read_another_merchants_rows(platform: Platform) -> None:
    body = customer(email="only-acme@example.com")
    platform.accept("acme", "customers/create", body)
    platform.accept("acme", "orders/create", order(customer=body, lines=[line(price="9.00", quantity=1)]))

    def known() -> None:
        assert platform.points("acme", body["id"])["available"] == 190

    eventually(known)
    there = str(body["id"])
    for path in ("/frontend/points", "/frontend/points/history"):
        for smuggled in ({}, {"merchant_id": "acme"}, {"merchant": "acme"}, {"shop": "acme.myshopify.com"}):
            found = platform.call("brew", "GET", path, params={"customer_id": there} | smuggled)
            assert found.status_code == 200
            assert "190" not in found.text.replace(there, "")
    assert platform.call("brew", "GET", f"/frontend/customers/{there}").status_code == 404
    headers = {"X-Loyalnest-Merchant": "acme", "x-shopify-shop-domain": "acme.myshopify.com"}
    assert platform.call("brew", "GET", f"/frontend/customers/{there}", headers=headers).status_code == 404
    assert "only-acme" not in platform.call("brew", "GET", "/frontend/customers").text


def test_api_calls_that_make_no_sense(platform: Platform) -> None:
    for customer_id in ("", "abc", "-1", "0", str(2**63), "1" * 40, "1; DROP"):
        expect_problem(platform.call("acme", "GET", "/frontend/points", params={"customer_id": customer_id}), 422)
    expect_problem(platform.call("acme", "POST", "/frontend/points/redeem", json={"customer_id": "1"}), 422)
    no_such = {"customer_id": "1", "reward": "no-such"}
    refused = platform.call("acme", "POST", "/frontend/points/redeem", json=no_such, headers={"Idempotency-Key": "x1"})
    expect_problem(refused, 404)
    dear = {"customer_id": "1", "reward": "five-off"}
    refused = platform.call("acme", "POST", "/frontend/points/redeem", json=dear, headers={"Idempotency-Key": "x2"})
    expect_problem(refused, 422)
    expect_problem(platform.call("acme", "GET", "/frontend/nothing"), 404)
    expect_problem(platform.call("acme", "DELETE", "/frontend/points"), 405)
    adjust = {"customer_id": "1", "points": 5, "reason": "because"}
    refused = platform.call(
        "acme", "POST", "/frontend/points/adjust", json=adjust, role="support", headers={"Idempotency-Key": "x3"}
    )
    expect_problem(refused, 403)


def test_refusals_are_counted(platform: Platform) -> None:
    platform.deliver("acme", "orders/create", b"nonsense")
    text = httpx.get(f"{platform.url('acme')}/metrics").text
    counted = [row for row in text.splitlines() if row.startswith("loyalnest_webhooks_total") and "invalid" in row]
    assert counted, text[:3000]
