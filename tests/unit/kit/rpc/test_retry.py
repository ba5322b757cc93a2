"""The decisions about retries, without a call."""

import time

import grpc.aio
import pytest

from loyalnest.kit.rpc import MethodTable, retry
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel


def failed(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "")


@pytest.mark.parametrize(
    ("code", "failures", "pause", "again"),
    [
        (grpc.StatusCode.UNAVAILABLE, 1, 0.1, True),
        (grpc.StatusCode.UNAVAILABLE, 2, 0.1, True),
        (grpc.StatusCode.UNAVAILABLE, 3, 0.1, False),  # three tries in all
        (grpc.StatusCode.UNAVAILABLE, 1, 60.0, False),  # would begin after the deadline
        (grpc.StatusCode.DEADLINE_EXCEEDED, 1, 0.1, False),
        (grpc.StatusCode.INTERNAL, 1, 0.1, False),
    ],
)
def test_when_a_call_is_tried_again(code: grpc.StatusCode, failures: int, pause: float, again: bool) -> None:
    budget = retry.RetryBudget(capacity=1.0)
    channel = ClientChannel(LocalChannel(MethodTable()), "echo", budget=budget)
    assert channel._again(failed(code), failures, pause, time.monotonic() + 30.0) is again
    assert budget.withdraw() is not again  # a token is taken only for a retry that is made


def test_the_budget_allows_a_tenth_of_the_calls() -> None:
    budget = retry.RetryBudget()
    while budget.withdraw():
        pass
    allowed = 0
    for _ in range(1000):
        budget.deposit()
        allowed += budget.withdraw()
    assert 99 <= allowed <= 100


def test_the_pause_grows_and_stays_short() -> None:
    for failures, longest in ((1, 0.05), (2, 0.1), (3, 0.2), (20, 1.0)):
        pauses = [retry.delay(failures) for _ in range(500)]
        assert 0.0 <= min(pauses) < longest * 0.1
        assert longest * 0.9 < max(pauses) <= longest
