"""What became of messages: event_tracking's reports, providers' webhooks, and the addresses that suffer."""

from typing import Any
from uuid import UUID

import pytest

from fixtures.email_webhooks import mailgun_body, resend_body, resend_headers
from integration.admin_features.support import Rig
from loyalnest.admin_features import admin_features_pb2 as pb
from loyalnest.event_tracking.events import TaskCompleted
from loyalnest.kit.errors import Unauthenticated
from loyalnest.kit.events import new_id


async def queued(rig: Rig, customer_id: int = 1, merchant: str = "acme") -> UUID:
    """A message that event_tracking has."""
    await rig.customer(customer_id, merchant=merchant)
    await rig.tell(rig.earned(customer_id, merchant=merchant))
    return (await rig.sent(merchant))[-1][0].message_id


async def tell(rig: Rig, body: bytes, event_id: str, provider: str = "resend") -> None:
    headers = resend_headers(body, event_id, rig.clock.now) if provider == "resend" else {}
    await rig.stub.TakeProviderEvent(pb.TakeProviderEventRequest(provider=provider, headers=headers, body=body))


async def status(rig: Rig, message_id: UUID, merchant: str = "acme") -> tuple[str, str]:
    found = await rig.call("GetMessage", pb.GetMessageRequest(message_id=str(message_id)), merchant)
    return found.status, found.reason


async def standing(rig: Rig, email: str, merchant: str = "acme") -> tuple[bool, bool, bool]:
    found = await rig.call("GetAddress", pb.GetAddressRequest(email=email), merchant)
    return found.unsubscribed, found.bounced, found.complained


@pytest.mark.parametrize(
    ("outcome", "error", "expected"),
    [
        ("done", "", ("sent", "")),
        ("failed", "Rejected by the provider.", ("failed", "Rejected by the provider.")),
        ("cancelled", "", ("failed", "cancelled")),
    ],
)
async def test_reports_of_event_tracking(rig: Rig, outcome: str, error: str, expected: tuple[str, str]) -> None:
    message_id = await queued(rig)
    await rig.finish(message_id, outcome, error=error)
    assert await status(rig, message_id) == expected
    await rig.finish(message_id, "failed", error="late")  # under another event: its end stands
    assert await status(rig, message_id) == expected


async def test_reports_that_are_not_of_our_messages(rig: Rig) -> None:
    message_id = await queued(rig)
    for kind, key in (("webhook", str(message_id)), ("email", "not-a-uuid"), ("email", str(new_id()))):
        done = TaskCompleted(
            task_id=new_id(), kind=kind, unique_key=key, outcome="done", attempts=1, completed_at=rig.clock.now
        )
        await rig.outcomes.handle([rig.event(done)])
    await rig.finish(message_id, merchant="brew")
    assert await status(rig, message_id) == ("queued", "")


@pytest.mark.parametrize("first", ["report", "bounce"])
async def test_a_hard_bounce_ends_mail_to_that_address_in_either_order(rig: Rig, first: str) -> None:
    message_id = await queued(rig)
    body = resend_body("email.bounced", "re_1", bounce={"type": "Permanent"})
    if first == "bounce":
        await tell(rig, body, "e1")
    await rig.finish(message_id, provider_id="re_1")
    if first == "report":
        await tell(rig, body, "e1")
    await tell(rig, body, "e1")
    assert await status(rig, message_id) == ("bounced", "")
    assert await standing(rig, "C1@acme.example") == (False, True, False)
    await rig.tell(rig.earned(1))
    assert (await rig.statuses())[-1] == ("points_earned", "suppressed", "bounced_before")
    cleared = await rig.call("ClearBounce", pb.GetAddressRequest(email="c1@acme.example"))
    assert not cleared.bounced
    await rig.tell(rig.earned(1))
    assert len(await rig.sent()) == 2
    assert [each["action"] for each in await rig.audited()] == ["email_address.bounce_cleared"]


async def test_a_complaint_follows_the_customer_to_a_new_address(rig: Rig) -> None:
    message_id = await queued(rig)
    await rig.finish(message_id, provider_id="<1@mg.example>")
    await tell(rig, mailgun_body("complained", "1@mg.example", "t1", rig.clock.now), "", "mailgun")
    assert await status(rig, message_id) == ("complained", "")
    rig.clock.advance(minutes=1)
    await rig.customer(1, "new@acme.example")
    await rig.tell(rig.earned(1))
    assert (await rig.statuses())[-1] == ("points_earned", "suppressed", "complained_before")


async def test_a_bounce_after_a_complaint_does_not_hide_it(rig: Rig) -> None:
    message_id = await queued(rig)
    await rig.finish(message_id, provider_id="re_1")
    await tell(rig, resend_body("email.complained", "re_1"), "e1")
    await tell(rig, resend_body("email.bounced", "re_1"), "e2")
    assert await status(rig, message_id) == ("complained", "")
    assert await standing(rig, "c1@acme.example") == (False, True, True)


async def test_an_invited_friends_complaint_is_not_the_customers(rig: Rig) -> None:
    await rig.customer(1)
    await rig.tell(await rig.shared(1, "friend@example.org"))
    ((event, _),) = await rig.sent()
    await rig.finish(event.message_id, provider_id="re_1")
    await tell(rig, resend_body("email.complained", "re_1"), "e1")
    await rig.tell(rig.earned(1), await rig.shared(1, "friend@example.org"))
    assert [(each, reason) for _, each, reason in await rig.statuses()][1:] == [
        ("queued", ""),
        ("suppressed", "complained_before"),
    ]


async def test_forged_and_replayed_webhooks_change_nothing(rig: Rig) -> None:
    message_id = await queued(rig)
    await rig.finish(message_id, provider_id="re_1")
    body = resend_body("email.bounced", "re_1")
    for headers in ({}, resend_headers(body, "e1", rig.clock.now) | {"svix-id": "e2"}):
        with pytest.raises(Unauthenticated):
            await rig.stub.TakeProviderEvent(pb.TakeProviderEventRequest(provider="resend", headers=headers, body=body))
    # Mailgun's signature says nothing of the body: one that was seen must not carry another.
    seen = rig.clock.now
    await tell(rig, mailgun_body("delivered", "other", "t1", seen), "", "mailgun")
    await tell(rig, mailgun_body("complained", "re_1", "t1", seen), "", "mailgun")
    assert await status(rig, message_id) == ("sent", "")
    rig.clock.advance(days=8)
    assert await rig.sending.tidy() == 1
    with pytest.raises(Unauthenticated):  # what is forgotten is too old as well
        await tell(rig, mailgun_body("complained", "re_1", "t1", seen), "", "mailgun")


async def test_a_bounce_of_one_merchants_mail_leaves_the_others_alone(rig: Rig) -> None:
    for merchant in ("acme", "brew"):
        await rig.customer(1, "same@x.example", merchant=merchant)
        await rig.tell(rig.earned(1, merchant=merchant))
        message_id = (await rig.sent(merchant))[-1][0].message_id
        await rig.finish(message_id, provider_id=f"re_{merchant}", merchant=merchant)
    await tell(rig, resend_body("email.bounced", "re_brew"), "e1")
    assert await standing(rig, "same@x.example", "brew") == (False, True, False)
    assert await standing(rig, "same@x.example", "acme") == (False, False, False)


async def test_old_messages_and_friends_hashes_are_forgotten(rig: Rig) -> None:
    await queued(rig)
    await rig.tell(await rig.shared(1, "friend@example.org"))
    rig.clock.advance(days=31)
    assert await rig.sending.tidy() == 1
    (row,) = await rig.sql("SELECT count(*) AS rows, count(address_hash) AS hashes FROM admin_features.email_events")
    assert (row["rows"], row["hashes"]) == (2, 1)
    rig.clock.advance(days=400)
    assert await rig.sending.tidy() == 2
    assert await rig.statuses() == []


async def test_lists_of_messages(rig: Rig) -> None:
    for customer_id in (1, 2, 1):
        await rig.customer(customer_id)
        await rig.tell(rig.earned(customer_id))

    async def listed(merchant: str = "acme", **more: Any) -> Any:
        return await rig.call("ListMessages", pb.ListMessagesRequest(**more), merchant)

    first = await listed(page_size=2)
    second = await listed(page_size=2, page_token=first.next_page_token)
    assert [each.customer_id for each in (*first.messages, *second.messages)] == [1, 2, 1]
    assert second.next_page_token == ""
    assert [each.customer_id for each in (await listed(customer_id=2, status="queued")).messages] == [2]
    assert len((await listed(status="sent")).messages) == 0
    assert len((await listed("brew")).messages) == 0
