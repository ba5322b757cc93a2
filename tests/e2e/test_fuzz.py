"""The whole HTTP surface, fuzzed from its own OpenAPI document: every answer is documented, none is a server error."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from e2e.platform import EmbeddedPlatform

JUDGEMENTS: list[CheckFunction] = [positive_data_acceptance, negative_data_rejection]
"""Not asked: an id of nothing is valid and refused, and a parameter that nobody asked for is ignored."""


@schemathesis.serializer("application/x-ndjson")
def json_lines(_context: Any, value: Any) -> bytes:
    """A file of JSON lines as it was made up: whatever it holds, the answer has to be a documented one."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def fuzzed(server_folder: Path) -> Iterator[EmbeddedPlatform]:
    """A platform that may be left in any state."""
    folder = server_folder / "fuzzed"
    folder.mkdir()
    platform = EmbeddedPlatform(folder)
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


def test_every_answer_is_documented(fuzzed: EmbeddedPlatform) -> None:
    schema = schemathesis.openapi.from_url(f"{fuzzed.url('acme')}/openapi.json")
    wrong: dict[str, str] = {}
    called: set[str] = set()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                with suppress(Unsatisfiable):  # an operation without parameters cannot be called wrongly
                    call_with(operation, mode, fuzzed)
            except Exception as error:  # every operation gets its turn, whatever an earlier one did
                wrong[f"{operation.label} ({mode.name})"] = str(error)
        called.add(operation.label)
    assert not wrong, "\n\n".join(f"{name}: {error}" for name, error in wrong.items())
    assert {"POST /webhooks/{topic}", "GET /frontend/points", "PUT /frontend/settings", "POST /auth/token"} <= called


def call_with(operation: Any, mode: GenerationMode, platform: EmbeddedPlatform) -> None:
    """Call one operation with what its schema allows, or with what it does not."""
    # A fresh session each time: a call may well have revoked the one before.
    printed = platform.command("acme", "token", "acme") if "sessions" in operation.label else None
    token = printed.stdout.strip() if printed else platform.token("acme")

    @settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def call(case: "schemathesis.Case[Any]") -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=JUDGEMENTS, timeout=20)

    call()
