"""The HTTP surface fuzzed from its own OpenAPI document: every answer is one that the document promises."""

import asyncio
from contextlib import suppress
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from integration.api_gateway.conftest import Gateway

JUDGEMENTS: list[CheckFunction] = [positive_data_acceptance, negative_data_rejection]
"""Not asked: an id of no redemption is valid and refused, and a parameter that nobody asked for is ignored."""
OWNER = {"Authorization": "Bearer acme-owner"}


def fuzz(url: str) -> list[str]:
    """Call every operation with what its schema allows and with what it does not. Returns what was called."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    called = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
            @given(operation.as_strategy(generation_mode=mode))
            def call(case: schemathesis.Case[Any]) -> None:
                case.call_and_validate(headers=OWNER, excluded_checks=JUDGEMENTS)

            with suppress(Unsatisfiable):  # an operation without parameters cannot be called wrongly
                call()
        called.append(operation.label)
    return called


async def test_every_answer_is_documented(platform: Gateway) -> None:
    called = await asyncio.to_thread(fuzz, f"http://127.0.0.1:{platform.port}")
    assert {"POST /webhooks/{topic}", "GET /frontend/points", "GET /proxy/points", "GET /status"} <= set(called)
