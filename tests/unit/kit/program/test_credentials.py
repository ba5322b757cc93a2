"""Credentials from Secrets, which no message ever shows."""

import base64
from pathlib import Path

import pytest

from loyalnest.kit.program import Credentials
from unit.kit.program.support import KEY, PREVIOUS, SECRET, TOKEN, load_files, program_text, refused_files, secret_text


def test_a_secret_in_base64_and_what_goes_before_it(tmp_path: Path) -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    data = f"""\
type: Opaque
data:
  apiKey: {encoded(KEY)}
  apiSecret: {encoded("other")}
  apiSecretPrevious: {encoded(PREVIOUS)}
  accessToken: {encoded(TOKEN)}
  unknown: "*"
stringData: {{apiSecret: {SECRET}}}"""
    (found,) = load_files(tmp_path, secret_text(data=data), program_text())
    assert found.credentials == Credentials(KEY, SECRET, PREVIOUS, TOKEN)
    for text in (repr(found), str(found), f"{found.credentials}", repr([found.credentials])):
        assert not any(value in text for value in (KEY, SECRET, PREVIOUS, TOKEN))


def test_a_missing_secret(tmp_path: Path) -> None:
    missing = (
        "a.yaml: document 1, line 1: spec.shop.credentialsSecret: there is no Secret loyalnest-system/acme-shopify"
    )
    (line,) = refused_files(tmp_path, program_text())
    assert line.startswith(missing)
    (line,) = refused_files(tmp_path, program_text(), secret_text().replace("loyalnest-system", "default"))
    assert line.startswith(missing)


STRINGS = "stringData: "
BAD_SECRETS: list[tuple[str, list[str]]] = [
    ("", ["stringData.apiKey: is required", "stringData.apiSecret: is required"]),
    (f"{STRINGS}{{apiKey: {KEY}}}", ["stringData.apiSecret: is required"]),
    (
        f"{STRINGS}{{apiKey: {KEY}, apiSercet: {SECRET}}}",
        ["stringData.apiSecret: is required; did you write 'apiSercet' for it?"],
    ),
    (
        f"{STRINGS}{{apiKey: {KEY}, apiSecret: 12}}",
        ["stringData.apiSecret: must be text (put it in quotes), found a number"],
    ),
    (f"{STRINGS}{{apiKey: {KEY}, apiSecret: ''}}", ["stringData.apiSecret: must not be empty"]),
    (f"{STRINGS}{{apiKey: {KEY}, apiSecret: '{SECRET} '}}", ["stringData.apiSecret: must have no spaces around it"]),
    (
        f"data: {{apiKey: {KEY}, apiSecret: '{base64.b64encode(b'x' + SECRET.encode() + chr(10).encode()).decode()}'}}",
        [
            "data.apiKey: must be base64 of UTF-8 text",
            "data.apiSecret: must have no spaces around it and no line breaks",
        ],
    ),
    (
        f"data: {{apiKey: /w==, apiSecret: '{SECRET}'}}",
        ["data.apiKey: must be base64", "data.apiSecret: must be base64"],
    ),
    (f"{STRINGS}{SECRET}", ["stringData: must be a mapping"]),
    (f"stringdata: {{apiKey: {KEY}}}", ["stringdata: is not a known field; did you mean stringData?"]),
    (f"immutable: {SECRET}", ["immutable: must be true or false"]),
]


@pytest.mark.parametrize(("data", "messages"), BAD_SECRETS, ids=range(len(BAD_SECRETS)))
def test_secrets_that_are_wrong_are_told_once_and_not_repeated(tmp_path: Path, data: str, messages: list[str]) -> None:
    lines = refused_files(tmp_path, secret_text(data=data), program_text())
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(f"a.yaml: document 1, line 1: {message}")


@pytest.mark.parametrize(
    "written", [f"!{SECRET}", f"*{SECRET}", f"@{SECRET}", f"!a!{SECRET}", f"'{SECRET}", f"[{SECRET}"]
)
def test_a_secret_that_breaks_the_yaml_is_not_repeated(tmp_path: Path, written: str) -> None:
    assert refused_files(tmp_path, secret_text(data=f"stringData:\n  apiKey: {KEY}\n  apiSecret: {written}"))
