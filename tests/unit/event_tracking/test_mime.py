"""E-mails as they are written: one recipient, a stable name, and no header that brings another."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.admin_features.events import Message
from loyalnest.event_tracking.mime import NotSendable, message_id, written

AT = datetime(2026, 5, 1, tzinfo=UTC)
TASK = UUID(int=7)
SENDER = "Acme <shop@acme.example>"


def parsed(message: Message, sender: str = SENDER) -> "policy.EmailMessage":  # type: ignore[name-defined]
    return message_from_bytes(written(TASK, message, sender, AT).as_bytes(), policy=policy.default)


def test_both_bodies_and_the_headers() -> None:
    email = parsed(
        Message(
            to="anna@example.com",
            subject="Grüße",
            text="ä" * 2000,
            html="<b>ä</b>",
            reply_to="help@acme.example",
            headers={"List-Unsubscribe": "<https://acme.example/u>", "message-id": "<mine>", "To": "eve@example.com"},
        )
    )
    assert email["To"] == "anna@example.com"
    assert email["Subject"] == "Grüße"
    assert email["Reply-To"] == "help@acme.example"
    assert email["List-Unsubscribe"] == "<https://acme.example/u>"
    assert email.get_all("Message-ID") == [f"<{TASK}@acme.example>"]
    assert email.get_body(("plain",)).get_content().strip() == "ä" * 2000
    assert email.get_body(("html",)).get_content().strip() == "<b>ä</b>"


@pytest.mark.parametrize("sender", ["shop@acme.example", SENDER, '"A, B" <x@acme.example>'])
def test_the_name_of_a_message_is_of_its_task_and_its_senders_domain(sender: str) -> None:
    assert message_id(TASK, sender) == f"<{TASK}@acme.example>"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_in_a_message_it_goes_to_one_address_or_nowhere(
    to: str, subject: str, text: str, value: str
) -> None:
    message = Message(to=to, subject=subject, text=text, headers={"X-Value": value})
    try:
        email = written(TASK, message, SENDER, AT)
    except NotSendable:
        return
    read = message_from_bytes(email.as_bytes(), policy=policy.default)
    assert len(read["To"].addresses) == 1
    assert {name.lower() for name in read} <= {
        *("from", "to", "subject", "date", "message-id", "x-value"),
        *("content-type", "content-transfer-encoding", "mime-version"),
    }


def test_a_usual_address_is_sendable() -> None:
    assert (
        parsed(Message(to="Anna Änn <anna@example.com>", text="x"))["To"].addresses[0].addr_spec == "anna@example.com"
    )


def test_a_long_address_to_unsubscribe_stands_as_it_is() -> None:
    address = f"<https://acme.example/email/unsubscribe/{'Ab_-1' * 60}>"
    message = Message(to="anna@example.com", subject="Hello", text="Hi", headers={"List-Unsubscribe": address})
    assert f"\r\nList-Unsubscribe: {address}\r\n".encode() in written(TASK, message, SENDER, AT).as_bytes()
