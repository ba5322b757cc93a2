"""Roles, lifetimes, names, and the last owner, against a model that says the same another way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.auth import rules
from loyalnest.auth.admin_repository import SessionState
from loyalnest.auth.models import AdminSession, AdminUser, Role, Status
from loyalnest.auth.sessions import standing
from loyalnest.kit.errors import InvalidInput, PreconditionFailed, Unauthenticated, Unavailable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MAY = {
    Role.OWNER: {"look", "work", "rule"},
    Role.STAFF: {"look", "work"},
    Role.SUPPORT: {"look"},
}

users = st.lists(st.tuples(st.sampled_from(Role), st.booleans()), min_size=1, max_size=5).map(
    lambda found: [AdminUser(UUID(int=n), f"u{n}", role, active, NOW) for n, (role, active) in enumerate(found)]
)


@pytest.mark.parametrize(("one", "other"), list(product(Role, Role)))
def test_the_lesser_role_may_what_both_may(one: Role, other: Role) -> None:
    assert MAY[rules.lesser(one, other)] == MAY[one] & MAY[other]


@pytest.mark.parametrize(("wanted", "most"), list(product(Role, Role)))
def test_a_session_may_no_more_than_its_user(wanted: Role, most: Role) -> None:
    if MAY[wanted] <= MAY[most]:
        assert rules.session_role(wanted.value, most) is wanted
    else:
        with pytest.raises(InvalidInput):
            rules.session_role(wanted.value, most)
    assert rules.session_role("", most) is most


@given(users, st.data(), st.sampled_from(Role), st.booleans())
def test_there_is_always_an_active_owner(found: list[AdminUser], data: st.DataObject, role: Role, active: bool) -> None:
    changed = data.draw(st.sampled_from(found))
    after = [replace(user, role=role, active=active) if user is changed else user for user in found]

    def led(several: list[AdminUser]) -> bool:
        return any(user.active and user.role is Role.OWNER for user in several)

    if led(found) and not led(after):
        with pytest.raises(PreconditionFailed):
            rules.keep_an_owner(found, changed.admin_user_id, role, active=active)
    else:
        rules.keep_an_owner(found, changed.admin_user_id, role, active=active)


@given(st.integers(-(2**31), 2**31 - 1))
def test_lifetimes(seconds: int) -> None:
    if seconds == 0:
        assert rules.session_lifetime(0) == timedelta(hours=12)
    elif 1 <= seconds <= 30 * 24 * 3600:
        assert rules.session_lifetime(seconds) == timedelta(seconds=seconds)
    else:
        with pytest.raises(InvalidInput):
            rules.session_lifetime(seconds)


@pytest.mark.parametrize("text", ["", "Owner", "admin", "owner ", "system"])
def test_other_roles_are_none(text: str) -> None:
    with pytest.raises(InvalidInput):
        rules.role_named(text)


@pytest.mark.parametrize("text", ["", " ", "-x", "a b", "a" * 65, "ü", "a\n"])
def test_labels_are_plain(text: str) -> None:
    with pytest.raises(InvalidInput):
        rules.label(text)


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("revoked", [False, True])
@pytest.mark.parametrize("user", [None, (Role.SUPPORT, True), (Role.OWNER, True), (Role.OWNER, False)])
@pytest.mark.parametrize("closed", [False, True])
def test_who_is_let_in(status: Status, revoked: bool, user: tuple[Role, bool] | None, closed: bool) -> None:
    session = AdminSession(
        "acme", UUID(int=1), UUID(int=2) if user else None, "admin:x", Role.STAFF, NOW, NOW, NOW if revoked else None
    )
    state = SessionState(session, status, closed, user[0] if user else None, user[1] if user else None)
    if not revoked and closed:
        with pytest.raises(Unavailable):
            standing(state)
    elif status is Status.ACTIVE and not revoked and (user is None or user[1]):
        assert standing(state) is (Role.SUPPORT if user and user[0] is Role.SUPPORT else Role.STAFF)
    else:
        with pytest.raises(Unauthenticated):
            standing(state)


def test_a_session_that_is_not_there_lets_nobody_in() -> None:
    with pytest.raises(Unauthenticated):
        standing(None)
