"""How far a replay has come, kept in a file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.cli.replay import Watermark
from loyalnest.kit.errors import InvalidInput


def test_a_replay_goes_on_from_the_first_that_has_not_ended(tmp_path: Path) -> None:
    mark = Watermark(tmp_path / "mark")
    for number in (0, 1, 3, 4):
        mark.end(number)
    mark.write()
    assert Watermark(tmp_path / "mark").position == 2


@given(st.permutations(range(12)), st.integers(0, 12))
def test_nothing_that_has_not_ended_is_passed(order: list[int], ended: int) -> None:
    mark = Watermark(Path("/nowhere/mark"))
    for number in order[:ended]:
        mark.end(number)
    assert set(range(mark.position)) <= set(order[:ended])
    assert mark.position not in order[:ended]


def test_it_is_written_now_and_then_by_itself(tmp_path: Path) -> None:
    mark = Watermark(tmp_path / "mark")
    for number in range(1200):
        mark.end(number)
    assert Watermark(tmp_path / "mark").position == 1000


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"position": "x"}', '{"position": null}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mark").write_text(text)
    with pytest.raises(InvalidInput, match="delete it to begin anew"):
        Watermark(tmp_path / "mark")
