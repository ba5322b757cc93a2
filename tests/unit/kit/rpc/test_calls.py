"""What a call must do in either packing: each test runs over a local and a remote channel."""

import asyncio
import time
from contextvars import ContextVar
from typing import Any

import asyncpg
import pytest
import structlog
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import REGISTRY

from loyalnest.kit import context, errors
from unit.kit.rpc.conftest import World

KINDS: list[type[errors.LoyalNestError]] = [
    errors.InvalidInput,
    errors.Unauthenticated,
    errors.Forbidden,
    errors.NotFound,
    errors.Conflict,
    errors.PreconditionFailed,
    errors.TooLarge,
    errors.RateLimited,
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.LoyalNestError,
]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
private: ContextVar[str] = ContextVar("private", default="nothing")


def served(status: str) -> float:
    labels = {"service": "echo", "method": "Echo", "status": status}
    return REGISTRY.get_sample_value("loyalnest_rpc_seconds_count", labels) or 0.0


def retried() -> float:
    return REGISTRY.get_sample_value("loyalnest_rpc_retries_total", {"service": "echo", "method": "Echo"}) or 0.0


def failing(error: BaseException, then: Any = None, times: int = 10**9) -> Any:
    """A behaviour that raises `error` the first `times` times."""
    left = [times]

    async def behaviour(_: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return then

    return behaviour


async def test_the_merchant_actor_and_role_arrive(world: World) -> None:
    seen: list[context.CallContext] = []

    async def behaviour(request: Any) -> Any:
        seen.append(context.current())
        return world.reply(request.text.upper(), context.required_merchant())

    world.behave(behaviour)
    before = served("OK")
    with context.as_merchant("m-1", actor="shopper:Zoë 100% ", role="owner"):
        reply = await world.stub.Echo(world.request("hello"))
    assert (reply.text, reply.merchant) == ("HELLO", "m-1")
    assert (seen[0].actor, seen[0].role) == ("shopper:Zoë 100% ", "owner")
    assert served("OK") == before + 1


async def test_nothing_but_metadata_reaches_the_servicer(world: World) -> None:
    seen: list[str] = []

    async def behaviour(_: Any) -> Any:
        seen.extend((private.get(), str(structlog.contextvars.get_contextvars()), context.current().merchant_id))
        private.set("the servicer's")
        return world.reply()

    world.behave(behaviour)
    token = private.set("the caller's")
    try:
        with context.as_merchant("m-1"), structlog.contextvars.bound_contextvars(request="caller"):
            await world.stub.Echo(world.request())
        assert private.get() == "the caller's"
    finally:
        private.reset(token)
    assert seen == ["nothing", "{}", "m-1"]
    await world.stub.Echo(world.request())
    assert seen[3:] == ["nothing", "{}", ""]


async def test_neither_side_can_change_the_others_message(world: World) -> None:
    kept = world.reply("kept")

    async def behaviour(request: Any) -> Any:
        request.text = "changed"
        request.words.append("more")
        return kept

    world.behave(behaviour)
    request = world.request("mine")
    reply = await world.stub.Echo(request)
    reply.text = "changed"
    assert (request.text, list(request.words), kept.text) == ("mine", [], "kept")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_services_error_reaches_the_caller(world: World, kind: type[errors.LoyalNestError]) -> None:
    world.behave(failing(kind("Ärger: do this instead.")))
    before = served(kind.grpc_status.name)
    with pytest.raises(kind) as caught:
        await world.stub.Echo(world.request(), timeout=1.0)
    assert type(caught.value) is kind
    assert caught.value.detail == "Ärger: do this instead."
    assert served(kind.grpc_status.name) > before


async def test_a_rate_limits_wait_reaches_the_caller(world: World) -> None:
    world.behave(failing(errors.RateLimited("Slow down.", retry_after=2.5)))
    with pytest.raises(errors.RateLimited) as caught:
        await world.stub.Echo(world.request())
    assert caught.value.retry_after == 2.5


async def test_a_very_long_detail_is_cut_and_still_arrives(world: World) -> None:
    world.behave(failing(errors.NotFound("é" * 100_000)))
    with pytest.raises(errors.NotFound) as caught:
        await world.stub.Echo(world.request())
    assert caught.value.detail == "é" * 1000


@pytest.mark.parametrize("error", [KeyError("secret@example.com"), ValueError("postgresql://u:secret@db")])
async def test_a_bug_is_internal_and_tells_nothing(world: World, error: Exception) -> None:
    world.behave(failing(error))
    with structlog.testing.capture_logs() as logs, pytest.raises(errors.LoyalNestError) as caught:
        await world.stub.Echo(world.request())
    assert type(caught.value) is errors.LoyalNestError
    assert "secret" not in caught.value.detail
    assert [log["exc_info"] for log in logs if log["event"] == "rpc.failed"] == [error]
    assert world.servicer.calls == 1


@pytest.mark.parametrize("answer", [None, "text"])
async def test_an_answer_that_is_no_message_is_a_bug(world: World, answer: object) -> None:
    world.behave(failing(KeyError(), then=answer, times=0))
    with pytest.raises(errors.LoyalNestError) as caught:
        await world.stub.Echo(world.request())
    assert type(caught.value) is errors.LoyalNestError


@pytest.mark.parametrize(
    "error", [asyncpg.TooManyConnectionsError("db-7"), ConnectionRefusedError("db-7"), TimeoutError()]
)
async def test_an_outage_is_unavailable(world: World, error: Exception) -> None:
    world.behave(failing(error))
    with structlog.testing.capture_logs() as logs, pytest.raises(errors.Unavailable) as caught:
        await world.stub.Echo(world.request())
    assert "db-7" not in caught.value.detail
    assert [log["error"] for log in logs if log["event"] == "rpc.outage"] == [type(error).__name__] * 3
    assert world.servicer.calls == 3


async def test_a_method_that_is_not_written_says_so(world: World) -> None:
    with pytest.raises(errors.LoyalNestError, match="no Missing"):
        await world.stub.Missing(world.request())


async def test_a_method_that_the_server_does_not_know_says_so(world: World) -> None:
    channel = world.channels.channel("echo")
    request = world.generated.messages.EchoRequest
    unknown = channel.unary_unary("/echo.v1.EchoService/Newer", request.SerializeToString, request.FromString)
    with pytest.raises(errors.LoyalNestError, match="UNIMPLEMENTED"):
        await unknown(world.request())


async def test_a_message_above_the_limit_is_refused(world: World) -> None:
    async def behaviour(request: Any) -> Any:
        return world.reply("x" * (17 * 1024 * 1024) if request.text == "large" else request.text)

    world.behave(behaviour)
    megabytes = "x" * (15 * 1024 * 1024)
    assert (await world.stub.Echo(world.request(megabytes))).text == megabytes
    with pytest.raises(errors.TooLarge):
        await world.stub.Echo(world.request("x" * (17 * 1024 * 1024)))
    with pytest.raises(errors.TooLarge):
        await world.stub.Echo(world.request("large"))


async def test_a_call_ends_at_its_deadline(world: World) -> None:
    ended = asyncio.Event()

    async def behaviour(_: Any) -> Any:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    world.behave(behaviour)
    began = time.monotonic()
    before = served("DEADLINE_EXCEEDED")
    with pytest.raises(errors.DeadlineExceeded):
        await world.stub.Echo(world.request(), timeout=0.1)
    assert time.monotonic() - began < 15.0
    await asyncio.wait_for(ended.wait(), 15.0)
    await asyncio.sleep(0)
    assert world.servicer.calls == 1
    assert served("DEADLINE_EXCEEDED") == before + 1


async def test_a_nested_call_gets_less_time(world: World) -> None:
    seen: list[float] = []

    async def behaviour(request: Any) -> Any:
        seen.append(context.current().remaining() or 0.0)
        if request.text == "outer":
            await asyncio.sleep(0.05)
            return await world.stub.Echo(world.request("inner"), timeout=60.0)
        return world.reply()

    world.behave(behaviour)
    await world.stub.Echo(world.request("outer"))
    outer, inner = seen
    assert 4.5 < outer <= 5.0
    assert 0.04 < outer - inner < 0.5


async def test_no_call_is_made_without_time(world: World) -> None:
    world.behave(failing(KeyError()))
    with context.use(context.CallContext(deadline=time.monotonic() - 1)), pytest.raises(errors.DeadlineExceeded):
        await world.stub.Echo(world.request())
    assert world.servicer.calls == 0


async def test_cancelling_the_caller_cancels_the_servicer(world: World) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def behaviour(_: Any) -> Any:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    world.behave(behaviour)
    call = asyncio.ensure_future(world.stub.Echo(world.request()))
    await asyncio.wait_for(started.wait(), 1.0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(ended.wait(), 1.0)


async def test_a_cancellation_inside_the_servicer_is_a_bug_there(world: World) -> None:
    world.behave(failing(asyncio.CancelledError()))
    with pytest.raises(errors.LoyalNestError) as caught:
        await world.stub.Echo(world.request())
    assert type(caught.value) is errors.LoyalNestError


async def test_unavailable_is_tried_again_and_counted(world: World) -> None:
    world.behave(failing(errors.Unavailable("Away."), then=world.reply("back"), times=2))
    before = retried()
    assert (await world.stub.Echo(world.request())).text == "back"
    assert world.servicer.calls == 3
    assert retried() == before + 2


async def test_no_other_error_is_tried_again(world: World) -> None:
    world.behave(failing(errors.Conflict("There is one.")))
    with pytest.raises(errors.Conflict):
        await world.stub.Echo(world.request())
    assert world.servicer.calls == 1


async def test_an_outage_is_not_multiplied(world: World) -> None:
    world.behave(failing(errors.Unavailable("Away.")))
    calls = 100
    results = await asyncio.gather(*(world.stub.Echo(world.request()) for _ in range(calls)), return_exceptions=True)
    assert {type(result) for result in results} == {errors.Unavailable}
    assert calls + 10 <= world.servicer.calls <= calls + 10 + calls // 10


async def test_no_retry_goes_past_the_deadline(world: World) -> None:
    async def behaviour(_: Any) -> Any:
        await asyncio.sleep(0.06)
        raise errors.Unavailable("Away.")

    world.behave(behaviour)
    began = time.monotonic()
    with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
        await world.stub.Echo(world.request(), timeout=0.1)
    assert time.monotonic() - began < 15.0
    assert world.servicer.calls <= 2


async def test_the_trace_arrives(world: World) -> None:
    seen: list[trace.SpanContext] = []

    async def behaviour(_: Any) -> Any:
        seen.append(trace.get_current_span().get_span_context())
        return world.reply()

    world.behave(behaviour)
    token = otel.attach(TraceContextTextMapPropagator().extract({"traceparent": PARENT}))
    try:
        await world.stub.Echo(world.request())
    finally:
        otel.detach(token)
    await world.stub.Echo(world.request())
    assert trace.format_trace_id(seen[0].trace_id) == PARENT.split("-")[1]
    assert not seen[1].is_valid
