"""Versions of the rules on a real database."""

import asyncio
import json

import asyncpg
import pytest

from integration.core.support import Core, program, rules_json
from loyalnest.admin_core.events import AuditLog
from loyalnest.core import core_pb2 as pb
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TooLarge


async def current(core: Core, merchant: str = "a") -> pb.Settings:
    found: pb.Settings = await core.call("GetSettings", pb.GetSettingsRequest(), merchant)
    return found


async def change(core: Core, version: int, rate: str, note: str = "") -> pb.Settings:
    request = pb.UpdateSettingsRequest(expected_version=version, rules=rules_json(rate), note=note)
    found: pb.Settings = await core.call("UpdateSettings", request)
    return found


async def changes(core: Core) -> list[tuple[int, str]]:
    read = [SettingsChanged.read(each) for each in await core.published("settings.changed")]
    return [(each.version, bytes(each.rules).decode()) for each in read]


async def test_the_resource_seeds_version_1_once_and_tells_of_it(core: Core) -> None:
    with pytest.raises(NotFound, match="apply its LoyaltyProgram"):
        await current(core)
    await core.settings.provision(program(rate="10"))
    await core.settings.provision(program(rate="99"))
    found = await current(core)
    assert (found.version, found.rules, found.managed_by, found.changed_by) == (
        1,
        rules_json("10"),
        "Dashboard",
        "resource",
    )
    assert await changes(core) == [(1, rules_json("10"))]


async def test_processes_that_start_together_seed_once(core: Core) -> None:
    await asyncio.gather(*(core.settings.provision(program(managed_by="Resource")) for _ in range(8)))
    assert [version for version, _ in await changes(core)] == [1]
    await asyncio.gather(*(core.settings.provision(program(rate="11", managed_by="Resource")) for _ in range(8)))
    assert [version for version, _ in await changes(core)] == [1, 2]


async def test_an_update_is_a_version_told_and_audited(core: Core) -> None:
    await core.settings.provision(program())
    found = await change(core, 1, "12.5", note=" Summer ")
    assert (found.version, found.changed_by, found.note) == (2, "admin-1", "Summer")
    assert await changes(core) == [(1, rules_json("10")), (2, rules_json("12.5"))]
    (audit,) = [AuditLog.read(each) for each in await core.published("audit_log")]
    assert (audit.actor, audit.role, audit.action) == ("admin-1", "owner", "settings.updated")
    assert audit.before["version"] == "1"
    assert '"12.5"' in audit.after["earning"]
    assert "currency" not in audit.after


async def test_equal_rules_make_no_version(core: Core) -> None:
    await core.settings.provision(program())
    spelt = json.dumps(json.loads(rules_json("10")), indent=3)
    found = await core.call("UpdateSettings", pb.UpdateSettingsRequest(expected_version=1, rules=spelt))
    assert found.version == 1
    assert len(await core.published()) == 1


async def test_a_stale_version_is_a_conflict(core: Core) -> None:
    await core.settings.provision(program())
    await change(core, 1, "11")
    with pytest.raises(Conflict, match="version 2 is in force, and version 1 was expected"):
        await change(core, 1, "12")
    assert (await current(core)).rules == rules_json("11")


async def test_of_changes_at_the_same_time_one_wins(core: Core) -> None:
    await core.settings.provision(program())
    done = await asyncio.gather(*(change(core, 1, str(rate)) for rate in range(20, 30)), return_exceptions=True)
    won = [each for each in done if isinstance(each, pb.Settings)]
    assert len(won) == 1
    assert all(isinstance(each, Conflict) for each in done if not isinstance(each, pb.Settings))
    found = await current(core)
    assert (found.version, found.rules) == (2, won[0].rules)
    assert [version for version, _ in await changes(core)] == [1, 2]
    assert len(await core.published("audit_log")) == 1


async def test_wrong_rules_are_refused_with_every_problem(core: Core) -> None:
    await core.settings.provision(program())
    wrong = '{"currency":"usd","earning":{"rules":[]},"tier":1}'
    with pytest.raises(InvalidInput) as caught:
        await core.call("UpdateSettings", pb.UpdateSettingsRequest(expected_version=1, rules=wrong))
    for words in ("currency: must be an ISO 4217 code", "earning.rules: must have at least 1", "did you mean tiers?"):
        assert words in caught.value.detail
    for text in ("", "[]", "{", '{"earning":{"rules":[{"name":"p","trigger":"order","pointsPerUnit":NaN}]}}'):
        with pytest.raises(InvalidInput):
            await core.call("UpdateSettings", pb.UpdateSettingsRequest(expected_version=1, rules=text))
    with pytest.raises(TooLarge):
        await core.call("UpdateSettings", pb.UpdateSettingsRequest(expected_version=1, rules=" " * 300_000))
    with pytest.raises(InvalidInput, match="note"):
        await change(core, 1, "11", note="a\nb")
    assert (await current(core)).version == 1


async def test_the_resource_owns_its_rules(core: Core) -> None:
    await core.settings.provision(program(managed_by="Resource"))
    with pytest.raises(PreconditionFailed, match="rulesManagedBy: Resource"):
        await change(core, 1, "11")
    await core.settings.provision(program(rate="11", managed_by="Resource"))
    found = await current(core)
    assert (found.version, found.rules, found.managed_by, found.changed_by) == (
        2,
        rules_json("11"),
        "Resource",
        "resource",
    )


async def test_the_owner_may_change_both_ways(core: Core) -> None:
    await core.settings.provision(program(rate="10"))
    await change(core, 1, "20")
    await core.settings.provision(program(rate="10", managed_by="Resource"))
    assert [(each, text) for each, text in await changes(core)][-1] == (3, rules_json("10"))
    await core.settings.provision(program(rate="30", managed_by="Dashboard"))
    found = await current(core)
    assert (found.version, found.rules, found.managed_by) == (4, rules_json("10"), "Dashboard")
    assert (await change(core, 4, "40")).version == 5
    await core.settings.provision(program(rate="30", managed_by="Dashboard"))
    assert (await current(core)).version == 5


async def test_every_version_is_kept_and_none_can_be_changed(core: Core) -> None:
    await core.settings.provision(program())
    await core.settings.provision(program("b"))
    for version in range(1, 6):
        await change(core, version, str(50 + version))
    page = await core.call("ListSettingsVersions", pb.ListSettingsVersionsRequest(page_size=4))
    rest = await core.call("ListSettingsVersions", pb.ListSettingsVersionsRequest(page_token=page.next_page_token))
    assert [each.version for each in (*page.versions, *rest.versions)] == [6, 5, 4, 3, 2, 1]
    assert rest.next_page_token == ""
    assert (await current(core, "b")).version == 1
    for statement in ("UPDATE core.program_settings SET note = 'x'", "DELETE FROM core.program_settings"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with core.database.request("a") as connection:
                await connection.execute(statement)
