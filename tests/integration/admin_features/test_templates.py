"""Templates, settings and tests over gRPC: versions, roles, bad input, two merchants."""

from typing import Any

import pytest

from integration.admin_features.support import Rig
from loyalnest.admin_features import admin_features_pb2 as pb
from loyalnest.kit.errors import Conflict, Forbidden, InvalidInput, LoyalNestError, NotFound, RateLimited

FOOT = "{{ unsubscribe_url }}"


def key(event: str = "points_earned", language: str = "de", channel: str = "email") -> pb.TemplateKey:
    return pb.TemplateKey(event=event, channel=channel, language=language)


def source(word: str) -> dict[str, str]:
    return {"subject": f"{word} {{{{ points }}}}", "text": word + FOOT, "html": f"<p>{word}</p>{FOOT}"}


async def create(rig: Rig, word: str = "one", of: pb.TemplateKey | None = None, merchant: str = "acme") -> Any:
    request = pb.CreateEmailTemplateRequest(key=of or key(), **source(word))
    return await rig.call("CreateEmailTemplate", request, merchant)


async def update(rig: Rig, word: str, expected_version: int) -> Any:
    request = pb.UpdateEmailTemplateRequest(key=key(), expected_version=expected_version, **source(word))
    return await rig.call("UpdateEmailTemplate", request)


async def test_the_life_of_a_template(rig: Rig) -> None:
    ours = await rig.call("GetEmailTemplate", key())
    assert (ours.version, ours.is_default, ours.subject[:4]) == (0, True, "{{ p")
    made = await create(rig)
    assert (made.version, made.is_default, made.changed_by) == (1, False, "admin-1")
    with pytest.raises(Conflict):
        await create(rig)
    assert (await update(rig, "two", 1)).version == 2
    with pytest.raises(Conflict):
        await update(rig, "three", 1)
    restored = await rig.call("RestoreTemplate", pb.RestoreTemplateRequest(key=key(), version=1))
    assert (restored.version, restored.subject) == (3, "one {{ points }}")
    back = await rig.call("DeleteEmailTemplate", key())
    assert (back.is_default, back.subject) == (True, ours.subject)
    with pytest.raises(NotFound):
        await rig.call("DeleteEmailTemplate", key())
    with pytest.raises(NotFound):
        await update(rig, "four", 4)
    with pytest.raises(NotFound):  # of version 4 nothing can be restored
        await rig.call("RestoreTemplate", pb.RestoreTemplateRequest(key=key(), version=4))
    assert (await create(rig, "five")).version == 5
    page = await rig.call("ListTemplateVersions", pb.ListTemplateVersionsRequest(key=key(), page_size=3))
    rest = await rig.call(
        "ListTemplateVersions", pb.ListTemplateVersionsRequest(key=key(), page_token=page.next_page_token)
    )
    assert [each.version for each in (*page.versions, *rest.versions)] == [5, 4, 3, 2, 1]
    actions = [(each["action"], each["after"]["version"]) for each in await rig.audited()]
    assert actions == [
        ("email_template.created", "1"),
        ("email_template.updated", "2"),
        ("email_template.restored", "3"),
        ("email_template.deleted", "4"),
        ("email_template.created", "5"),
    ]


async def test_a_mail_is_written_with_the_merchants_own(rig: Rig) -> None:
    await create(rig, "Servus")
    await create(rig, "Olá", key(language="pt_br"))
    for customer_id, locale in ((1, "de-AT"), (2, "pt-BR"), (3, "pt"), (4, "en")):
        await rig.customer(customer_id, locale=locale)
        await rig.tell(rig.earned(customer_id))
    subjects = [message.subject for _, message in await rig.sent()]
    assert subjects[:2] == ["Servus 120", "Olá 120"]
    assert subjects[2] == subjects[3] == "You earned 120 points at Acme Tea"
    listed = (await rig.call("ListMessages", pb.ListMessagesRequest())).messages
    assert [(each.language, each.template_version) for each in listed] == [
        ("en", 0), ("en", 0), ("pt-BR", 1), ("de", 1),
    ]  # fmt: skip


async def test_a_template_that_fails_when_it_is_sent_gives_way_to_ours(rig: Rig) -> None:
    """It cannot be saved; one that an older version of LoyalNest took may be there."""
    await create(rig)
    await rig.sql("UPDATE admin_features.email_templates SET text = '{{ gone }}'")
    await rig.customer(1, locale="de")
    await rig.tell(rig.earned(1))
    assert (await rig.sent())[0][1].subject == "120 Punkte für deine Bestellung bei Acme Tea"


async def test_two_merchants(rig: Rig) -> None:
    await create(rig, "mine")
    assert (await rig.call("GetEmailTemplate", key(), "brew")).is_default
    listed = (await rig.call("ListEmailTemplates", pb.ListEmailTemplatesRequest())).templates
    assert len(listed) == 9 * 5
    assert [each.key.event for each in listed if not each.is_default] == ["points_earned"]
    await create(rig, "theirs", merchant="brew")
    assert (await rig.call("GetEmailTemplate", key())).text == "mine" + FOOT


async def test_previews(rig: Rig) -> None:
    made = await rig.call("PreviewTemplate", pb.PreviewTemplateRequest(key=key()))
    assert made.subject == "120 Punkte für deine Bestellung bei Acme Tea"
    assert "Anna" in made.html
    made = await rig.call("PreviewTemplate", pb.PreviewTemplateRequest(key=key(), **source("Mine")))
    assert made.subject == "Mine 120"
    with pytest.raises(InvalidInput, match="text line 2: there is no variable 'x'"):
        await rig.call("PreviewTemplate", pb.PreviewTemplateRequest(key=key(), subject="s", text="\n{{ x }}", html="h"))


async def test_a_test_is_sent_and_followed(rig: Rig) -> None:
    request = pb.SendTestRequest(key=key(), to="Me@Example.org")
    sent = await rig.call("SendTest", request)
    ((event, message),) = await rig.sent()
    assert (str(event.message_id), event.customer_id, event.reason) == (sent.message_id, None, "test:points_earned")
    assert message.to == "Me@example.org"
    assert "120 Punkte" in message.subject
    await rig.finish(event.message_id)
    found = await rig.call("GetMessage", pb.GetMessageRequest(message_id=sent.message_id))
    assert (found.status, found.customer_id) == ("sent", 0)
    sms = pb.SendTestRequest(key=key("referral_invitation", "fr", "sms"), to="+49 (151) 1234-5678")
    await rig.call("SendTest", sms)
    assert (await rig.sent())[-1][1].to == "+4915112345678"
    for _ in range(18):
        await rig.call("SendTest", request)
    with pytest.raises(RateLimited):
        await rig.call("SendTest", request)
    await rig.call("SendTest", request, "brew")
    rig.clock.advance(hours=1)
    await rig.call("SendTest", request)
    stored = str([tuple(row) for row in await rig.sql("SELECT * FROM admin_features.email_events")])
    assert "example.org" not in stored.lower()


async def test_settings_have_versions_and_are_audited(rig: Rig) -> None:
    first = await rig.call("GetEmailSettings", pb.GetEmailSettingsRequest())
    assert (first.version, first.shop_name, first.shop_url, first.changed_by) == (
        1, "Acme Tea", "https://acme-tea.myshopify.com", "resource",
    )  # fmt: skip
    changed = await rig.settings(reply_to="help@acme.example", disabled=["joining", "badge_awarded"])
    assert (changed.version, list(changed.disabled)) == (2, ["badge_awarded", "joining"])
    assert (await rig.settings()).version == 2  # equal ones make no new version
    first.daily_cap = 9
    with pytest.raises(Conflict):
        await rig.call("UpdateEmailSettings", first)
    with pytest.raises(InvalidInput, match="daily_cap must be between 1 and 50"):
        await rig.settings(daily_cap=0)
    (told,) = await rig.audited()
    assert told["before"] == {"reply_to": "", "disabled": ""}
    assert told["after"] == {"reply_to": "help@acme.example", "disabled": "badge_awarded,joining"}
    versions = await rig.call("ListEmailSettingsVersions", pb.ListEmailSettingsVersionsRequest())
    assert [each.version for each in versions.versions] == [2, 1]
    events = (await rig.call("ListEmailEvents", pb.ListEmailEventsRequest())).events
    assert {each.event for each in events if not each.enabled} == {"joining", "badge_awarded"}
    await rig.add_merchant("acme")  # provisioned again
    assert (await rig.call("GetEmailSettings", pb.GetEmailSettingsRequest())).version == 2
    assert (await rig.call("GetEmailSettings", pb.GetEmailSettingsRequest(), "brew")).version == 1


CALLS: list[tuple[str, Any, bool]] = [
    ("ListEmailEvents", pb.ListEmailEventsRequest(), False),
    ("CreateEmailTemplate", pb.CreateEmailTemplateRequest(key=key(), **source("x")), True),
    ("GetEmailTemplate", key(), False),
    ("ListEmailTemplates", pb.ListEmailTemplatesRequest(), False),
    ("UpdateEmailTemplate", pb.UpdateEmailTemplateRequest(key=key(), expected_version=1, **source("x")), True),
    ("DeleteEmailTemplate", key(), True),
    ("ListTemplateVersions", pb.ListTemplateVersionsRequest(key=key()), False),
    ("RestoreTemplate", pb.RestoreTemplateRequest(key=key(), version=1), True),
    ("PreviewTemplate", pb.PreviewTemplateRequest(key=key()), False),
    ("SendTest", pb.SendTestRequest(key=key(), to="a@b.example"), True),
    ("GetEmailSettings", pb.GetEmailSettingsRequest(), False),
    ("UpdateEmailSettings", pb.EmailSettings(version=1), True),
    ("ListEmailSettingsVersions", pb.ListEmailSettingsVersionsRequest(), False),
    ("ListMessages", pb.ListMessagesRequest(), False),
    ("GetMessage", pb.GetMessageRequest(message_id="x"), False),
    ("GetAddress", pb.GetAddressRequest(email="a@b.example"), False),
    ("ClearBounce", pb.GetAddressRequest(email="a@b.example"), True),
]


@pytest.mark.parametrize(("method", "request_", "writes"), CALLS, ids=[call[0] for call in CALLS])
async def test_who_may_call(rig: Rig, method: str, request_: Any, writes: bool) -> None:
    for role in ("shopper", "", *(["support"] if writes else [])):
        with pytest.raises(Forbidden):
            await rig.call(method, request_, role=role)
    try:
        await rig.call(method, request_, role="staff" if writes else "support")
    except LoyalNestError as error:
        if isinstance(error, Forbidden):
            raise


@pytest.mark.parametrize(
    ("method", "request_", "error"),
    [
        ("GetEmailTemplate", key("nothing"), NotFound),
        ("GetEmailTemplate", key(channel="sms"), NotFound),
        ("GetEmailTemplate", key(channel="fax"), NotFound),
        ("GetEmailTemplate", key(language="it"), NotFound),
        ("GetEmailTemplate", key(language="../en"), InvalidInput),
        ("GetEmailTemplate", key(language=""), InvalidInput),
        ("GetEmailTemplate", pb.TemplateKey(), NotFound),
        ("CreateEmailTemplate", pb.CreateEmailTemplateRequest(key=key()), InvalidInput),
        (
            "CreateEmailTemplate",
            pb.CreateEmailTemplateRequest(key=key(), subject="s", text="t", html="h"),
            InvalidInput,
        ),
        (
            "CreateEmailTemplate",
            pb.CreateEmailTemplateRequest(key=key("referral_invitation", "de", "sms"), subject="s", text="t"),
            InvalidInput,
        ),
        ("RestoreTemplate", pb.RestoreTemplateRequest(key=key(), version=-1), NotFound),
        ("ListTemplateVersions", pb.ListTemplateVersionsRequest(key=key(), page_token="x"), InvalidInput),
        ("SendTest", pb.SendTestRequest(key=key(), to="nobody"), InvalidInput),
        ("SendTest", pb.SendTestRequest(key=key(), to="a@b.example\nBcc: c@d.example"), InvalidInput),
        ("SendTest", pb.SendTestRequest(key=key("referral_invitation", "de", "sms"), to="0151 1234"), InvalidInput),
        ("ListMessages", pb.ListMessagesRequest(status="lost"), InvalidInput),
        ("ListMessages", pb.ListMessagesRequest(customer_id=-1), InvalidInput),
        ("ListMessages", pb.ListMessagesRequest(page_token="x"), InvalidInput),
        ("GetMessage", pb.GetMessageRequest(message_id="x"), InvalidInput),
        ("GetMessage", pb.GetMessageRequest(message_id="00000000-0000-7000-8000-000000000000"), NotFound),
        ("GetAddress", pb.GetAddressRequest(email="x"), InvalidInput),
        ("ClearBounce", pb.GetAddressRequest(email="a@b.example"), NotFound),
        ("GetSubscription", pb.SubscriptionRequest(token="x"), NotFound),
        ("TakeProviderEvent", pb.TakeProviderEventRequest(provider="x"), NotFound),
    ],
)
async def test_bad_input(rig: Rig, method: str, request_: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await rig.call(method, request_)
