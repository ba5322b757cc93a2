"""Names that belong to one program must never belong to another."""

from hypothesis import assume, given
from hypothesis import strategies as st

from loyalnest_operator import names

PROGRAMS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True)
PURPOSES = st.sampled_from(["owner", "app", "core", "admin_core", "points", "admin_features", "api_gateway"])


@given(PROGRAMS, PURPOSES, PROGRAMS, PURPOSES)
def test_no_two_programs_share_a_login(one: str, purpose: str, other: str, another: str) -> None:
    assume((one, purpose) != (other, another))
    assert names.login(one, purpose) != names.login(other, another)


def test_a_service_and_a_program_that_spell_alike_do_not_meet() -> None:
    assert names.login("x", "admin_core") != names.login("x-admin", "core")
    assert names.database("x-admin") != names.database("x")


@given(PROGRAMS, PURPOSES)
def test_postgresql_takes_every_name_whole(program: str, purpose: str) -> None:
    assert len(names.login(program, purpose)) <= names.MOST_POSTGRES
    assert len(names.database(program)) <= names.MOST_POSTGRES
