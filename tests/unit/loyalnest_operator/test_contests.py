"""How often an object is put right that somebody else changes back."""

from itertools import pairwise

from loyalnest_operator.contests import FIRST_PAUSE, FREE, IN_A_ROW, LONGEST_PAUSE, Contests
from loyalnest_operator.objects import Ref

ONE, OTHER = (Ref("v1", "ConfigMap", "there", name) for name in ("one", "other"))


def corrections(contests: Contests, seconds: float, every: float = 1.0) -> list[float]:
    """When an object is put right that is changed back all the time."""
    found: list[float] = []
    now = 0.0
    while now < seconds:
        if contests.may_correct(ONE, now):
            contests.corrected(ONE, now)
            found.append(now)
        now += every
    return found


def test_a_few_in_a_row_are_made_at_once_and_then_fewer_and_fewer() -> None:
    found = corrections(Contests(), 4000)
    assert found[:FREE] == [float(number) for number in range(FREE)]
    pauses = [after - before for before, after in pairwise(found[FREE - 1 :])]
    assert pauses[0] == FIRST_PAUSE
    assert all(after in (2 * before, LONGEST_PAUSE) for before, after in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE


def test_other_objects_are_not_held_up() -> None:
    contests = Contests()
    last = corrections(contests, 10)[-1]
    assert not contests.may_correct(ONE, last + 1)
    assert contests.may_correct(OTHER, last + 1)


def test_after_a_quiet_time_it_is_forgotten() -> None:
    contests = Contests()
    corrections(contests, 10)
    later = 10 + FIRST_PAUSE + IN_A_ROW
    contests.corrected(OTHER, later)
    assert list(contests._rows) == [OTHER]
    assert contests.may_correct(ONE, later)


def test_who_changes_something_now_and_then_is_always_answered_at_once() -> None:
    contests = Contests()
    for number in range(100):
        now = number * (IN_A_ROW + 1)
        assert contests.may_correct(ONE, now)
        contests.corrected(ONE, now)
