"""The HTTP surface, fuzzed from its own OpenAPI document: every answer is documented, none is a server error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from e2e.platform import EmbeddedPlatform

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


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


@pytest.fixture(scope="module")
def api_schema(fuzzed: EmbeddedPlatform) -> schemathesis.BaseSchema:
    """The gateway's own document."""
    return schemathesis.openapi.from_url(f"{fuzzed.url('acme')}/openapi.json")


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_documented(case: "schemathesis.Case[Any]", fuzzed: EmbeddedPlatform) -> None:
    token = fuzzed.token("acme")
    case.call_and_validate(
        base_url=fuzzed.url("acme"),
        headers={"Authorization": f"Bearer {token}"},
        checks=CHECKS,
        timeout=20,
    )
