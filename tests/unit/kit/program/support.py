"""Programs to change and to break: as plain values, and as files."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.program import InvalidPrograms, LoyaltyProgram, Program, load_programs
from loyalnest.kit.program.problems import validate

MINIMAL: dict[str, Any] = {
    "apiVersion": "loyalnest.io/v1alpha1",
    "kind": "LoyaltyProgram",
    "metadata": {"name": "acme"},
    "spec": {
        "shop": {"domain": "acme.myshopify.com", "credentialsSecret": {"name": "acme-shopify"}},
        "earning": {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": 10}]},
    },
}
ORDER = {"name": "purchase", "trigger": "order", "pointsPerUnit": 10}
JOINING = {"name": "joining", "trigger": "customer", "points": 100}
ABSENT = object()
KEY, SECRET, PREVIOUS, TOKEN = "key-S1", "secret-S2", "previous-S3", "token-S4"


def changed(path: str, value: object) -> dict[str, Any]:
    """The minimal document with `value` at the dotted `path`, where a number is an index; ABSENT takes it out."""
    document = deepcopy(MINIMAL)
    *above, last = path.split(".")
    holder: Any = document
    for part in above:
        holder = holder[int(part)] if isinstance(holder, list) else holder.setdefault(part, {})
    if value is ABSENT:
        del holder[last]
    else:
        holder[int(last) if isinstance(holder, list) else last] = value
    return document


def program(path: str = "kind", value: object = "LoyaltyProgram") -> LoyaltyProgram:
    return validate(LoyaltyProgram, changed(path, value))


def refusal(path: str, value: object) -> str:
    with pytest.raises(InvalidPrograms) as caught:
        program(path, value)
    return caught.value.detail


def secret_text(name: str = "acme-shopify", data: str = f"stringData: {{apiKey: {KEY}, apiSecret: {SECRET}}}") -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: loyalnest-system}}\n{data}\n"


def program_text(name: str = "acme", more: str = "", rate: str = "10", domain: str = "") -> str:
    return f"""\
apiVersion: loyalnest.io/v1alpha1
kind: LoyaltyProgram
metadata: {{name: {name}}}
spec:
  shop:
    domain: {domain or name}.myshopify.com
    credentialsSecret: {{name: acme-shopify}}
  earning:
    rules: [{{name: purchase, trigger: order, pointsPerUnit: {rate}}}]
{more}"""


def load_files(folder: Path, *texts: str | bytes) -> list[Program]:
    """The programs of files a.yaml, b.yaml … with these texts."""
    for letter, text in zip("abcdef", texts, strict=False):
        (folder / f"{letter}.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return load_programs([folder])


def refused_files(folder: Path, *texts: str | bytes) -> list[str]:
    """The lines of the refusal, with the folder taken away."""
    with pytest.raises(InvalidPrograms) as caught:
        load_files(folder, *texts)
    assert isinstance(caught.value, InvalidInput)
    everything = "\n".join([str(caught.value), repr(caught.value), repr(caught.value.problems)])
    for value in (KEY, SECRET, PREVIOUS, TOKEN):
        assert value not in everything
    lines = caught.value.detail.split("\n")
    assert len(lines) == len(caught.value.problems)
    return [line.removeprefix(f"{folder}/") for line in lines]
