"""Waves of a fleet upgrade."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loyalnest_operator.rollout import Member, plan

OLD, NEW = "l:1", "l:2"


def fleet(count: int, canaries: int = 0) -> list[Member]:
    return [Member(f"p{number}", OLD, ready=True, failed=False, canary=number < canaries) for number in range(count)]


def upgraded(members: list[Member], admitted: frozenset[str]) -> list[Member]:
    return [replace(each, image=NEW) if each.name in admitted else each for each in members]


def test_waves_grow_and_end_with_all() -> None:
    members, sizes = fleet(100, canaries=2), []
    while any(each.image == OLD for each in members):
        found = plan(members, NEW, [5, 25, 100])
        sizes.append(len(found.admitted))
        members = upgraded(members, found.admitted)
    assert sizes == [2, 5, 25, 100]


def test_canaries_are_first() -> None:
    assert plan(fleet(50, canaries=3), NEW, [10]).admitted == {"p0", "p1", "p2"}


def test_a_wave_waits_until_all_of_the_one_before_are_ready() -> None:
    members = fleet(10)
    first = plan(members, NEW, [50]).admitted
    unready = [replace(each, image=NEW, ready=False) if each.name in first else each for each in members]
    assert plan(unready, NEW, [50]).admitted == first
    assert len(plan(upgraded(members, first), NEW, [50]).admitted) == 5


def test_a_failure_stops_the_upgrade_and_is_named() -> None:
    members = fleet(20)
    first = plan(members, NEW, [10, 100]).admitted
    (name,) = first
    broken = [replace(each, image=NEW, ready=False, failed=True) if each.name in first else each for each in members]
    found = plan(broken, NEW, [10, 100])
    assert (found.admitted, found.halted_by, found.wave, found.waves) == (first, name, 1, 3)


def test_a_program_that_fails_with_the_old_image_stops_nobody() -> None:
    members = [replace(each, failed=True, ready=False) if each.name == "p3" else each for each in fleet(4)]
    assert not plan(members, NEW, [100]).halted_by


def test_a_new_program_gets_the_new_image_at_once() -> None:
    found = plan([*fleet(10), Member("new", "", ready=False, failed=False)], NEW, [10])
    assert "new" in found.admitted


MEMBERS = st.lists(
    st.builds(
        Member,
        name=st.uuids().map(str),
        image=st.sampled_from(["", OLD, NEW, "l:0"]),
        ready=st.booleans(),
        failed=st.booleans(),
        canary=st.booleans(),
    ),
    max_size=30,
)


@given(MEMBERS, st.lists(st.integers(1, 100), max_size=4))
def test_whoever_has_the_image_keeps_it_and_a_halt_admits_nobody_else(
    members: list[Member], percents: list[int]
) -> None:
    found = plan(members, NEW, percents)
    settled = {each.name for each in members if each.image in ("", NEW)}
    assert settled <= found.admitted
    if found.halted_by:
        assert found.admitted == settled


@given(MEMBERS, st.lists(st.integers(1, 100), max_size=4))
def test_a_healthy_fleet_comes_to_its_end_in_so_many_waves(members: list[Member], percents: list[int]) -> None:
    healthy = [replace(each, ready=True, failed=False) for each in members]
    for _ in range(len(percents) + 3):
        healthy = upgraded(healthy, plan(healthy, NEW, percents).admitted)
    assert all(each.image == NEW for each in healthy)


def test_a_program_that_stands_still_for_a_reason_of_its_own_is_not_waited_for() -> None:
    members = fleet(8, canaries=2)
    members[0] = replace(members[0], ready=False, aside=True)
    first = plan(members, NEW, [50])
    assert first.admitted == {"p0", "p1"}
    upgraded_canary = [replace(each, image=NEW) if each.name == "p1" else each for each in members]
    assert len(plan(upgraded_canary, NEW, [50]).admitted) == 4


def test_a_program_that_stands_still_may_have_the_image_when_its_wave_has_come() -> None:
    members = [replace(each, image=NEW) for each in fleet(4)]
    members[2] = replace(members[2], image=OLD, ready=False, aside=True)
    assert "p2" in plan(members, NEW, [50]).admitted
