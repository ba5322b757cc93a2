"""The audit log: entered once, in order, per merchant; readable by who may; and any tampering found."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from prometheus_client import REGISTRY

from integration.admin_core.support import START, AdminCore, said
from loyalnest.admin_core import admin_core_pb2 as pb
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import Forbidden, InvalidInput
from loyalnest.kit.events import Event


async def enter(admin_core: AdminCore, *events: Event) -> None:
    """Handle a batch as the consumer loop does: outages are tried again."""
    for _ in range(100):
        try:
            return await admin_core.trail.handle(events)
        except OUTAGES:
            await asyncio.sleep(0.002)
    raise AssertionError("the batch never went through")


async def test_each_event_is_entered_once_and_in_its_order(admin_core: AdminCore) -> None:
    events = [said(subject=f"settings:{number}", number=str(number)) for number in range(20)]
    await enter(admin_core, *events[:12], *events[3:5])
    await enter(admin_core, *events[8:])
    await enter(admin_core, *events)
    shown = await admin_core.entries()
    assert [each.after["number"] for each in reversed(shown)] == [str(number) for number in range(20)]
    assert [each.sequence for each in shown] == list(range(20, 0, -1))
    assert await admin_core.verified() == []


async def test_merchants_have_chains_of_their_own_and_see_nothing_of_others(admin_core: AdminCore) -> None:
    mixed = [said(subject=f"s:{n}", merchant=random.Random(n).choice(["acme", "globex"])) for n in range(30)]
    batches = [mixed[start : start + 10] for start in range(0, 30, 5)]
    await asyncio.gather(*(enter(admin_core, *batch) for batch in batches))
    counts = {name: sum(each.merchant_id == name for each in mixed) for name in ("acme", "globex")}
    for merchant, count in counts.items():
        shown = await admin_core.entries(merchant)
        assert sorted(each.sequence for each in shown) == list(range(1, count + 1))
        assert await admin_core.verified(merchant) == []
        async with admin_core.database.request(merchant) as connection:
            assert await connection.fetchval("SELECT count(*) FROM admin_core.audit_logs") == count
    assert await admin_core.entries("nobody") == []


async def test_entries_are_found_by_who_what_whom_and_when(admin_core: AdminCore) -> None:
    await enter(
        admin_core,
        said(actor="admin:1", subject="customer:5", at=START),
        said("redemption.cancelled", "redemption:x", actor="admin:2", at=START + timedelta(days=1), customer_id="5"),
        said("settings.updated", "settings", actor="admin:1", at=START + timedelta(days=2)),
        said("points.redeemed", "redemption:y", actor="shopper:6", at=START + timedelta(days=3)),
    )

    async def found(**wanted: str) -> list[int]:
        return [each.sequence for each in await admin_core.entries(**wanted)]

    assert await found() == [4, 3, 2, 1]
    assert await found(actor="admin:1") == [3, 1]
    assert await found(action="settings.updated") == [3]
    assert await found(subject="customer:5") == [2, 1]
    assert await found(subject="customer:6") == [4]
    assert await found(subject="redemption:x") == [2]
    assert await found(subject="customer:7") == []
    assert await found(since=(START + timedelta(days=1)).isoformat(), until="2026-03-03T12:00:00Z") == [2]
    shown = await admin_core.entries()
    assert (shown[0].actor, shown[3].subject) == ("shopper:6", "customer:5")
    first = await admin_core.call("GetAuditLogs", pb.GetAuditLogsRequest(page_size=3))
    rest = await admin_core.call("GetAuditLogs", pb.GetAuditLogsRequest(page_token=first.next_page_token))
    assert [each.sequence for page in (first, rest) for each in page.entries] == [4, 3, 2, 1]
    assert rest.next_page_token == ""


async def test_no_customer_stands_in_the_clear(admin_core: AdminCore) -> None:
    await enter(
        admin_core,
        said(subject="customer:7770001110777", actor="shopper:7770001110777", reason="Sorry, Anna"),
        said("referral.approved", "referral:x", referrer_id="7770001110777", friend_id="7770001110888", reason="Anna"),
    )
    rows = [row for rows in (await admin_core.everything()).values() for row in rows]
    assert rows
    assert not [row for row in rows if "777000111" in row or "Anna" in row]
    assert [each.after["reason"] for each in await admin_core.entries()] == ["Anna", "Sorry, Anna"]


async def test_roles_may_only_add_and_read(admin_core: AdminCore) -> None:
    await enter(admin_core, said())
    for statement in (
        "UPDATE admin_core.audit_logs SET actor = 'x'",
        "DELETE FROM admin_core.audit_logs",
        "TRUNCATE admin_core.audit_logs",
        "DELETE FROM admin_core.audit_heads",
        "DELETE FROM admin_core.audit_mentions",
    ):
        for transaction in (admin_core.database.worker(), admin_core.database.request("acme")):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with transaction as connection:
                    await connection.execute(statement)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE admin_core.audit_logs SET actor = 'admin:2' WHERE sequence = 3",
        "UPDATE admin_core.audit_logs SET after = '{}' WHERE sequence = 5",
        "UPDATE admin_core.audit_logs SET at = at + interval '1 microsecond' WHERE sequence = 1",
        "UPDATE admin_core.audit_logs SET sealed = sealed || '\\x00' WHERE sequence = 1",
        "DELETE FROM admin_core.audit_logs WHERE sequence = 4",
        "DELETE FROM admin_core.audit_logs WHERE sequence = 6",
        "DELETE FROM admin_core.audit_logs",
        "UPDATE admin_core.audit_logs SET sequence = 7 WHERE sequence = 2",
        """
        WITH gone AS (DELETE FROM admin_core.audit_logs WHERE sequence = 6)
        UPDATE admin_core.audit_heads h SET sequence = 5, hash = l.hash
        FROM admin_core.audit_logs l WHERE l.merchant_id = h.merchant_id AND l.sequence = 5
        """,
    ],
)
async def test_tampering_is_found_and_stands_until_it_is_mended(admin_core: AdminCore, tampering: str) -> None:
    await enter(admin_core, said(), *(said(subject="settings", number=str(n)) for n in range(5)))
    assert await admin_core.verification.run() == 1
    assert await admin_core.verification.run() == 0
    backup = await admin_core.sql("SELECT * FROM admin_core.audit_logs")
    heads = await admin_core.sql("SELECT * FROM admin_core.audit_heads")
    await admin_core.sql(tampering)
    assert await admin_core.verified() != []
    admin_core.pass_time(days=1, minutes=1)
    assert await admin_core.verification.run() == 1
    await admin_core.verification.observe()
    assert (REGISTRY.get_sample_value("loyalnest_audit_problems") or 0) > 0
    async with admin_core.database.session() as session:
        for table, rows in (("audit_logs", backup), ("audit_heads", heads)):
            await session.execute(f"DELETE FROM admin_core.{table}")
            await session.copy_records_to_table(table, schema_name="admin_core", records=[tuple(row) for row in rows])
    assert await admin_core.verified() == []
    await admin_core.verification.observe()
    assert REGISTRY.get_sample_value("loyalnest_audit_problems") == 0


async def test_a_long_log_is_read_in_pages(admin_core: AdminCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.admin_core.audit_repository.PAGE", 7)
    await enter(admin_core, *(said(subject=f"customer:{n}", text="ü\0\U0001f600", reason=f"{n}") for n in range(1, 51)))
    assert await admin_core.verified() == []
    assert len(await admin_core.entries()) == 50
    await admin_core.sql("UPDATE admin_core.audit_logs SET hash = sha256(hash) WHERE sequence = 29")
    assert len(await admin_core.verified()) == 2  # there, and after it


async def test_what_is_no_entry_is_a_fault_of_its_own(admin_core: AdminCore) -> None:
    broken = msgspec.structs.replace(said(), payload=b'{"actor": 5}')
    with pytest.raises(msgspec.ValidationError):
        await admin_core.trail.handle([said(), broken])
    assert await admin_core.entries() == []


async def test_bad_input_and_who_may_read(admin_core: AdminCore) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"since": "yesterday"},
        {"until": "2026-05-01T00:00:00"},
        {"page_size": -1},
        {"page_token": "x"},
        {"actor": "a\0"},
        {"subject": "x" * 201},
    )
    for each in wrong:
        with pytest.raises(InvalidInput):
            await admin_core.call("GetAuditLogs", pb.GetAuditLogsRequest(**each))
    for method, request in (
        ("GetAuditLogs", pb.GetAuditLogsRequest()),
        ("VerifyAuditLog", pb.VerifyAuditLogRequest()),
    ):
        for role in ("", "shopper"):
            with pytest.raises(Forbidden):
                await admin_core.call(method, request, role=role)
        await admin_core.call(method, request, role="support")
