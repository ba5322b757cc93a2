"""The routes, over the local channel that the gateway uses in one process."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from integration.rfm.support import NOON, Rig, clawed_back, earned
from loyalnest.kit.context import as_merchant
from loyalnest.kit.http import problems
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.kit.rpc.handlers import MethodTable
from loyalnest.rfm import rfm_pb2 as pb
from loyalnest.rfm.grpc import RfmGrpc
from loyalnest.rfm.http import routes
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub, add_RfmServiceServicer_to_server


@pytest.fixture
def channel(rig: Rig) -> ClientChannel:
    table = MethodTable()
    add_RfmServiceServicer_to_server(RfmGrpc(rig.service), cast("Any", table))
    return ClientChannel(LocalChannel(table), "rfm")


@pytest.fixture
async def client(rig: Rig, channel: ClientChannel) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(routes(cast("Any", SimpleNamespace(channel=lambda _name: channel))))
    await rig.set_schedule("acme")
    await rig.give([earned("acme", 1, 2**60, "10"), earned("acme", 2, 8, "20.50"), earned("brew", 3, 9, "1")])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def get(client: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    with as_merchant("acme", actor="admin", role="support"):
        response = await client.get(f"/frontend/segments{path}")
    assert response.status_code == status, response.text
    return response.json()


async def test_segments_and_grid(client: httpx.AsyncClient) -> None:
    found = await get(client, "")
    assert (found["customers"], found["revenue"]) == (2, "30.50")
    assert len(found["segments"]) == 10
    assert len(found["grid"]) == 25
    assert [each for each in found["segments"] if each["customers"]] == [
        {"segment": "new", "customers": 2, "revenue": "30.50"}
    ]
    assert [each for each in found["grid"] if each["customers"]] == [
        {"recency": 5, "frequency": 1, "segment": "new", "customers": 2, "revenue": "30.50"}
    ]
    assert (found["refreshed_at"], found["next_run_at"]) == (NOON.isoformat(), "2026-11-16T01:00:00+00:00")


async def test_a_customers_scores(client: httpx.AsyncClient) -> None:
    assert await get(client, f"/customers/{2**60}") == {
        "customer_id": str(2**60),
        "recency": 5,
        "frequency": 1,
        "monetary": 1,
        "segment": "new",
        "orders": 1,
        "revenue": "10",
        "last_order_at": NOON.isoformat(),
        "as_of": NOON.isoformat(),
    }
    assert (await get(client, "/customers/8"))["monetary"] == 3


async def test_what_is_not_there_or_not_valid_is_a_problem(client: httpx.AsyncClient) -> None:
    for path, status in (
        ("/customers/9", 404),  # another merchant's
        ("/customers/0", 422),
        ("/customers/x", 422),
        (f"/customers/{2**63}", 422),
        ("/millionaires/customers", 404),
        ("/new/customers?page_token=x", 400),
        (f"/new/customers?page_token={2**63}", 400),
        ("/new/customers?page_size=0", 422),
        ("/history?first=2026-13-01", 400),
        ("/history?first=yesterday", 422),
        ("/history?first=2026-11-20", 400),  # after today
        ("/movements?last=9999-12-31", 400),
        ("/movements?first=2020-01-01", 400),
    ):
        problem = await get(client, path, status)
        assert problem["status"] == status, path
        assert problem["detail"]


async def test_a_segments_customers_by_page(client: httpx.AsyncClient) -> None:
    first = await get(client, "/new/customers?page_size=1")
    assert [each["customer_id"] for each in first["customers"]] == ["8"]
    second = await get(client, f"/new/customers?page_size=1&page_token={first['next_page_token']}")
    assert [each["customer_id"] for each in second["customers"]] == [str(2**60)]
    assert second["next_page_token"] == ""
    assert (await get(client, "/champions/customers"))["customers"] == []


async def test_history_and_movements(client: httpx.AsyncClient, rig: Rig) -> None:
    history = await get(client, "/history")
    assert (history["first"], history["last"]) == ("2026-10-17", "2026-11-15")
    (day,) = history["history"]
    assert (day["day"], len(day["segments"])) == ("2026-11-15", 10)
    assert (await get(client, "/movements"))["movements"] == [{"from_segment": "", "to_segment": "new", "times": 2}]
    rig.clock.move(days=1)
    await rig.give([clawed_back("acme", 2, 8, "0", cancelled=True)])
    assert (await get(client, "/movements?first=2026-11-16"))["movements"] == [
        {"from_segment": "new", "to_segment": "", "times": 1}
    ]
    assert (await get(client, "/movements?first=0001-01-01&last=0001-01-01"))["movements"] == []


async def test_owner_and_staff_may_refresh_and_support_may_not(client: httpx.AsyncClient) -> None:
    for role, status in (("owner", 200), ("staff", 200), ("support", 403)):
        with as_merchant("acme", actor="admin", role=role):
            response = await client.post("/frontend/segments/refresh")
        assert response.status_code == status
    with as_merchant("acme", actor="admin", role="owner"):
        done = (await client.post("/frontend/segments/refresh")).json()
    assert (done["customers"], done["changed"], done["as_of"]) == (2, 0, NOON.isoformat())


async def test_the_schedule_over_grpc(client: httpx.AsyncClient, channel: ClientChannel) -> None:
    rfm: Any = RfmServiceStub(cast("Any", channel))
    with as_merchant("acme"):
        schedule = await rfm.GetSchedule(pb.GetScheduleRequest())
    assert (schedule.cron, schedule.timezone, schedule.population) == ("0 1 * * *", "UTC", 2)
    assert schedule.refreshed_at == NOON.isoformat()
