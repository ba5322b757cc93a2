"""What is made once for a program is made once."""

import base64
import re

import pytest

from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.errors import InvalidInput
from loyalnest_operator.generated import complete, new_data, purposes, read

SERVICES = ["points", "api_gateway"]


def text(value: str) -> str:
    return base64.b64decode(value).decode()


def test_a_new_program_gets_a_key_and_a_password_per_login() -> None:
    generated = read(new_data(SERVICES))
    assert len(KeyEncryptionKeys.parse(generated.encryption_keys).ids) == 1
    assert sorted(generated.passwords) == ["api_gateway", "app", "owner", "points"]
    assert len(set(generated.passwords.values())) == 4
    for password in generated.passwords.values():
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", password), "32 bytes that need no quoting in an address"


def test_two_programs_share_nothing() -> None:
    one, other = read(new_data(SERVICES)), read(new_data(SERVICES))
    assert one.encryption_keys != other.encryption_keys
    assert not set(one.passwords.values()) & set(other.passwords.values())


def test_nothing_is_shown() -> None:
    data = new_data(SERVICES)
    shown = repr(read(data))
    assert not any(text(value) in shown for value in data.values() if value)


def test_names_are_allowed_in_a_secret() -> None:
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", name) for name in new_data([*SERVICES, "admin_core"]))


def test_what_is_complete_stays_as_it_is() -> None:
    data = new_data(SERVICES, "monday")
    assert complete(data, SERVICES, "monday") == data
    assert complete(data, SERVICES) == data, "an annotation that is taken away rotates nothing"
    assert complete(data, ["points"], "monday") == data, "a password outlives a service that goes"


def test_a_service_that_appears_gets_a_password_and_the_others_keep_theirs() -> None:
    data = new_data(SERVICES)
    grown = complete(data, [*SERVICES, "campaign"])
    assert set(grown) - set(data) == {"password-campaign"}
    assert {name: grown[name] for name in data} == data


def test_a_lost_password_is_made_anew() -> None:
    data = new_data(SERVICES)
    mended = complete(data | {"password-app": ""}, SERVICES)
    assert {name for name in data if mended[name] != data[name]} == {"password-app"}


def test_rotation_gives_every_login_a_new_password_once_and_never_touches_the_key() -> None:
    data = new_data(SERVICES)
    rotated = complete(data, SERVICES, "2026-11-02")
    changed = {name for name in data if rotated[name] != data[name]}
    assert changed == {f"password-{purpose}" for purpose in purposes(SERVICES)} | {"passwords-rotated"}
    assert complete(rotated, SERVICES, "2026-11-02") == rotated
    again = complete(rotated, SERVICES, "2026-11-03")
    assert read(again).passwords["app"] != read(rotated).passwords["app"]
    assert read(again).encryption_keys == read(data).encryption_keys


@pytest.mark.parametrize("broken", ["", base64.b64encode(b"k1:AAAA").decode(), "%%%"])
def test_a_secret_whose_key_is_lost_is_never_completed_with_another(broken: str) -> None:
    data = new_data(SERVICES) | {"encryption-keys": broken}
    with pytest.raises(InvalidInput, match="restore it"):
        complete(data, SERVICES)
    with pytest.raises(InvalidInput, match="restore it"):
        read(data)


def test_several_keys_stay_in_their_order() -> None:
    data = new_data(SERVICES)
    both = "".join(text(new_data(SERVICES)["encryption-keys"]) for _ in range(2))
    data["encryption-keys"] = base64.b64encode(both.encode()).decode()
    assert read(complete(data, SERVICES, "now")).encryption_keys == both
