"""Messages reach real servers, and every kind of failure ends as the rule says."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from integration.event_tracking.providers import MAILGUN_KEY, RESEND_KEY, SMS_LOGIN, Fault, HttpProviders, SmtpServer
from integration.event_tracking.support import EventTracking
from loyalnest.kit.errors import InvalidInput


def resend(providers: HttpProviders) -> dict[str, Any]:
    return {"email_provider": "resend", "resend_url": providers.url, "resend_api_key": RESEND_KEY}


def mailgun(providers: HttpProviders) -> dict[str, Any]:
    return {
        "email_provider": "mailgun",
        "mailgun_url": providers.url,
        "mailgun_api_key": MAILGUN_KEY,
        "mailgun_domain": "acme.example",
    }


def by_sms(providers: HttpProviders) -> dict[str, Any]:
    return {
        "sms_provider": "http",
        "sms_url": f"{providers.url}/sms",
        "sms_username": SMS_LOGIN[0],
        "sms_password": SMS_LOGIN[1],
        "sms_from": "+15550001",
    }


def by_smtp(smtp: SmtpServer) -> dict[str, Any]:
    return {"email_provider": "smtp", "smtp_host": "127.0.0.1", "smtp_port": smtp.port, "smtp_security": "none"}


PERSONAL = ("anna@example.com", "+49", "120 points")


async def ended(tracking: EventTracking, task_id: Any) -> tuple[str, str]:
    """Status and error of a task that ended. Nothing personal is left in it, or in what is told of it."""
    row = await tracking.task(task_id)
    assert row["sealed"] is None
    assert row["finished_at"] is not None
    told = [each for each in await tracking.published("task.completed") if each["task_id"] == str(task_id)]
    assert [(each["outcome"], each.get("error", "")) for each in told] == [(row["status"], row["error"])]
    assert not any(personal in f"{told} {row}" for personal in PERSONAL)
    return row["status"], row["error"]


async def test_resend_gets_the_whole_message_under_the_tasks_key(
    tracking: EventTracking, providers: HttpProviders
) -> None:
    sealed = await tracking.sealed(html="<p>120</p>", reply_to="help@acme.example")
    task_id = await tracking.add(sealed=sealed)
    assert await tracking.worker(**resend(providers)).run_due() == 1
    (taken,) = providers.taken
    assert (taken.to, taken.subject, taken.text) == ("anna@example.com", "Your points", "You have 120 points.")
    assert taken.key == str(task_id)
    row = await tracking.task(task_id)
    assert (row["provider"], row["provider_id"]) == ("resend", "resend-0")
    assert await ended(tracking, task_id) == ("done", "")


async def test_mailgun_gets_a_form_with_a_stable_message_id(tracking: EventTracking, providers: HttpProviders) -> None:
    task_id = await tracking.add()
    await tracking.worker(**mailgun(providers)).run_due()
    (taken,) = providers.taken
    assert (taken.to, taken.text) == ("anna@example.com", "You have 120 points.")
    assert taken.headers["Message-Id"] == f"<{task_id}@acme.example>"
    assert await ended(tracking, task_id) == ("done", "")


async def test_a_text_message(tracking: EventTracking, providers: HttpProviders) -> None:
    task_id = await tracking.add(channel="sms", sealed=await tracking.sealed(to="+4915550100"))
    assert await tracking.worker("email", **resend(providers)).run_due() == 0
    await tracking.worker("sms", **by_sms(providers)).run_due()
    (taken,) = providers.taken
    assert (taken.to, taken.text, taken.headers["From"]) == ("+4915550100", "You have 120 points.", "+15550001")
    assert (await tracking.task(task_id))["provider_id"] == "SM1"


async def test_smtp(tracking: EventTracking, smtp: SmtpServer) -> None:
    sealed = await tracking.sealed(text="Grüße, Änna", html="<b>Grüße</b>", subject="Für dich")
    task_id = await tracking.add(sealed=sealed)
    await tracking.worker(**by_smtp(smtp)).run_due()
    (taken,) = smtp.taken
    assert (taken.to, taken.subject, taken.text) == ("anna@example.com", "Für dich", "Grüße, Änna")
    assert taken.headers["Message-ID"] == f"<{task_id}@acme.example>"
    assert await ended(tracking, task_id) == ("done", "")


async def test_files_where_nothing_is_configured(tracking: EventTracking, tmp_path: Path) -> None:
    email = await tracking.add()
    text = await tracking.add(channel="sms", sealed=await tracking.sealed(to="+4915550100", subject=""))
    for kind in ("email", "sms"):
        await tracking.worker(kind, message_folder=tmp_path / "sent").run_due()
    files = {each.name: each.read_text() for each in (tmp_path / "sent").iterdir()}
    assert files.keys() == {f"{email}.eml", f"{text}.txt"}
    assert "To: anna@example.com" in files[f"{email}.eml"]
    assert files[f"{text}.txt"] == "To: +4915550100\n\nYou have 120 points.\n"
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "sent").iterdir()} == {0o600}
    assert await ended(tracking, email) == ("done", "")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(500, takes=True), "unknown"),
        (Fault(502), "unknown"),
        (Fault(503), "not_taken"),
        (Fault(429, headers={"Retry-After": "3"}), "throttled"),
        (Fault(drop=True, takes=True), "unknown"),
        (Fault(drop=True), "unknown"),
        (Fault(401), "not_taken"),
        (Fault(409, {"name": "concurrent_idempotent_requests"}), "not_taken"),
    ],
)
async def test_resend_is_asked_again_and_sends_once(
    tracking: EventTracking, providers: HttpProviders, fault: Fault, outcome: str
) -> None:
    providers.faults.append(fault)
    task_id = await tracking.add()
    await tracking.worker(**resend(providers)).run_due()
    assert (await tracking.task(task_id))["status"] == "waiting"
    await tracking.finish(tracking.worker(**resend(providers)))
    assert await tracking.outcomes(task_id) == [outcome, "delivered"]
    assert (len(providers.taken), providers.requests) == (1, 2)
    assert await ended(tracking, task_id) == ("done", "")


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("fault", [Fault(500), Fault(502, takes=True), Fault(drop=True), Fault(drop=True, takes=True)])
async def test_who_knows_no_repeats_is_not_asked_again_after_an_unknown_outcome(
    tracking: EventTracking, providers: HttpProviders, fault: Fault, channel: str
) -> None:
    providers.faults.append(fault)
    task_id = await tracking.add(channel=channel, sealed=await tracking.sealed(to="+4915550100"))
    await tracking.finish(tracking.worker(channel, **mailgun(providers), **by_sms(providers)))
    status, error = await ended(tracking, task_id)
    assert status == "failed"
    assert "may have taken this message" in error
    assert await tracking.outcomes(task_id) == ["unknown"]
    assert (len(providers.taken), providers.requests) == (int(fault.takes), 1)


@pytest.mark.parametrize("status", [429, 503, 401, 404])
async def test_who_said_that_it_took_nothing_is_asked_again(
    tracking: EventTracking, providers: HttpProviders, status: int
) -> None:
    providers.faults.append(Fault(status))
    task_id = await tracking.add()
    await tracking.worker(**mailgun(providers)).run_due()
    await tracking.finish(tracking.worker(**mailgun(providers)))
    assert len(providers.taken) == 1
    assert await ended(tracking, task_id) == ("done", "")


async def test_a_message_that_is_refused_is_not_tried_again(tracking: EventTracking, providers: HttpProviders) -> None:
    providers.faults.append(
        Fault(422, {"name": "validation_error", "message": "Invalid `to`: anna@example.com", "statusCode": 422})
    )
    task_id = await tracking.add()
    await tracking.finish(tracking.worker(**resend(providers)))
    assert await ended(tracking, task_id) == ("failed", "resend answered 422 (validation_error).")
    assert providers.requests == 1


async def test_a_provider_that_is_away_loses_nothing(tracking: EventTracking, providers: HttpProviders) -> None:
    settings = [mailgun(providers), by_sms(providers)]
    await providers.stop()
    task_id = await tracking.add()
    await tracking.worker(**settings[0]).run_due()
    assert (await tracking.task(task_id))["error"] == "mailgun cannot be reached (ConnectError)."
    assert await tracking.outcomes(task_id) == ["not_taken"]
    back = HttpProviders()
    await back.start()
    await tracking.finish(tracking.worker(**mailgun(back)))
    assert len(back.taken) == 1
    await back.stop()


async def test_what_another_provider_may_have_is_not_sent_by_this_one(
    tracking: EventTracking, providers: HttpProviders
) -> None:
    providers.faults.append(Fault(500))
    task_id = await tracking.add()
    await tracking.worker(**resend(providers)).run_due()
    await tracking.finish(tracking.worker(**mailgun(providers)))
    status, error = await ended(tracking, task_id)
    assert (status, providers.requests) == ("failed", 1)
    assert "resend may have taken this message" in error


async def test_resend_is_not_asked_again_when_it_has_forgotten_the_key(
    tracking: EventTracking, providers: HttpProviders
) -> None:
    providers.faults.append(Fault(500))
    task_id = await tracking.add()
    worker = tracking.worker(**resend(providers))
    await worker.run_due()
    tracking.clock.advance(hours=23)
    await worker.run_due()
    status, error = await ended(tracking, task_id)
    assert (status, providers.requests) == ("failed", 1)
    assert "may have taken" in error


@pytest.mark.parametrize(
    ("where", "answer", "outcomes", "status"),
    [
        ("rcpt", "450 4.2.1 anna@example.com is busy", ["not_taken", "delivered"], "done"),
        ("data", "451 4.3.0 later", ["not_taken", "delivered"], "done"),
        ("rcpt", "550 5.1.1 no such user anna@example.com", ["rejected"], "failed"),
        ("data", "554 5.7.1 spam", ["rejected"], "failed"),
        ("data", "drop", ["unknown"], "failed"),
    ],
)
async def test_what_an_smtp_server_answers(
    tracking: EventTracking, smtp: SmtpServer, where: str, answer: str, outcomes: list[str], status: str
) -> None:
    (smtp.rcpt_answers if where == "rcpt" else smtp.data_answers).append(answer)
    task_id = await tracking.add()
    await tracking.finish(tracking.worker(**by_smtp(smtp)))
    found, error = await ended(tracking, task_id)
    assert (found, await tracking.outcomes(task_id)) == (status, outcomes)
    assert len(smtp.taken) == (0 if outcomes == ["rejected"] else 1)
    if answer == "drop":
        assert "may have taken this message" in error
    elif status == "failed":
        assert error == f"The SMTP server answered {answer[:9]}."


async def test_an_smtp_server_that_is_away_and_comes_back(tracking: EventTracking, smtp: SmtpServer) -> None:
    settings = by_smtp(smtp)
    await smtp.stop()
    task_id = await tracking.add()
    await tracking.worker(**settings).run_due()
    assert "cannot be reached" in (await tracking.task(task_id))["error"]
    await smtp.start()
    await tracking.finish(tracking.worker(**settings))
    assert len(smtp.taken) == 1
    assert await ended(tracking, task_id) == ("done", "")


async def test_a_server_without_the_tls_that_is_wanted_gets_nothing(tracking: EventTracking, smtp: SmtpServer) -> None:
    task_id = await tracking.add()
    await tracking.worker(**by_smtp(smtp) | {"smtp_security": "starttls"}).run_due()
    await tracking.worker(**by_smtp(smtp) | {"smtp_username": "u", "smtp_password": "p"}).run_due()
    assert await tracking.outcomes(task_id) == ["not_taken"]
    assert smtp.taken == []


@pytest.mark.parametrize(
    "fields",
    [
        {"to": "anna@example.com\r\nBcc: eve@example.com"},
        {"to": "anna@example.com, eve@example.com"},
        {"to": "nobody"},
        {"subject": "x\r\nBcc: eve@example.com"},
        {"headers": {"X-A": "b\r\nBcc: eve@example.com"}},
    ],
)
async def test_no_message_brings_recipients_of_its_own(
    tracking: EventTracking, smtp: SmtpServer, fields: dict[str, Any]
) -> None:
    task_id = await tracking.add(sealed=await tracking.sealed(**fields))
    await tracking.worker(**by_smtp(smtp)).run_due()
    assert (await ended(tracking, task_id))[0] == "failed"
    assert smtp.taken == []


async def test_what_cannot_be_opened_fails_with_words(tracking: EventTracking, tmp_path: Path) -> None:
    other = await tracking.add(sealed=await tracking.sealed("globex"))
    junk = await tracking.add(sealed=(await tracking.keys.for_merchant("acme")).seal("email_event.message", b"[]"))
    gone = await tracking.add("brew")
    tracking.store.destroy("brew")
    tracking.keys.forget("brew")
    await tracking.worker(message_folder=tmp_path).run_due()
    words = {(await ended(tracking, task_id))[1] for task_id in (other, junk, gone)}
    assert len(words) == 3
    assert any("damaged" in each for each in words)
    assert any("keys were destroyed" in each for each in words)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"email_provider": "resend"}, "LOYALNEST_RESEND_API_KEY"),
        ({"email_provider": "mailgun", "mailgun_api_key": "k"}, "LOYALNEST_MAILGUN_DOMAIN"),
        ({"email_provider": "smtp"}, "LOYALNEST_SMTP_HOST"),
        ({"sms_provider": "http"}, "LOYALNEST_SMS_URL"),
    ],
)
def test_a_provider_without_its_settings_does_not_start(
    tracking: EventTracking, settings: dict[str, Any], variable: str
) -> None:
    with pytest.raises(InvalidInput, match=variable):
        tracking.handlers(**settings)


async def test_an_attempt_that_hangs_is_ended(tracking: EventTracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.event_tracking.worker.ATTEMPT_SECONDS", 0.05)
    silent = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    task_id = await tracking.add()
    settings = {"email_provider": "smtp", "smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none"}
    await tracking.worker(**settings).run_due()
    assert "may have taken" in (await ended(tracking, task_id))[1]
    silent.close()
