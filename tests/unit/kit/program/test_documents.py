"""Programs from files: what is read, and that everything wrong is told together, in words."""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from loyalnest.kit.program import Credentials, InvalidPrograms, ProgramTier, load_programs
from unit.kit.program.support import load_files, program_text, refused_files, secret_text

DEMO = Path(__file__).parents[4] / "clusters" / "demo"


def test_the_demo_programs() -> None:
    acme, brew = load_programs([DEMO])
    assert (acme.merchant_id, acme.spec.shop.domain, acme.spec.currency) == ("acme", "acme.myshopify.com", "USD")
    assert acme.credentials == Credentials("acme-key", "acme-secret")
    assert acme.source == DEMO / "acme.yaml"
    assert [tier.multiplier for tier in acme.spec.tiers] == [1, Decimal("1.25"), Decimal("1.5")]
    assert (brew.merchant_id, brew.spec.currency, brew.spec.earning.approval_days) == ("brew", "EUR", 14)
    assert brew.spec.rfm.timezone == "Europe/Berlin"
    assert brew.credentials.api_secret_previous == "brew-secret-of-last-month"


def test_the_demo_purchases() -> None:
    rows = [line.split() for line in (DEMO / "cdnow_sample.txt").read_text().splitlines()]
    assert len(rows) == 6919
    assert len({row[1] for row in rows}) == 2357
    assert sum(Decimal(row[4]) for row in rows) == Decimal("244091.94")
    assert "Cameron Davidson-Pilon" in (DEMO / "CDNOW.md").read_text()


def test_a_minimal_program_and_its_secret_in_any_order_and_file(tmp_path: Path) -> None:
    assert [
        found.merchant_id
        for found in load_files(tmp_path, program_text(), f"---\n---\n# nothing\n---\n{secret_text()}---\n")
    ] == ["acme"]


def test_an_unquoted_number_keeps_its_digits(tmp_path: Path) -> None:
    for written, meant in [("1.1", "1.1"), ('"1.1"', "1.1"), ("0.1000", "0.1"), ("7", "7"), ("1.5e+2", "150")]:
        (found,) = load_files(tmp_path, program_text(rate=written), secret_text())
        assert str(found.spec.earning.rules[0].points_per_unit) == meant


def test_json_files_folders_and_the_same_file_twice(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(
        json.dumps(
            {
                "apiVersion": "loyalnest.io/v1alpha1",
                "kind": "LoyaltyProgram",
                "metadata": {"name": "acme", "labels": {"team": "a"}, "annotations": {"note": "b"}},
                "spec": {
                    "shop": {"domain": "acme.myshopify.com", "credentialsSecret": {"name": "acme-shopify"}},
                    "tier": "Pooled",
                    "earning": {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": 1.1}]},
                },
            },
            indent="\t",
        ),
        "utf-8-sig",
    )
    (tmp_path / "a.yml").write_text(secret_text())
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    (tmp_path / "notes.txt").write_text("nonsense")
    (tmp_path / "deeper.yaml").mkdir()
    (found,) = load_programs([tmp_path, tmp_path / "b.json", tmp_path / "a.yml"])
    assert found.spec.tier is ProgramTier.POOLED
    assert found.spec.earning.rules[0].points_per_unit == Decimal("1.1")


def test_everything_wrong_in_all_files_is_told_together(tmp_path: Path) -> None:
    first = secret_text() + "---\n" + program_text(more="  currency: usd\n  teir: Pooled\n")
    second = program_text("brew", rate="0")
    third = "a: [1\n"
    assert refused_files(tmp_path, first, second, third) == [
        "a.yaml: document 2, line 6: spec.currency: must be an ISO 4217 code of three capital letters, such as USD,"
        " found 'usd'",
        "a.yaml: document 2, line 6: spec.teir: is not a known field; did you mean tier?",
        "b.yaml: document 1, line 1: spec.earning.rules[0].pointsPerUnit: must be more than 0, found 0",
        "c.yaml: line 2: is not valid YAML: did not find expected ',' or ']'",
    ]


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InvalidPrograms) as caught:
        load_programs([tmp_path / "gone", tmp_path, pipe])
    assert caught.value.detail.split("\n") == [
        f"{tmp_path}/gone: there is no such file or folder",
        f"{tmp_path}: the folder has no documents (*.yaml, *.yml, *.json)",
        f"{pipe}: is neither a file nor a folder",
    ]


def test_no_paths_are_no_programs() -> None:
    assert load_programs([]) == []


def test_names_and_shops_belong_to_one_program(tmp_path: Path) -> None:
    lines = refused_files(
        tmp_path,
        secret_text(),
        program_text(domain="one"),
        program_text(domain="two", rate="0"),
        program_text("brew", domain="one"),
    )
    assert lines == [
        "c.yaml: document 1, line 1: spec.earning.rules[0].pointsPerUnit: must be more than 0, found 0",
        "c.yaml: document 1, line 1: metadata.name: 'acme' belongs to the program in"
        f" {tmp_path}/b.yaml document 1 already",
        "d.yaml: document 1, line 1: spec.shop.domain: 'one.myshopify.com' belongs to the program in"
        f" {tmp_path}/b.yaml document 1 already",
    ]


def test_one_secret_twice(tmp_path: Path) -> None:
    assert refused_files(tmp_path, secret_text() + "---\n" + program_text(), secret_text()) == [
        "b.yaml: document 1, line 1: metadata.name: the Secret loyalnest-system/acme-shopify is in"
        f" {tmp_path}/a.yaml document 1 already"
    ]


def test_a_message_stays_on_its_line_and_shows_no_control_characters(tmp_path: Path) -> None:
    (line,) = refused_files(tmp_path, secret_text() + "---\n" + program_text(more='  "a\\nb\\e[31m": 1\n'))
    assert line.startswith(r"a.yaml: document 2, line 6: spec['a\nb\x1b[31m']: is not a known field")
