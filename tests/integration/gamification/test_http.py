"""The routes and the methods, over the local channel that the gateway uses in one process."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from integration.gamification.support import NOON, Rig, earned
from loyalnest.admin_core.events import AuditLog
from loyalnest.gamification import gamification_pb2 as pb
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.gamification.gamification_pb2_grpc import (
    GamificationServiceStub,
    add_GamificationServiceServicer_to_server,
)
from loyalnest.gamification.grpc import GamificationGrpc
from loyalnest.gamification.http import routes
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound
from loyalnest.kit.http import problems
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.kit.rpc.handlers import MethodTable

BIG_ID = str(2**60)
FIVE: dict[str, Any] = {
    "key": "five",
    "title": "Five",
    "description": "Five orders.",
    "icon": "star",
    "rule": {"kind": "orders", "target": "5"},
}


@pytest.fixture
def channel(rig: Rig) -> ClientChannel:
    table = MethodTable()
    add_GamificationServiceServicer_to_server(GamificationGrpc(rig.service, rig.leaderboard), cast("Any", table))
    return ClientChannel(LocalChannel(table), "gamification")


@pytest.fixture
def stub(channel: ClientChannel) -> Any:
    return GamificationServiceStub(cast("Any", channel))


class Client:
    """Calls as an admin of `acme`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        status: int = 200,
        role: str = "owner",
        merchant_id: str = "acme",
    ) -> Any:
        with as_merchant(merchant_id, actor="admin:1", role=role):
            response = await self._http.request(method, f"/frontend{path}", json=body)
        assert response.status_code == status, response.text
        return response.json() if response.content else None


@pytest.fixture
async def call(channel: ClientChannel) -> AsyncIterator[Client]:
    app = FastAPI()
    problems.install(app)
    app.include_router(routes(cast("Any", SimpleNamespace(channel=lambda _name: channel))))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        yield Client(http)


async def test_a_badges_life(rig: Rig, call: Client) -> None:
    made = await call("POST", "/badges", FIVE)
    assert made == FIVE | {
        "rule": {"kind": "orders", "target": "5", "product_type": "", "product_ids": []},
        "enabled": True,
        "take_back_on_refund": True,
        "version": 1,
        "holders": 0,
        "created_at": NOON.isoformat(),
        "updated_at": NOON.isoformat(),
    }
    rig.clock.move(minutes=1)
    category = {"kind": "category_spend", "target": "49.90", "product_ids": [BIG_ID, "7"]}
    changed = await call("PUT", "/badges/five", FIVE | {"version": 1, "rule": category, "enabled": False})
    assert changed["rule"] == {
        "kind": "category_spend",
        "target": "49.90",
        "product_type": "",
        "product_ids": ["7", BIG_ID],
    }
    assert (changed["version"], changed["enabled"]) == (2, False)
    assert await call("GET", "/badges/five") == changed
    assert await call("GET", "/badges") == {"badges": [changed]}
    assert await call("GET", "/badges", merchant_id="brew") == {"badges": []}
    await call("GET", "/badges/five", status=404, merchant_id="brew")
    await call("DELETE", "/badges/five", status=204)
    await call("GET", "/badges/five", status=404)
    created, updated, deleted = await rig.told(AuditLog)
    assert (created.action, created.actor, created.role, created.subject) == (
        "badge.created",
        "admin:1",
        "owner",
        "badge:five",
    )
    assert updated.before == {"kind": "orders", "target": "5", "product_ids": "", "enabled": "true", "version": "1"}
    assert updated.after["product_ids"] == f"7,{BIG_ID}"
    assert (deleted.action, deleted.before["target"], deleted.after) == ("badge.deleted", "49.90", {})


async def test_two_admins_do_not_overwrite_each_other(call: Client) -> None:
    await call("POST", "/badges", FIVE)
    await call("POST", "/badges", FIVE, status=409)
    await call("PUT", "/badges/five", FIVE | {"version": 1, "title": "5"})
    await call("PUT", "/badges/five", FIVE | {"version": 1, "title": "V"}, status=409)
    assert (await call("GET", "/badges/five"))["title"] == "5"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/badges", FIVE),
        ("PUT", "/badges/five", FIVE | {"version": 1}),
        ("DELETE", "/badges/five", None),
        ("POST", "/badges/five/award", {"customer_id": "7", "reason": "r"}),
        ("POST", "/badges/five/revoke", {"customer_id": "7", "reason": "r"}),
        ("DELETE", "/leaderboard/7", None),
    ],
)
async def test_support_may_look_and_not_touch(rig: Rig, call: Client, method: str, path: str, body: object) -> None:
    await call(method, path, body, status=403, role="support")
    assert await rig.told(AuditLog) == []
    await call("GET", "/badges", role="support")


BAD: list[tuple[str, str, object, int]] = [
    ("POST", "/badges", {}, 422),
    ("POST", "/badges", FIVE | {"key": "Five!"}, 400),
    ("POST", "/badges", FIVE | {"title": "a\nb"}, 422),
    ("POST", "/badges", FIVE | {"title": "a" * 61}, 400),
    ("POST", "/badges", FIVE | {"rule": {"kind": "visits", "target": "5"}}, 400),
    ("POST", "/badges", FIVE | {"rule": {"kind": "orders", "target": "0"}}, 400),
    ("POST", "/badges", FIVE | {"rule": {"kind": "orders", "target": 5}}, 422),
    ("POST", "/badges", FIVE | {"rule": {"kind": "category_spend", "target": "5"}}, 400),
    ("POST", "/badges", FIVE | {"rule": {"kind": "category_spend", "target": "5", "product_ids": ["x"]}}, 422),
    ("PUT", "/badges/none", FIVE | {"version": 1}, 404),
    ("PUT", "/badges/five", FIVE, 422),
    ("PUT", "/badges/five", FIVE | {"version": 2**31}, 422),
    ("GET", "/badges/none", None, 404),
    ("GET", "/badges/No%20ne", None, 422),
    ("DELETE", "/badges/none", None, 404),
    ("GET", "/badges/none/holders", None, 404),
    ("GET", "/badges/none/holders?page_token=x", None, 400),
    ("GET", "/badges/none/holders?page_size=201", None, 422),
    ("POST", "/badges/none/award", {"customer_id": "7", "reason": "r"}, 404),
    ("POST", "/badges/five/award", {"customer_id": "-7", "reason": "r"}, 422),
    ("POST", "/badges/five/award", {"customer_id": "7", "reason": ""}, 422),
    ("POST", "/badges/five/award", {"customer_id": "7", "reason": "  "}, 400),
    ("POST", "/badges/none/revoke", {"customer_id": "7", "reason": "r"}, 404),
    ("GET", "/badges/customers/0", None, 422),
    ("GET", f"/badges/customers/{2**63}", None, 422),
    ("GET", "/leaderboard?period=yesterday", None, 422),
    ("GET", "/leaderboard?period=2026-13", None, 400),
    ("GET", "/leaderboard?size=0", None, 422),
    ("DELETE", "/leaderboard/x", None, 422),
]


async def test_what_is_not_valid_is_a_problem(rig: Rig, call: Client) -> None:
    await call("POST", "/badges", FIVE)
    for method, path, body, status in BAD:
        problem = await call(method, path, body, status)
        assert (problem["status"], bool(problem["detail"])) == (status, True), (method, path)
    assert len((await call("GET", "/badges"))["badges"]) == 1
    assert len(await rig.told(AuditLog)) == 1


async def test_there_are_no_more_than_so_many(rig: Rig, call: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.gamification.service.MAX_BADGES", 2)
    for key, status in (("a", 200), ("b", 200), ("c", 422)):
        await call("POST", "/badges", FIVE | {"key": key}, status)
    assert {each["key"] for each in (await call("GET", "/badges"))["badges"]} == {"a", "b"}


async def test_given_and_taken_by_hand(rig: Rig, call: Client) -> None:
    await call("POST", "/badges", FIVE | {"rule": {"kind": "orders", "target": "2"}})
    decision = {"customer_id": BIG_ID, "reason": "a friend of the house"}
    for _ in range(2):
        given = await call("POST", "/badges/five/award", decision, role="staff")
        (badge,) = given["badges"]
        assert (given["customer_id"], badge["held"], badge["awarded_at"]) == (BIG_ID, True, NOON.isoformat())
    await rig.jobs.sweep()
    assert await rig.held("acme") == {(int(BIG_ID), "five")}, "no rule takes what an admin gave"
    assert (await call("GET", "/badges/five"))["holders"] == 1
    assert (await call("GET", "/badges/five/holders"))["holders"] == [
        {
            "customer_id": BIG_ID,
            "awarded_at": NOON.isoformat(),
            "by_hand": True,
            "actor": "admin:1",
            "reason": "a friend of the house",
        }
    ]
    await call("POST", "/badges/five/revoke", decision | {"reason": "no more"})
    await rig.give(*(earned("acme", each, int(BIG_ID), "1") for each in (1, 2)))
    assert await rig.held("acme") == set(), "no rule gives what an admin took"
    await call("POST", "/badges/five/award", decision)
    assert await rig.held("acme") == {(int(BIG_ID), "five")}
    assert [each.revoked for each in await rig.told(BadgeAwarded)] == [False, True, False]
    decisions = (await rig.told(AuditLog))[1:]
    assert [(each.action, each.before["held"], each.after["reason"]) for each in decisions] == [
        ("badge.awarded", "false", "a friend of the house"),
        ("badge.revoked", "true", "no more"),
        ("badge.awarded", "false", "a friend of the house"),
    ]
    assert decisions[0].subject == f"badge:five, customer:{BIG_ID}"


async def test_holders_by_page(rig: Rig, call: Client) -> None:
    await call("POST", "/badges", FIVE | {"rule": {"kind": "orders", "target": "1"}})
    await rig.give(*(earned("acme", each, each, "1") for each in range(1, 6)), earned("brew", 9, 9, "1"))
    found: list[str] = []
    token = ""
    for rest in (2, 2, 1):
        page = await call("GET", f"/badges/five/holders?page_size=2&page_token={token}")
        assert len(page["holders"]) == rest
        found += [each["customer_id"] for each in page["holders"]]
        token = page["next_page_token"]
    assert (found, token) == (["1", "2", "3", "4", "5"], "")


async def test_a_customers_progress_and_the_leaderboard(rig: Rig, call: Client) -> None:
    await call("POST", "/badges", FIVE)
    await rig.give(earned("acme", 1, 7, "1", points=30), earned("acme", 2, 7, "1", points=12))
    shown = await call("GET", "/badges/customers/7")
    assert shown["badges"] == [
        {name: FIVE[name] for name in ("key", "title", "description", "icon")}
        | {"kind": "orders", "held": False, "awarded_at": "", "current": "2", "target": "5"}
    ]
    with as_merchant("acme", actor="shopper:7", role="shopper"):
        await rig.leaderboard.join("acme", 7, "Seven")
    assert await call("GET", "/leaderboard") == {
        "period": "2026-11",
        "standings": [{"rank": 1, "name": "Seven", "points": 42, "customer_id": "7"}],
    }
    await call("DELETE", "/leaderboard/7", status=204)
    assert (await call("GET", "/leaderboard?period=all"))["standings"] == []
    assert (await rig.told(AuditLog))[-1].actor == "admin:1"


async def test_a_shopper_asks_for_nobody_else(rig: Rig, stub: Any) -> None:
    await rig.add_badge("acme", "one", "orders", "1")
    with as_merchant("acme", actor="shopper:7", role="shopper"):
        found = await stub.GetCustomerBadges(pb.GetCustomerBadgesRequest(customer_id=7))
        assert [each.key for each in found.badges] == ["one"]
        for method, request in (
            (stub.GetCustomerBadges, pb.GetCustomerBadgesRequest(customer_id=8)),
            (stub.GetLeaderboard, pb.GetLeaderboardRequest(customer_id=8)),
            (stub.JoinLeaderboard, pb.JoinLeaderboardRequest(customer_id=8, name="Eight")),
            (stub.LeaveLeaderboard, pb.LeaveLeaderboardRequest(customer_id=8)),
            (stub.ListBadgeHolders, pb.ListBadgeHoldersRequest(key="one")),
            (stub.AwardBadge, pb.AwardBadgeRequest(customer_id=7, key="one", reason="please")),
            (stub.CreateBadge, pb.CreateBadgeRequest()),
        ):
            with pytest.raises(Forbidden):
                await method(request)


async def test_bad_input_over_grpc(rig: Rig, stub: Any) -> None:
    with as_merchant("acme", actor="admin:1", role="owner"):
        for method, request, error in (
            (stub.GetBadge, pb.GetBadgeRequest(key="\n" * 100), NotFound),
            (stub.CreateBadge, pb.CreateBadgeRequest(), InvalidInput),
            (stub.UpdateBadge, pb.UpdateBadgeRequest(), InvalidInput),
            (stub.DeleteBadge, pb.DeleteBadgeRequest(), NotFound),
            (stub.ListBadgeHolders, pb.ListBadgeHoldersRequest(key="x", page_size=-1), InvalidInput),
            (stub.AwardBadge, pb.AwardBadgeRequest(key="x", reason="r"), InvalidInput),
            (stub.AwardBadge, pb.AwardBadgeRequest(customer_id=7, key="x", reason="a\nb"), InvalidInput),
            (stub.RevokeBadge, pb.RevokeBadgeRequest(customer_id=-7, key="x", reason="r"), InvalidInput),
            (stub.GetCustomerBadges, pb.GetCustomerBadgesRequest(), InvalidInput),
            (stub.GetLeaderboard, pb.GetLeaderboardRequest(period="x"), InvalidInput),
            (stub.GetLeaderboard, pb.GetLeaderboardRequest(customer_id=-1), InvalidInput),
            (stub.JoinLeaderboard, pb.JoinLeaderboardRequest(name="Seven"), InvalidInput),
            (stub.LeaveLeaderboard, pb.LeaveLeaderboardRequest(customer_id=-1), InvalidInput),
        ):
            with pytest.raises(error):
                await method(request)


async def test_a_merchant_without_rules_is_told_what_to_do(stub: Any) -> None:
    with as_merchant("nobody", actor="admin:1", role="owner"), pytest.raises(NotFound, match="apply its"):
        await stub.GetCustomerBadges(pb.GetCustomerBadgesRequest(customer_id=7))
