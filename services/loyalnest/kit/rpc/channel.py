"""The client's side of every call: context, deadline, retries and errors, over a local or a remote channel."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message

from loyalnest.kit import context as call_context
from loyalnest.kit.errors import DeadlineExceeded
from loyalnest.kit.metrics import RPC_RETRIES
from loyalnest.kit.rpc import metadata, retry
from loyalnest.kit.rpc.handlers import MethodTable

_log = structlog.get_logger(__name__)

DEFAULT_TIMEOUT = 5.0
"""Seconds that a call may take if its caller neither says nor has a deadline itself."""


class Channel(Protocol):
    """What a ClientChannel needs below it; grpc.aio.Channel is one."""

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Callable[..., Awaitable[Any]]:
        """What sends one request of `method`: called with it, `timeout` (seconds) and `metadata`."""

    async def close(self) -> None:
        """Give up the connections."""


class ClientChannel:
    """A channel to one service that generated stubs take: `PointsServiceStub(channel)`.

    Each method of the stub is then called as `await stub.Method(request)`, optionally with `timeout` in seconds, and
    raises LoyalNestErrors. Unlike grpc.aio's, a call begins when it is awaited.

    A call that fails as Unavailable is tried again, and may have been carried out before: methods that change
    something must be idempotent by an id in their request.
    """

    def __init__(self, inner: Channel, service: str, *, budget: retry.RetryBudget | None = None) -> None:
        self.service = service
        self._inner = inner
        self._budget = budget or retry.RetryBudget()

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Callable[..., Awaitable[Any]]:
        """The call of `method` (`/package.Service/Method`), as a generated stub asks for it."""
        send = self._inner.unary_unary(method, request_serializer, response_deserializer, _registered_method)
        retries = RPC_RETRIES.labels(self.service, method.rpartition("/")[2])

        async def call(request: Message, *, timeout: float | None = None) -> Any:
            return await self._call(send, request, timeout, retries.inc)

        return call

    async def close(self) -> None:
        """Close the channel below."""
        await self._inner.close()

    async def _call(
        self,
        send: Callable[..., Awaitable[Any]],
        request: Message,
        timeout: float | None,
        count_retry: Callable[[], None],
    ) -> Any:
        context = call_context.current()
        deadline = time.monotonic() + (DEFAULT_TIMEOUT if timeout is None else timeout)
        if context.deadline is not None:
            deadline = min(deadline, context.deadline)
        self._budget.deposit()
        failures = 0
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise DeadlineExceeded(f"There was no time left to call the {self.service} service.")
            try:
                return await send(request, timeout=remaining, metadata=metadata.outgoing(context, remaining))
            except grpc.aio.AioRpcError as error:
                failures += 1
                pause = retry.delay(failures)
                if not self._again(error, failures, pause, deadline):
                    raise metadata.failure(self.service, error) from error
            count_retry()
            await asyncio.sleep(pause)

    def _again(self, error: grpc.aio.AioRpcError, failures: int, pause: float, deadline: float) -> bool:
        """Whether to wait `pause` seconds and try again; takes the token for it."""
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            return False
        if failures < retry.TRIES and time.monotonic() + pause < deadline and self._budget.withdraw():
            return True
        _log.warning("rpc.unavailable", service=self.service, tries=failures, said=error.details())
        return False


class LocalChannel:
    """Calls the methods of a service that runs in this process, through the same wrappers as its gRPC server.

    Messages are copied both ways, as the network would: without that, a servicer that fills in its request or a
    caller that edits an answer which the servicer keeps would corrupt the other, and only in one packing. A copy of
    a small message costs 0.5 us, half of writing and reading it, in a call of 35; a rule that messages are immutable
    would save that, but nothing could check it.
    """

    def __init__(self, table: MethodTable) -> None:
        self._table = table

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Callable[..., Awaitable[Any]]:
        """The call of `method`, which is looked up when it is made."""

        async def call(request: Message, *, timeout: float, metadata: metadata.Pairs) -> Message:
            serve = self._table.method(method)
            if serve is None:
                raise _error(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            return _copied(await serve(_copied(request), _LocalTransport(metadata)))

        return call

    async def close(self) -> None:
        """Nothing is open."""


class _LocalTransport:
    """A call's transport inside the process. The deadline is in the metadata already."""

    def __init__(self, pairs: metadata.Pairs) -> None:
        self._pairs = pairs

    def invocation_metadata(self) -> metadata.Pairs:
        return self._pairs

    def time_remaining(self) -> None:
        return None

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: metadata.Pairs) -> NoReturn:
        raise _error(code, details, trailing_metadata)


def remote_channel(address: str) -> Channel:
    """A gRPC channel to `address` (`host:port`, or any gRPC target), which connects at the first call.

    Every address of the host gets its share of the calls. Must be made inside the event loop that uses it.
    """
    target = address if ":///" in address or address.startswith(("unix:", "ipv4:", "ipv6:")) else f"dns:///{address}"
    channel = grpc.aio.insecure_channel(
        target,
        options=(
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.keepalive_time_ms", 30_000),  # a peer that vanished is noticed in 40 s, also between calls
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 2_000),  # which is how long one attempt to connect may take
            ("grpc.max_reconnect_backoff_ms", 3_000),
            ("grpc.dns_min_time_between_resolutions_ms", 2_000),  # a new pod is found soon after a connection ends
            ("grpc.enable_retries", 0),  # ours are counted and have a budget
            ("grpc.enable_http_proxy", 0),  # a proxy for the outside must not get calls between services
            ("grpc.max_send_message_length", metadata.MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", metadata.MAX_MESSAGE_BYTES),
        ),
    )
    return cast("Channel", channel)  # the stubs leave out `_registered_method`


def _copied(message: Message) -> Message:
    if message.ByteSize() > metadata.MAX_MESSAGE_BYTES:
        raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED, "Message is too large.")
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _error(code: grpc.StatusCode, details: str, pairs: metadata.Pairs = ()) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*pairs), details)
