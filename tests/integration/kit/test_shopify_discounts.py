"""The Admin API's client against the stand-in Shopify, over real HTTP: discount codes, outages, throttling."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
import pytest_asyncio

from loyalnest.kit.context import CallContext, use
from loyalnest.kit.errors import DeadlineExceeded, InvalidInput, RateLimited, Unauthenticated, Unavailable
from loyalnest.kit.shopify.admin_api import AdminApi, DiscountResult, ShopifyRefused
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.kit.shopify.graphql import GraphQL
from loyalnest.kit.shopify.throttle import CostBucket
from shopify.model import FailureKind, Plan
from shopify.server import ACME, GLOBEX, ShopifyServer

STARTS = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


def api_of(shopify: ShopifyServer, http: httpx.AsyncClient, shop: str = ACME, *, token: str = "") -> AdminApi:
    token = token or shopify.install(shop)

    async def provide() -> str:
        return token

    return AdminApi(GraphQL(http, ShopEndpoint(shopify.settings()), shop, provide, CostBucket()))


def five_off(api: AdminApi, code: str = "LOYAL-1", title: str = "LoyalNest r-1") -> Awaitable[DiscountResult]:
    return api.create_discount_code(code, title, amount=Decimal("5.00"), currency="USD", starts_at=STARTS)


async def test_a_code_is_made_as_it_was_asked_for(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    api = api_of(shopify, http)
    result = await five_off(api)
    assert result.created
    await api.create_discount_code(
        "LOYAL-2", "LoyalNest r-2", percentage=Decimal("12.5"), currency="EUR", starts_at=STARTS, usage_limit=3
    )
    amount, percentage = shopify.discounts()
    assert (amount.node_id, amount.code, amount.amount, amount.usage_limit) == (
        result.node_id,
        "LOYAL-1",
        Decimal("5.00"),
        1,
    )
    assert datetime.fromisoformat(amount.starts_at) == STARTS
    assert (percentage.percentage, percentage.usage_limit) == (Decimal("0.125"), 3)
    assert shopify.discounts(GLOBEX) == []
    assert len(shopify.seen("Shop")) == 1


@pytest.mark.parametrize("kind", ["reset_after_commit", "hang_after_commit"])
async def test_a_code_whose_answer_was_lost_is_made_once(
    shopify: ShopifyServer, http: httpx.AsyncClient, kind: FailureKind
) -> None:
    api = api_of(shopify, http)
    await api.shop()
    shopify.fail(kind, path="graphql", seconds=1)
    with pytest.raises(Unavailable), use(CallContext(deadline=time.monotonic() + 0.4)):
        await five_off(api)
    again = await five_off(api, code="loyal-1")
    assert not again.created
    assert [one.node_id for one in shopify.discounts()] == [again.node_id]
    assert await five_off(api) == again


async def test_a_code_that_is_someone_elses_is_refused(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    api = api_of(shopify, http)
    await five_off(api, title="made by staff")
    with pytest.raises(ShopifyRefused, match="another discount with this code"):
        await five_off(api)


async def test_an_outage_while_a_taken_code_is_looked_up_is_not_a_refusal(
    shopify: ShopifyServer, http: httpx.AsyncClient
) -> None:
    api = api_of(shopify, http)
    await five_off(api)
    # 9 for the mutation's place in the bucket: the look-up after it finds the bucket empty, and does not wait for ever
    shopify.shop().plan = Plan(restore=0.01, maximum=20)
    shopify.drain(level=13)
    with pytest.raises(Unavailable, match="whether by this reward is not known"):
        await five_off(api)


@pytest.mark.parametrize(
    ("code", "title", "words"),
    [("", "t", "Code can't be blank"), ("c", "", "Title can't be blank"), ("c" * 256, "t", "too long")],
)
async def test_shopifys_words_are_passed_on(
    shopify: ShopifyServer, http: httpx.AsyncClient, code: str, title: str, words: str
) -> None:
    with pytest.raises(ShopifyRefused, match=words) as caught:
        await five_off(api_of(shopify, http), code, title)
    assert caught.value.status == 422


async def test_an_amount_in_another_currency_is_not_given_away(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    with pytest.raises(ShopifyRefused, match="in USD, but the shop sells in EUR"):
        await five_off(api_of(shopify, http, GLOBEX))
    assert shopify.discounts(GLOBEX) == []


@pytest.mark.parametrize(
    ("amount", "percentage"),
    [(None, None), ("5", "10"), ("0", None), ("-1", None), ("NaN", None), (None, "0"), (None, "101"), (None, "NaN")],
)
async def test_what_makes_no_discount_is_not_sent(
    shopify: ShopifyServer, http: httpx.AsyncClient, amount: str | None, percentage: str | None
) -> None:
    with pytest.raises(InvalidInput):
        await api_of(shopify, http).create_discount_code(
            "c",
            "t",
            currency="USD",
            starts_at=STARTS,
            amount=Decimal(amount) if amount else None,
            percentage=Decimal(percentage) if percentage else None,
        )
    assert shopify.seen() == []


async def test_missing_scopes_and_uninstalled_apps_are_refused(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    shopify.shop().app.scopes = "read_orders"
    with pytest.raises(ShopifyRefused, match="Required access: `write_discounts`"):
        await five_off(api_of(shopify, http))
    api = api_of(shopify, http)
    shopify.revoke()
    with pytest.raises(Unauthenticated, match="open the app again"):
        await api.shop()


async def test_a_token_that_another_process_replaced_is_asked_for_once_more(
    shopify: ShopifyServer, http: httpx.AsyncClient
) -> None:
    first = stored = cached = shopify.install()
    refused: list[str] = []

    async def provide() -> str:
        return cached

    async def forget(token: str) -> None:
        nonlocal cached
        refused.append(token)
        cached = stored

    endpoint = ShopEndpoint(shopify.settings())
    api = AdminApi(GraphQL(http, endpoint, ACME, provide, CostBucket(), token_refused=forget))
    await api.shop()
    stored = shopify.install()  # revokes the one before
    assert (await five_off(api)).created
    assert refused == [first]


@pytest.mark.parametrize("kind", ["error", "reset", "hang"])
async def test_outages_are_unavailable(shopify: ShopifyServer, http: httpx.AsyncClient, kind: FailureKind) -> None:
    api = api_of(shopify, http)
    shopify.fail(kind, path="graphql", seconds=1)
    with pytest.raises(Unavailable), use(CallContext(deadline=time.monotonic() + 0.4)):
        await api.shop()
    assert (await api.shop()).name == "Acme"


async def test_no_call_is_made_after_the_deadline(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    with pytest.raises(DeadlineExceeded), use(CallContext(deadline=time.monotonic())):
        await api_of(shopify, http).shop()
    assert shopify.seen() == []


async def test_a_drained_bucket_is_waited_for(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    shopify.shop().plan = Plan(restore=40, maximum=40)
    shopify.drain()
    api = api_of(shopify, http)
    began = time.monotonic()
    assert (await five_off(api)).created  # 1 point for the shop, 10 or more for the code
    assert 0.2 < time.monotonic() - began < 5


async def test_many_calls_are_throttled_at_most_once(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    """After the first answer the client knows the bucket and waits, instead of being refused again and again."""
    shopify.shop().plan = Plan(restore=200, maximum=30)
    api = api_of(shopify, http)
    await five_off(api, "LOYAL-0")
    results = await asyncio.gather(*(five_off(api, f"LOYAL-{number}") for number in range(1, 21)))
    assert all(result.created for result in results)
    assert len(shopify.discounts()) == 21
    assert len(shopify.seen("CreateRewardCode")) <= 23


async def test_a_wait_beyond_the_deadline_is_rate_limited(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    shopify.shop().plan = Plan(restore=1, maximum=40)
    api = api_of(shopify, http)
    await api.shop()
    shopify.drain()
    began = time.monotonic()
    with pytest.raises(RateLimited, match="nothing was done") as caught, use(CallContext(deadline=began + 2)):
        await five_off(api)
    assert 2 < caught.value.retry_after < 20
    assert time.monotonic() - began < 2
    assert shopify.discounts() == []


async def test_a_429_is_waited_out(shopify: ShopifyServer, http: httpx.AsyncClient) -> None:
    shopify.fail("rate_limited", path="graphql", times=2)
    assert (await api_of(shopify, http).shop()).name == "Acme"


async def test_a_query_that_shopify_does_not_understand_is_refused(
    shopify: ShopifyServer, http: httpx.AsyncClient
) -> None:
    token = shopify.install()

    async def provide() -> str:
        return token

    graphql = GraphQL(http, ShopEndpoint(shopify.settings()), ACME, provide, CostBucket())
    with pytest.raises(ShopifyRefused, match="Cannot query field 'nme'"):
        await graphql.call("{ shop { nme } }")
