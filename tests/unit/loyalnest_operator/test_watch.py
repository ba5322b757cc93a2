"""Kopf's handlers run where the cache and the queue are used: in the event loop, not in Kopf's threads."""

import inspect
from typing import Any

import kopf

from loyalnest_operator import watch
from loyalnest_operator.engine import Engine
from loyalnest_operator.kinds import OWNED


def test_every_handler_is_a_coroutine() -> None:
    registry = watch.registry_of(Engine.__new__(Engine), _nobody)
    handlers: list[Any] = list(registry._watching.get_all_handlers())
    assert len(handlers) == len(OWNED) + 2  # programs and the Lease
    assert all(inspect.iscoroutinefunction(each.fn) for each in handlers)


async def _nobody() -> kopf.ConnectionInfo:
    raise AssertionError("nobody logs in")
