"""Text to values: what is no document, what would grow, and numbers as they are written."""

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loyalnest.kit.program import InvalidPrograms, load_programs
from loyalnest.kit.program.reading import Document, read_json, read_yaml
from unit.kit.program.support import program_text, refused_files, secret_text

BAD_FILES: list[tuple[str | bytes, str]] = [
    ("", "a.yaml: has no documents"),
    ("# nothing\n---\n", "a.yaml: has no documents"),
    ("a: [1\nb: 2\n", "a.yaml: line 2: is not valid YAML"),
    ("a: b: c\n", "a.yaml: line 1: is not valid YAML"),
    ("a: \x01\n", "a.yaml: is not valid YAML: it has a character that YAML does not allow"),
    (b"a: \xff\n", "a.yaml: is not UTF-8 text (byte 3); save it as UTF-8"),
    ("a: 1".encode("utf-16"), "a.yaml: is not UTF-8 text"),
    ("# " + "x" * 1024 * 1024, "a.yaml: is larger than 1 MiB; split it into several files"),
    ("just text\n", "a.yaml: document 1, line 1: must be a mapping with apiVersion and kind, found text"),
    ("[1, 2]\n", "a.yaml: document 1, line 1: must be a mapping with apiVersion and kind, found a list"),
    ("a: &x 1\nb: *x\n", "a.yaml: document 1, line 2: aliases (*name) are not read here; write the value out"),
    ("a: !!python/object:os.system x\n", "a.yaml: document 1, line 1: tags (!name) are not read here"),
    ("a: !!map {}\n", "a.yaml: document 1, line 1: tags (!name) are not read here"),
    ("? [a]\n: b\n", "a.yaml: document 1, line 1: a key of a mapping must be text"),
    ("[" * 60 + "]" * 60, "a.yaml: document 1, line 1: is nested too deeply"),
    ("[" * 500_000, "a.yaml:"),
    ("a: 1\n", "a.yaml: document 1, line 1: kind: is required: Secret or LoyaltyProgram"),
    (
        "apiVersion: v1\nkind: ConfigMap\n",
        "a.yaml: document 1, line 1: kind: 'ConfigMap' is not read here: only Secret",
    ),
    ("apiVersion: v2\nkind: Secret\n", "a.yaml: document 1, line 1: apiVersion: must be v1 for a Secret"),
    (
        "apiVersion: loyalnest.io/v1alpha1\nkind: LoyaltyPrograms\n",
        "a.yaml: document 1, line 1: kind: 'LoyaltyPrograms' is not read here: only Secret (v1) and LoyaltyProgram"
        " (loyalnest.io/v1alpha1) are; did you mean LoyaltyProgram?",
    ),
    ("apiVersion: v1\nkind: [1]\n", "a.yaml: document 1, line 1: kind: a list is not read here"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_files_that_are_no_programs(tmp_path: Path, text: str | bytes, message: str) -> None:
    (line,) = refused_files(tmp_path, text)
    assert line.startswith(message)


def test_every_level_of_an_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert refused_files(tmp_path, bomb) == [
        "a.yaml: document 1, line 2: aliases (*name) are not read here; write the value out"
    ]


def test_a_file_as_large_as_allowed_is_read_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    lines = refused_files(tmp_path, "{" + "a: 1, " * 170_000 + "}")
    assert time.monotonic() - began < 20
    assert len(lines) == 101


def test_a_key_that_is_written_twice(tmp_path: Path) -> None:
    twice = program_text(
        more="  suspend: true\n  suspend: false\n  tiers: [{name: A, threshold: 0}, {name: B, name: C, threshold: 5}]\n"
    )
    assert refused_files(tmp_path, secret_text() + "---\n" + twice) == [
        "a.yaml: document 2, line 6: spec.suspend: is written twice, again on line 16",
        "a.yaml: document 2, line 6: spec.tiers[1].name: is written twice, again on line 17",
    ]
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "a.json").write_text(
        '{"apiVersion": "v1", "kind": "Secret", "kind": "Secret", "metadata": {"name": "x"}}'
    )
    with pytest.raises(InvalidPrograms, match="document 1, line 1: kind: is written twice in one mapping"):
        load_programs([tmp_path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n  'a': 1}", "a.json: line 2: is not valid JSON"),
        ("  ", "a.json: has no documents"),
        ("[" * 99_999, "a.json: is nested"),
    ],
)
def test_json_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InvalidPrograms) as caught:
        load_programs([tmp_path])
    assert caught.value.detail.removeprefix(f"{tmp_path}/").startswith(message)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0x10", "must be a whole number, found '0x10'"),
        ("010", "must be a whole number, found '010'"),
        ("1_0", "must be a whole number, found '1_0'"),
        ("1:30", "must be a whole number, found '1:30'"),
        ("2024-01-01", "must be a whole number, found '2024-01-01'"),
        ("1" * 5000, f"must be a whole number, found '{'1' * 40}...'"),
        ("1.0", "must be a whole number, found 1.0"),
        (".nan", "must be a whole number, found '.nan'"),
        ("on", "must be a whole number, found true"),
        ("~", "must be a whole number, found nothing"),
    ],
    ids=range(10),
)
def test_numbers_are_decimal_or_none(tmp_path: Path, written: str, message: str) -> None:
    (line,) = refused_files(
        tmp_path, secret_text() + "---\n" + program_text(more=f"  retention: {{topicHours: {written}}}\n")
    )
    assert line == f"a.yaml: document 2, line 6: spec.retention.topicHours: {message}"


@given(st.text(st.sampled_from("ab:-{}[],#&*!|>'\"%@`? \n\t\\0x1.e~é\x00\ufeff"), max_size=60))
@example("a: {<<: {b: c}}")
@example("%YAML 1.2\n--- !!set {a}")
@example("--- |\n a\n...\nb")
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_yaml, read_json):
        documents: list[Document] = []
        # Any other error is a bug, and fails here.
        with contextlib.suppress(InvalidPrograms):
            documents += read(text)
        assert all(document.line >= 1 and document.number >= 1 for document in documents)
