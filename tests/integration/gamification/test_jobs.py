"""Rules that are new or changed are applied to the past, deleted badges go: resumed wherever they were killed."""

import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from integration.gamification.support import NOON, Rig, clawed_back, draft, earned, settings_changed
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Conflict


async def test_a_new_rule_is_applied_to_the_past(rig: Rig) -> None:
    await rig.give(*(earned("acme", each, each, str(each)) for each in range(1, 11)), earned("brew", 1, 10, "100"))
    assert await rig.jobs.sweep() == 0
    await rig.add_badge("acme", "big", "spend", "8")
    assert await rig.held("acme") == set()
    assert await rig.jobs.sweep() == 10
    assert await rig.held("acme") == {(8, "big"), (9, "big"), (10, "big")}
    assert await rig.held("brew") == set()
    assert await rig.jobs.sweep() == 0
    assert len(await rig.told(BadgeAwarded)) == 3


@pytest.mark.parametrize("take_back", [True, False])
async def test_a_changed_rule_gives_and_takes(rig: Rig, take_back: bool) -> None:
    await rig.give(*(earned("acme", each, each, str(each)) for each in range(1, 6)))
    await rig.add_badge("acme", "big", "spend", "4", take_back_on_refund=take_back)
    await rig.jobs.sweep()
    for version, (target, holders) in enumerate([("3", {3, 4, 5}), ("5", {5} if take_back else {3, 4, 5})], 1):
        with as_merchant("acme", actor="admin:1", role="owner"):
            await rig.service.update("acme", version, draft("big", "spend", target, take_back_on_refund=take_back))
        await rig.jobs.sweep()
        assert {customer for customer, _ in await rig.held("acme")} == holders


async def test_a_badge_that_is_not_enabled_neither_comes_nor_goes(rig: Rig) -> None:
    await rig.add_badge("acme", "one", "orders", "1")
    await rig.give(earned("acme", 1, 7, "1"))
    with as_merchant("acme", actor="admin:1", role="owner"):
        await rig.service.update("acme", 1, draft("one", "orders", "1", enabled=False))
    await rig.jobs.sweep()
    await rig.give(clawed_back("acme", 1, 7, "0"), earned("acme", 2, 8, "1"))
    assert await rig.held("acme") == {(7, "one")}
    assert (set(await rig.progress("acme", 7)), set(await rig.progress("acme", 8))) == ({"one"}, set())
    with as_merchant("acme", actor="admin:1", role="owner"):
        await rig.service.update("acme", 2, draft("one", "orders", "1"))
    await rig.jobs.sweep()
    assert await rig.held("acme") == {(8, "one")}


async def test_another_time_zone_is_applied_to_the_past(rig: Rig) -> None:
    await rig.add_badge("brew", "streak", "weekly_streak", "2")
    late = NOON.replace(hour=23, minute=30)  # a Sunday in UTC, Monday in Berlin
    await rig.give(*(earned("brew", each, 7, "1", placed_at=at) for each, at in enumerate((NOON, late), 1)))
    await rig.jobs.sweep()
    assert await rig.held("brew") == set()
    await rig.give(settings_changed("brew", 2, "Europe/Berlin"))
    await rig.jobs.sweep()
    assert await rig.held("brew") == {(7, "streak")}
    await rig.give(settings_changed("brew", 1, "UTC"), settings_changed("brew", 3, "Europe/Berlin"))
    assert await rig.jobs.sweep() == 0, "an older version, and one with the same zone, change nothing"


async def test_a_sweep_that_is_killed_anywhere_is_taken_up(
    rig: Rig, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.gamification.jobs.CHUNK", 4)
    await rig.give(*(earned("acme", each, each, str(each)) for each in range(1, 7)))
    kills = 0
    async for database in killed_before_each_statement(rig.database, database_url):
        kills += 1
        await rig.add_badge("acme", f"b{kills}", "spend", "5")
        await until_death(rig.jobs_on(database).sweep)
        await rig.jobs.sweep()
        expected = {(each, f"b{number}") for each in range(5, 7) for number in range(1, kills + 1)}
        assert await rig.held("acme") == expected
        assert len(await rig.told(BadgeAwarded)) == len(expected)
    assert kills > 20


async def test_a_rule_that_changes_while_a_sweep_runs_is_not_missed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.gamification.jobs.CHUNK", 2)
    await rig.give(*(earned("acme", each, each, "10") for each in range(1, 6)))
    await rig.add_badge("acme", "first", "orders", "1")
    assert await rig.jobs._sweep_chunk("acme") == 2
    await rig.add_badge("acme", "second", "orders", "1")  # customers 1 and 2 were looked at already
    await rig.jobs.sweep()
    assert await rig.held("acme") == {(each, badge) for each in range(1, 6) for badge in ("first", "second")}


async def test_a_deleted_badge_goes_from_its_holders(
    rig: Rig, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.gamification.jobs.CHUNK", 2)
    deleted = 0
    async for database in killed_before_each_statement(rig.database, database_url):
        deleted += 1
        key = f"b{deleted}"
        await rig.add_badge("acme", key, "orders", "1")
        await rig.give(*(earned("acme", deleted * 10 + each, each, "1") for each in range(1, 6)))
        await rig.jobs.sweep()
        with as_merchant("acme", actor="admin:1", role="owner"):
            await rig.service.delete("acme", key)
            with pytest.raises(Conflict, match="being taken from its holders"):
                await rig.service.create("acme", draft(key, "orders", "1"))
        assert await rig.progress("acme", 1) == {}
        await until_death(rig.jobs_on(database).drop_deleted)
        await rig.jobs.drop_deleted()
        assert await rig.held("acme") == set()
        told = [each for each in await rig.told(BadgeAwarded) if each.badge == key]
        assert sorted((each.customer_id, each.revoked) for each in told) == [
            (customer, revoked) for customer in range(1, 6) for revoked in (False, True)
        ]
    assert deleted > 10
    with as_merchant("acme", actor="admin:1", role="owner"):
        await rig.service.create("acme", draft("b1", "orders", "1"))
