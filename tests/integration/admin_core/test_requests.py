"""Requests as they are recorded, told, confirmed, ended, refused and told again; services answer by hand here."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from integration.admin_core.support import START, AdminCore, wanted
from loyalnest.admin_core import admin_core_pb2 as pb
from loyalnest.admin_core.events import GdprRequestCompleted
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import new_id


async def seconds_left(admin_core: AdminCore, kind: str) -> float | None:
    await admin_core.deadlines.observe()
    return REGISTRY.get_sample_value("loyalnest_gdpr_seconds_to_deadline", {"kind": kind})


async def test_a_delivery_is_one_request_whatever_repeats(admin_core: AdminCore) -> None:
    event = await admin_core.ask("customers/redact", delivery_id="d1", at=START - timedelta(hours=3))
    await admin_core.deliveries.handle([event, event])
    again = await admin_core.delivered("customers/redact", {"customer": {"id": 1}}, delivery_id="d1")
    await admin_core.deliveries.handle([msgspec.structs.replace(again, id=new_id())])
    (request,) = await admin_core.requests()
    (told,) = await admin_core.created()
    assert (told.request_id, told.customer_id, told.at) == (request["request_id"], 1, START - timedelta(hours=3))
    assert told.due_at == request["due_at"] == told.at + timedelta(days=30)
    await admin_core.ask("customers/data_request", number=9)
    await admin_core.ask("customers/data_request", number=9)  # Shopify's own number of it
    await admin_core.ask("customers/data_request", number=9, merchant="globex")
    assert len(await admin_core.requests()) == 2
    assert len(await admin_core.requests("globex")) == 1


async def test_it_is_complete_when_each_service_has_confirmed(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact")
    assert await seconds_left(admin_core, "customer_redact") == 30 * 86400
    admin_core.pass_time(days=1)
    assert await seconds_left(admin_core, "customer_redact") == 29 * 86400
    event = await admin_core.confirm("core")
    await admin_core.confirmations.handle([event, event])
    await admin_core.confirm("core")
    await admin_core.confirm("stranger")
    assert await admin_core.statuses() == ["open"]
    await admin_core.confirm("points")
    assert await admin_core.statuses() == ["completed"]
    (completed,) = await admin_core.told(GdprRequestCompleted.topic)
    assert (completed["kind"], completed["customer_id"]) == ("customer_redact", 1)
    audited = await admin_core.audited()
    assert audited == ["gdpr.requested", "gdpr.confirmed", "gdpr.confirmed", "gdpr.confirmed", "gdpr.completed"]
    await admin_core.confirm("points")
    assert len(await admin_core.told(GdprRequestCompleted.topic)) == 1
    assert await seconds_left(admin_core, "customer_redact") == 30 * 86400


async def test_an_answer_for_nothing_is_passed_over(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact")
    (told,) = await admin_core.created()
    stray = msgspec.structs.replace(told, request_id=new_id()).confirmed("core", {}, START)
    await admin_core.confirmations.handle(
        [stray.event("acme", "x"), told.confirmed("core", {}, START).event("globex", "x")]
    )
    assert await admin_core.sql("SELECT FROM admin_core.gdpr_confirmations") == []


async def test_those_that_are_missing_are_told_again(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact")
    await admin_core.ask("customers/redact", 2, "globex")
    await admin_core.confirm("core", index=0)
    admin_core.pass_time(hours=5)
    assert await admin_core.advance.run() == 0
    admin_core.pass_time(hours=1)
    await admin_core.advance.run()
    assert await admin_core.advance.run() == 0
    told = await admin_core.created()
    assert [each.request_id for each in told[2:]] == [each.request_id for each in told[:2]]
    entries = [each for each in await admin_core.told("audit_log") if each["action"] == "gdpr.told_again"]
    assert {each["after"]["missing"] for each in entries} == {"points", "core, points"}
    await admin_core.confirm("points", index=0)
    assert await admin_core.statuses() == ["completed"]


async def test_a_service_that_is_switched_off_is_waited_for_no_more(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact")
    await admin_core.confirm("core")
    admin_core.confirmations._participants = ["core"]
    admin_core.advance._participants = ["core"]
    admin_core.pass_time(hours=7)
    await admin_core.advance.run()
    assert await admin_core.statuses() == ["completed"]


async def test_the_parts_of_an_export_make_one_file(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/data_request", 5)
    (told,) = await admin_core.created()
    keys = await admin_core.keys.for_merchant("acme")
    documents = {"core": b'{"name":"Anna"}', "points": b'{"orders":[1,2,3]}'}

    def parts(service: str, count: int) -> list[dict[str, Any]]:
        text = documents[service]
        cut = [text[len(text) * n // count : len(text) * (n + 1) // count] for n in range(count)]
        purpose = f"privacy.export:{told.request_id}:{service}:"
        return [
            {"part": n, "parts": count, "sealed": keys.seal(f"{purpose}{n}", piece)} for n, piece in enumerate(cut, 1)
        ]

    await admin_core.confirm("core", **parts("core", 1)[0])
    read = pb.ReadGdprExportRequest(request_id=str(told.request_id), reason="She asked")
    with pytest.raises(PreconditionFailed, match="not complete"):
        await admin_core.call("ReadGdprExport", read)
    for each in reversed(parts("points", 3)):
        await admin_core.confirm("points", **each)
    data, token, pieces = b"", "", 0
    while pieces == 0 or token:
        read.page_token = token
        page = await admin_core.call("ReadGdprExport", read)
        data, token, pieces = data + page.data, page.next_page_token, pieces + 1
    assert pieces == 4
    assert msgspec.json.decode(data)["services"] == {"core": {"name": "Anna"}, "points": {"orders": [1, 2, 3]}}
    events = await admin_core.sql(
        "SELECT event_id, payload FROM admin_core.outbox WHERE topic = 'audit_log' ORDER BY id"
    )
    readings = [row["event_id"] for row in events if b"gdpr.export_read" in row["payload"]]
    assert (len(readings), len(set(readings))) == (4, 1)
    for wrong, error in (
        (pb.ReadGdprExportRequest(request_id=read.request_id), InvalidInput),
        (pb.ReadGdprExportRequest(request_id=read.request_id, reason="x", page_token="4"), InvalidInput),
        (pb.ReadGdprExportRequest(request_id=read.request_id, reason="x", page_token="x"), InvalidInput),
        (pb.ReadGdprExportRequest(request_id="x", reason="x"), InvalidInput),
        (pb.ReadGdprExportRequest(request_id=str(new_id()), reason="x"), NotFound),
    ):
        with pytest.raises(error):
            await admin_core.call("ReadGdprExport", wrong)
    with pytest.raises(Forbidden):
        await admin_core.call("ReadGdprExport", read, role="staff")
    admin_core.pass_time(days=8)
    assert await admin_core.forgetting.run() == 1
    with pytest.raises(PreconditionFailed, match="no file any more"):
        await admin_core.call("ReadGdprExport", read)


async def test_an_export_of_nothing_is_a_file_all_the_same(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/data_request", 5)
    for service in ("core", "points"):
        await admin_core.confirm(service)
    (told,) = await admin_core.created()
    read = pb.ReadGdprExportRequest(request_id=str(told.request_id), reason="She asked")
    page = await admin_core.call("ReadGdprExport", read)
    assert (msgspec.json.decode(page.data)["services"], page.next_page_token) == ({}, "")


async def test_a_body_that_names_nobody_is_for_a_person_to_look_at(admin_core: AdminCore) -> None:
    bodies: tuple[Any, ...] = ({}, {"customer": None}, {"customer": {"id": 0}}, {"customer": {"id": "x"}}, [])
    for body in bodies:
        event = await admin_core.delivered("customers/redact", body)
        with pytest.raises(InvalidInput, match="customers/redact"):
            await admin_core.deliveries.handle([event])
    await admin_core.deliveries.handle([await admin_core.delivered("orders/paid", {})])
    assert await admin_core.requests() == []


async def test_redactions_are_told_again_after_a_restore(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact", 1)
    admin_core.pass_time(days=1)
    since = admin_core.now
    for topic, customer_id in (("customers/redact", 2), ("customers/data_request", 3), ("customers/redact", 4)):
        await admin_core.ask(topic, customer_id)
    for index in (1, 2):
        for service in ("core", "points"):
            await admin_core.confirm(service, index=index)
    before = await admin_core.created()
    replay = pb.ReplayGdprRequestsRequest(since=since.isoformat())
    done = await admin_core.call("ReplayGdprRequests", replay, role="system")
    assert done.told == 2
    again = (await admin_core.created())[len(before) :]
    assert [(each.customer_id, each.request_id) for each in again] == [
        (2, before[1].request_id),
        (4, before[3].request_id),
    ]
    assert (await admin_core.audited()).count("gdpr.replayed") == 2
    assert (await admin_core.call("ReplayGdprRequests", replay, "globex", role="system")).told == 0
    admin_core.pass_time(days=36)
    assert await admin_core.forgetting.run() > 0
    assert (await admin_core.call("ReplayGdprRequests", replay, role="system")).told == 1  # the open one
    for role in ("owner", ""):
        with pytest.raises(Forbidden):
            await admin_core.call("ReplayGdprRequests", replay, role=role)
    with pytest.raises(InvalidInput):
        await admin_core.call("ReplayGdprRequests", pb.ReplayGdprRequestsRequest(), role="system")


async def test_requests_are_listed_to_their_own_merchant(admin_core: AdminCore) -> None:
    for customer_id in range(1, 6):
        await admin_core.ask("customers/redact", customer_id)
    await admin_core.ask("customers/data_request", 9, "globex")
    found: list[int] = []
    page = pb.ListGdprRequestsRequest(page_size=2, kind="customer_redact", status="open")
    while True:
        answer = await admin_core.call("ListGdprRequests", page, role="support")
        found += [each.customer_id for each in answer.requests]
        if not (token := answer.next_page_token):
            break
        page.page_token = token
    assert found == [5, 4, 3, 2, 1]
    (theirs,) = (await admin_core.call("ListGdprRequests", pb.ListGdprRequestsRequest(), "globex")).requests
    with pytest.raises(NotFound):
        await admin_core.call("GetGdprRequest", pb.GetGdprRequestRequest(request_id=theirs.request_id))
    for request, error in (
        (pb.ListGdprRequestsRequest(status="done"), InvalidInput),
        (pb.ListGdprRequestsRequest(kind="x"), InvalidInput),
        (pb.ListGdprRequestsRequest(page_token="x"), InvalidInput),
    ):
        with pytest.raises(error):
            await admin_core.call("ListGdprRequests", request)
    with pytest.raises(Forbidden):
        await admin_core.call("ListGdprRequests", pb.ListGdprRequestsRequest(), role="")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "x"},
        {"kind": ""},
        {"customer_id": 0},
        {"customer_id": -5},
        {"reason": " "},
        {"reason": "x" * 501},
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 201},
        {"idempotency_key": "\0"},
    ],
)
async def test_what_cannot_be_asked_for(admin_core: AdminCore, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await admin_core.call("CreateGdprRequest", wanted(**wrong))
    assert await admin_core.requests() == []
