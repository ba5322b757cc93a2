"""The routes and methods, over the local channel that the gateway uses in one process."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from integration.referrals.support import FRIEND, REFERRER, Rig, person
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Forbidden, InvalidInput, Unauthenticated
from loyalnest.kit.events import new_id
from loyalnest.kit.http import problems
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.kit.rpc.handlers import MethodTable
from loyalnest.referrals import referrals_pb2 as pb
from loyalnest.referrals.http import routes
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceStub, add_ReferralsServiceServicer_to_server


@pytest.fixture
def channel(rig: Rig) -> ClientChannel:
    table = MethodTable()
    add_ReferralsServiceServicer_to_server(rig.grpc, cast("Any", table))
    return ClientChannel(LocalChannel(table), "referrals")


@pytest.fixture
async def client(channel: ClientChannel) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(routes(cast("Any", SimpleNamespace(channel=lambda _name: channel))))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def ask(
    client: httpx.AsyncClient, path: str, status: int = 200, *, body: Any = None, merchant: str = "acme"
) -> Any:
    with as_merchant(merchant, actor="ann", role="owner"):
        url = f"/frontend/referrals{path}"
        response = await (client.get(url) if body is None else client.post(url, json=body))
    assert response.status_code == status, response.text
    return response.json()


async def test_a_customers_link_and_how_it_fares(client: httpx.AsyncClient, rig: Rig) -> None:
    before = await ask(client, "?customer_id=1")
    assert (before["link"]["code"], before["clicks"], before["referral"]) == ("", 0, None)
    link = await ask(client, "/link", body={"customer_id": "1"})
    assert link == await ask(client, "/link", body={"customer_id": "1"})
    await rig.links.click("acme", f"{link['code']}:sms", "")
    await rig.links.click("acme", f"{link['code']}:sms", "")
    await rig.buy(f"{link['code']}:sms", FRIEND)
    found = await ask(client, f"?customer_id={REFERRER}")
    assert (found["link"], found["clicks"], found["conversions"]) == (link, 2, 1)
    assert [each for each in found["channels"] if each["channel"] == "sms"] == [
        {"channel": "sms", "clicks": 2, "shares": 0, "conversions": 1, "per_click": "0.5000", "per_share": ""}
    ]
    assert found["statuses"] == {"pending": 0, "completed": 1, "held": 0, "refused": 0, "reversed": 0}
    assert await ask(client, "/stats?days=7") == {"channels": found["channels"], "statuses": found["statuses"]}
    came_by = (await ask(client, f"?customer_id={FRIEND}"))["referral"]
    one = await ask(client, f"?id={came_by['referral_id']}")
    assert one == dict.fromkeys(one) | {"referral": came_by}
    assert (came_by["referrer_id"], came_by["status"], came_by["minimum_spend"]) == ("1", "completed", "20")
    assert await ask(client, "/offer") == {
        "offered": True, "referrer_points": 500, "friend_points": 250, "minimum_spend": "20", "currency": "USD",
    }  # fmt: skip


async def test_a_list_by_pages_and_status(client: httpx.AsyncClient, rig: Rig) -> None:
    codes = [await rig.code(each) for each in (1, 2)]
    for friend in range(10, 14):
        await rig.buy(codes[friend % 2], friend, base="50" if friend < 13 else "1")
    first = await ask(client, "/list?page_size=3")
    rest = await ask(client, f"/list?page_size=3&page_token={first['next_page_token']}")
    assert [each["friend_id"] for each in (*first["referrals"], *rest["referrals"])] == ["13", "12", "11", "10"]
    assert rest["next_page_token"] == ""
    assert [each["friend_id"] for each in (await ask(client, "/list?status=refused"))["referrals"]] == ["13"]
    assert [each["friend_id"] for each in (await ask(client, "/list?referrer_id=1"))["referrals"]] == ["12", "10"]


async def test_sharing_and_reviewing(client: httpx.AsyncClient, rig: Rig) -> None:
    body = {"customer_id": "1", "channel": "email", "address": "bob@example.com"}
    share = await ask(client, "/share", body=body)
    assert share == await ask(client, "/share", body=body)
    assert (await ask(client, "/shares?customer_id=1"))["shares"] == [share]
    home = person("", "", "Main St 1")
    await rig.meet(REFERRER, home)
    await rig.buy(await rig.code(), person=home)
    (held,) = (await ask(client, "/list?status=held"))["referrals"]
    path = f"/{held['referral_id']}/review"
    done = await ask(client, path, body={"approve": True, "note": "A household."})
    assert (done["status"], done["reviewed_by"], done["note"]) == ("completed", "ann", "A household.")
    await ask(client, path, 422, body={"approve": False, "note": "Or not?"})


async def test_what_is_not_there_or_not_valid_is_a_problem(client: httpx.AsyncClient) -> None:
    share = {"customer_id": "1", "channel": "email", "address": "bob@example.com"}
    review = {"approve": True, "note": "x"}
    for path, status, body in (
        ("", 400, None),
        ("?customer_id=1&id=x", 400, None),
        ("?customer_id=0", 422, None),
        ("?customer_id=-1", 422, None),
        (f"?customer_id={2**63}", 422, None),
        ("?id=x", 400, None),
        (f"?id={new_id()}", 404, None),
        ("/list?status=lost", 400, None),
        ("/list?page_token=x", 400, None),
        ("/list?page_size=0", 422, None),
        ("/list?referrer_id=x", 422, None),
        ("/stats?days=-1", 422, None),
        ("/stats?days=99999", 422, None),
        ("/shares", 422, None),
        ("/link", 422, {"customer_id": 1}),
        ("/link", 422, {}),
        ("/share", 422, share | {"channel": "link"}),
        ("/share", 400, share | {"address": "bob"}),
        ("/share", 422, share | {"address": ""}),
        (f"/{new_id()}/review", 404, review),
        ("/x/review", 400, review),
        (f"/{new_id()}/review", 422, {"note": "x"}),
        (f"/{new_id()}/review", 422, review | {"note": ""}),
    ):
        problem = await ask(client, path, status, body=body)
        assert problem["status"] == status, path
        assert problem["detail"]


async def test_another_merchants_referral_is_not_there(client: httpx.AsyncClient, rig: Rig) -> None:
    await rig.add_merchant("globex")
    await rig.buy(await rig.code())
    found = await rig.of_friend()
    assert found is not None
    await ask(client, f"?id={found.referral_id}", 404, merchant="globex")
    body = {"approve": True, "note": "x"}
    await ask(client, f"/{found.referral_id}/review", 404, body=body, merchant="globex")
    assert (await ask(client, "/list", merchant="globex"))["referrals"] == []
    assert (await ask(client, "?customer_id=1", merchant="globex"))["conversions"] == 0


async def test_who_may_do_what(rig: Rig, channel: ClientChannel) -> None:
    stub: Any = ReferralsServiceStub(cast("Any", channel))
    review = pb.ReviewReferralRequest(referral_id=str(new_id()), approve=True, note="x")
    for role in ("support", "shopper", ""):
        with as_merchant("acme", actor="x", role=role), pytest.raises(Forbidden):
            await stub.ReviewReferral(review)
    for call, request in (
        (stub.ListReferrals, pb.ListReferralsRequest()),
        (stub.GetReferralStats, pb.GetReferralStatsRequest()),
    ):
        with as_merchant("acme", actor="x", role="support"):
            await call(request)
        with as_merchant("acme", actor="x", role="shopper"), pytest.raises(Forbidden):
            await call(request)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("CreateReferralLink", pb.CreateReferralLinkRequest(customer_id=-1)),
        ("GetReferralStatus", pb.GetReferralStatusRequest()),
        ("GetReferralStatus", pb.GetReferralStatusRequest(customer_id=-5)),
        ("GetReferralStatus", pb.GetReferralStatusRequest(customer_id=1, referral_id="x")),
        ("ListReferrals", pb.ListReferralsRequest(referrer_id=-1)),
        ("ListReferrals", pb.ListReferralsRequest(page_size=-1)),
        ("ShareReferral", pb.ShareReferralRequest(channel="email", address="bob@example.com")),
        ("ListShares", pb.ListSharesRequest(customer_id=-1)),
        ("ListShares", pb.ListSharesRequest(customer_id=1, page_token="x")),
        ("ReviewReferral", pb.ReviewReferralRequest(referral_id="x", note="x")),
        ("GetReferralStats", pb.GetReferralStatsRequest(days=-1)),
    ],
)
async def test_what_makes_no_sense_over_grpc(rig: Rig, channel: ClientChannel, method: str, request_: Any) -> None:
    stub: Any = ReferralsServiceStub(cast("Any", channel))
    with as_merchant("acme", actor="ann", role="owner"), pytest.raises(InvalidInput):
        await getattr(stub, method)(request_)
    with as_merchant("", actor="ann", role="owner"), pytest.raises(Unauthenticated):
        await getattr(stub, method)(request_)
