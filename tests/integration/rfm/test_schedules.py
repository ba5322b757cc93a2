"""Schedules come from the program and then from its settings; due runs happen once; partitions are made ahead."""

from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import REGISTRY

from integration.rfm.support import NOON, Rig, earned, rules, settings_changed
from loyalnest.kit.program import Credentials, Program, ProgramSpec, Shop


def program(merchant_id: str, cron: str, timezone: str) -> Program:
    shop = Shop.model_validate(
        {"domain": f"{merchant_id}.myshopify.com", "credentialsSecret": {"name": "x", "namespace": "y"}}
    )
    of = rules(cron, timezone)
    spec = ProgramSpec(shop=shop, earning=of.earning, rfm=of.rfm)
    return Program(merchant_id, spec, Credentials(api_key="k", api_secret="s"), Path("test.yaml"))


async def test_a_program_gives_its_first_schedule_and_never_another(rig: Rig) -> None:
    await rig.service.provision(program("acme", "0 1 * * *", "America/New_York"))
    await rig.service.provision(program("acme", "0 5 * * *", "UTC"))
    state = await rig.service.state("acme")
    assert (state.cron, state.timezone, state.settings_version) == ("0 1 * * *", "America/New_York", 1)
    assert state.next_run_at == datetime(2026, 11, 16, 6, tzinfo=UTC)


async def test_settings_count_by_version_in_any_order(rig: Rig) -> None:
    third = settings_changed("acme", 3, "0 3 * * *", "UTC")
    second = settings_changed("acme", 2, "0 2 * * *", "UTC")
    await rig.schedules.settings_changed([third, second])
    await rig.schedules.settings_changed([second])
    state = await rig.service.state("acme")
    assert (state.cron, state.settings_version) == ("0 3 * * *", 3)
    assert state.next_run_at == datetime(2026, 11, 16, 3, tzinfo=UTC)
    await rig.schedules.settings_changed([settings_changed("acme", 4, "0 4 * * *", "Europe/Berlin")])
    assert (await rig.service.state("acme")).next_run_at == datetime(2026, 11, 16, 3, tzinfo=UTC)


async def test_a_run_that_is_due_stays_due_when_the_settings_change(rig: Rig) -> None:
    await rig.set_schedule("acme", "0 1 * * *")
    rig.clock.move(days=1)
    await rig.schedules.settings_changed([settings_changed("acme", 2, "0 20 * * *", "UTC")])
    assert await rig.jobs.refresh_due() == 1
    assert (await rig.service.state("acme")).next_run_at == datetime(2026, 11, 16, 20, tzinfo=UTC)


async def test_runs_missed_while_down_are_made_up_by_one(rig: Rig) -> None:
    await rig.set_schedule("acme", "0 1 * * *", "Europe/Berlin")
    await rig.set_schedule("brew", "0 1 * * 1", "UTC")
    await rig.give([earned("acme", 1, 1, "10")])
    assert await rig.jobs.refresh_due() == 0
    rig.clock.move(days=5)  # from Sunday to Friday
    assert await rig.jobs.refresh_due() == 2
    state = await rig.service.state("acme")
    assert state.refreshed_at == rig.clock()
    assert state.next_run_at == datetime(2026, 11, 21, 0, tzinfo=UTC)
    assert (await rig.service.state("brew")).next_run_at == datetime(2026, 11, 23, 1, tzinfo=UTC)
    assert await rig.jobs.refresh_due() == 0


async def test_a_refresh_before_its_time_leaves_the_schedule(rig: Rig) -> None:
    await rig.set_schedule("acme")
    before = await rig.service.state("acme")
    await rig.service.refresh("acme")
    after = await rig.service.state("acme")
    assert after.next_run_at == before.next_run_at
    assert after.refreshed_at == NOON


async def test_partitions_are_made_ahead_once(rig: Rig) -> None:
    rig.clock.now = datetime(2031, 12, 31, 23, 30, tzinfo=UTC)
    assert await rig.jobs.make_partitions() == 6
    assert await rig.jobs.make_partitions() == 0
    await rig.give([earned("acme", 1, 1, "10")])
    (row,) = await rig.fetch("SELECT tableoid::regclass::text AS part FROM rfm.rfm_segment_deltas")
    assert row["part"] == "rfm.rfm_segment_deltas_203112"
    (row,) = await rig.fetch("SELECT DISTINCT tableoid::regclass::text AS part FROM rfm.rfm_segment_counts")
    assert row["part"] == "rfm.rfm_segment_counts_203112"


async def test_a_month_without_a_partition_loses_nothing(rig: Rig) -> None:
    rig.clock.now = datetime(2040, 5, 5, tzinfo=UTC)
    await rig.give([earned("acme", 1, 1, "10")])
    (row,) = await rig.fetch("SELECT tableoid::regclass::text AS part FROM rfm.rfm_segment_deltas")
    assert row["part"] == "rfm.rfm_segment_deltas_other"
    assert await rig.jobs.make_partitions() == 4  # June and July; May has rows in the default partition
    await rig.refresher.refresh("acme")


async def test_a_refresh_that_does_not_happen_shows(rig: Rig) -> None:
    async def overdue() -> float | None:
        await rig.jobs.observe()
        return REGISTRY.get_sample_value("loyalnest_rfm_refresh_overdue_seconds")

    assert await overdue() == 0
    await rig.set_schedule("acme", "0 1 * * *")
    await rig.set_schedule("brew", "0 14 * * *")
    assert await overdue() == 0
    rig.clock.move(hours=3)
    assert await overdue() == 3600
    rig.clock.move(hours=12)
    assert await overdue() == 13 * 3600
    await rig.jobs.refresh_due()
    assert await overdue() == 0
