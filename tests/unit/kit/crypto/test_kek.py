"""Key-encryption keys: parsed, kept in a file, rotated; never shown."""

import base64
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from loyalnest.kit.crypto.envelope import SealError, new_key
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.errors import InvalidInput, Unavailable
from loyalnest.kit.settings import Settings

SECRET = base64.b64encode(b"s" * 32).decode()
OTHER = base64.b64encode(b"t" * 32).decode()


def test_the_newest_wraps_and_all_unwrap() -> None:
    old, both = KeyEncryptionKeys.parse(f"a:{SECRET}"), KeyEncryptionKeys.parse(f"b:{OTHER} , a:{SECRET}\n")
    key = new_key()
    key_id, wrapped = old.wrap(key, b"m1")
    assert key_id == "a"
    assert both.unwrap(key_id, wrapped, b"m1") == key
    assert both.wrap(key, b"m1")[0] == both.newest == "b"
    assert both.ids == ["b", "a"]


def test_a_moved_key_does_not_unwrap() -> None:
    keks = KeyEncryptionKeys.parse(f"a:{SECRET},b:{SECRET}")
    key_id, wrapped = keks.wrap(new_key(), b"m1")
    with pytest.raises(SealError):
        keks.unwrap(key_id, wrapped, b"m2")
    with pytest.raises(SealError):
        keks.unwrap("b", wrapped, b"m1")  # the same bytes under another id


def test_a_missing_key_is_named() -> None:
    key_id, wrapped = KeyEncryptionKeys.parse(f"gone-2025:{SECRET}").wrap(new_key(), b"")
    with pytest.raises(Unavailable, match="'gone-2025' is not configured here") as caught:
        KeyEncryptionKeys.parse(f"new:{OTHER}").unwrap(key_id, wrapped, b"")
    assert OTHER not in caught.value.detail


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "No key-encryption key"),
        (" , ", "No key-encryption key"),
        (SECRET, "entry 1 is no key"),
        (f"a:{SECRET},:{SECRET}", "entry 2 is no key"),
        (f"a:{SECRET}!", "'a' is not base64"),
        (f"a:{SECRET},b:c2hvcnQ=", "'b' has 5 bytes"),
        (f"a:{SECRET},a:{OTHER}", "same id"),
        (f"{SECRET}:a", "entry 1 is no key"),
    ],
)
def test_a_malformed_list_is_refused_without_showing_a_key(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        KeyEncryptionKeys.parse(text)
    assert SECRET not in caught.value.detail
    assert "c2hvcnQ" not in caught.value.detail


def test_nothing_shows_in_a_representation() -> None:
    assert repr(KeyEncryptionKeys.parse(f"a:{SECRET}")) == "KeyEncryptionKeys(a)"


def test_a_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "keks"
    keks = KeyEncryptionKeys.create_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyEncryptionKeys.read(path).ids == keks.ids
    with pytest.raises(InvalidInput, match="there already"):
        KeyEncryptionKeys.create_file(path)
    assert KeyEncryptionKeys.read(path).ids == keks.ids
    assert [entry.name for entry in path.parent.iterdir()] == ["keks"]


def test_a_rotation_reaches_a_process_that_holds_the_old_keys(tmp_path: Path) -> None:
    path = tmp_path / "keks"
    here = KeyEncryptionKeys.create_file(path)
    elsewhere = KeyEncryptionKeys.read(path)
    key = new_key()
    before = here.wrap(key, b"")
    added = here.add_key()
    assert here.ids == [added, before[0]]
    after = here.wrap(key, b"")
    assert after[0] == added
    assert elsewhere.unwrap(*after, b"") == elsewhere.unwrap(*before, b"") == key
    assert elsewhere.newest == added
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keks"]


def test_a_damaged_file_does_not_take_the_keys_away(tmp_path: Path) -> None:
    path = tmp_path / "keks"
    keks = KeyEncryptionKeys.create_file(path)
    ids = keks.ids
    path.write_text("half a li")
    keks.reload()
    path.unlink()
    keks.reload()
    assert keks.ids == ids


def test_the_settings_decide(tmp_path: Path) -> None:
    path = tmp_path / "keks"
    made = KeyEncryptionKeys.create_file(path)
    variable = SecretStr(f"a:{SECRET}")
    assert KeyEncryptionKeys.from_settings(Settings(encryption_keys=variable)).ids == ["a"]
    by_file = Settings(encryption_keys=variable, encryption_keys_file=path)
    assert KeyEncryptionKeys.from_settings(by_file).ids == made.ids
    with pytest.raises(InvalidInput, match="LOYALNEST_ENCRYPTION_KEYS"):
        KeyEncryptionKeys.from_settings(Settings())
    with pytest.raises(InvalidInput, match="add a key there"):
        KeyEncryptionKeys.parse(f"a:{SECRET}").add_key()
    with pytest.raises(InvalidInput, match="cannot be read"):
        KeyEncryptionKeys.read(tmp_path / "none")
