"""The server's side of every call, local or over gRPC: context, deadline, errors, metrics."""

import asyncio
import contextvars
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Protocol, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message
from opentelemetry import trace
from opentelemetry.context import Context

from loyalnest.kit import context as call_context
from loyalnest.kit.context import CallContext
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import DeadlineExceeded, InvalidInput, LoyalNestError, Unavailable
from loyalnest.kit.metrics import RPC_SECONDS
from loyalnest.kit.rpc import metadata

_log = structlog.get_logger(__name__)
_tracer = trace.get_tracer("loyalnest.rpc")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
"""What generated code registers for one method."""


class Transport(Protocol):
    """What the wrapped method asks of the way that the call came: grpc.aio's context, or the local one."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """The pairs that came with the call."""

    def time_remaining(self) -> float | None:
        """Seconds until the transport gives up on the call, or None."""

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: metadata.Pairs) -> NoReturn:
        """End the call with a status other than OK, by raising."""


Serve = Callable[[Message, Transport], Awaitable[Message]]
"""One method behind the interceptors. It ends in an answer or in the transport's `abort`."""


class ServicerContext:
    """What a servicer gets as `context`, in either packing: nothing to work with.

    A servicer reads the merchant and the deadline from `loyalnest.kit.context` and raises LoyalNestErrors. The
    generated base class sets a code before it raises NotImplementedError, so that is let through.
    """

    def set_code(self, code: grpc.StatusCode) -> None:
        """Ignored: the error that is raised decides the status."""

    def set_details(self, details: str) -> None:
        """Ignored: the error that is raised has the words."""


_NOTHING = ServicerContext()


class MethodTable:
    """The methods of a service behind the server's interceptors.

    Pass it as `server` to the generated `add_…Servicer_to_server(servicer, server)`; then `RpcServer.add` serves it
    to other processes and `LocalChannel` to this one.
    """

    def __init__(self) -> None:
        self._methods: dict[str, Serve] = {}
        self._services: dict[str, dict[str, Handler]] = {}

    @property
    def services(self) -> Mapping[str, dict[str, Handler]]:
        """The wrapped handlers by full service name and then method name, for a gRPC server."""
        return self._services

    def method(self, name: str) -> Serve | None:
        """The wrapped method of a full name, e.g. `/points.v1.PointsService/GetPointsBalance`; None if there is none.

        It is the very one that `services` holds.
        """
        return self._methods.get(name)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Called by generated code with what `add_registered_method_handlers` gets too, so there is nothing to do."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Take a service's methods. Raises TypeError for a streaming one, which no channel here could call."""
        wrapped: dict[str, Handler] = {}
        for name, handler in method_handlers.items():
            if handler.unary_unary is None:
                raise TypeError(f"{service_name}/{name} streams; calls between services are unary.")
            serve = _Method(service_name, name, handler.unary_unary).serve
            self._methods[f"/{service_name}/{name}"] = serve
            wrapped[name] = grpc.unary_unary_rpc_method_handler(
                serve,
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        self._services[service_name] = wrapped


class _Method:
    """One method with its interceptors: `serve` is what a transport calls."""

    def __init__(
        self, service: str, name: str, behaviour: Callable[[Message, Any], Awaitable[Message] | Message]
    ) -> None:
        self._service = service.partition(".")[0]  # the package begins with the service's name: points.v1
        self._name = name
        self._full_name = f"{service}/{name}"
        self._behaviour = behaviour
        self._seconds: dict[str, Any] = {}

    async def serve(self, request: Message, transport: Transport) -> Message:
        """Answer one call, in a context of its own so that only metadata passes from the caller to the servicer."""
        pairs = tuple(transport.invocation_metadata() or ())
        outcome = await asyncio.create_task(
            self._observe(request, pairs, transport.time_remaining()), context=contextvars.Context()
        )
        if isinstance(outcome, LoyalNestError):
            await transport.abort(_status(outcome), metadata.detail(outcome), metadata.trailing(outcome))
        return outcome

    async def _observe(
        self, request: Message, pairs: Sequence[tuple[str, str | bytes]], timeout: float | None
    ) -> Message | LoyalNestError:
        """The answer or the error for the caller, measured."""
        began = time.perf_counter()
        status = grpc.StatusCode.CANCELLED
        call = CallContext()
        outcome: Message | LoyalNestError
        try:
            call, parent = metadata.incoming(pairs)
            call = _with_timeout(call, timeout)
            outcome = await self._answer(request, call, parent)
            status = _status(outcome) if isinstance(outcome, LoyalNestError) else grpc.StatusCode.OK
        except InvalidInput as error:  # of the metadata: `_answer` returns its errors
            outcome, status = error, _status(error)
        except asyncio.CancelledError:
            if call.remaining() == 0.0:  # gRPC cancels at the deadline too, and may be the first
                status = grpc.StatusCode.DEADLINE_EXCEEDED
            raise
        finally:
            self._measure(status, time.perf_counter() - began)
        return outcome

    async def _answer(self, request: Message, call: CallContext, parent: Context) -> Message | LoyalNestError:
        limit = asyncio.timeout(call.remaining())
        with (
            call_context.use(call),
            _tracer.start_as_current_span(
                self._full_name,
                context=parent,
                kind=trace.SpanKind.SERVER,
                record_exception=False,  # an error's words may hold what a trace must not
                set_status_on_exception=False,
            ) as span,
        ):
            try:
                async with limit:
                    return await self._call(request)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and _cancelled_from_outside():
                    raise
                answer = self._explain(error, expired=limit.expired())
                span.set_attribute("rpc.grpc.status_code", _status(answer).value[0])
                return answer

    async def _call(self, request: Message) -> Message:
        answer = self._behaviour(request, _NOTHING)
        if inspect.isawaitable(answer):
            answer = await answer
        if not isinstance(answer, Message):
            raise TypeError(f"{self._full_name} must return a message, and returned {type(answer).__name__}")
        return answer

    def _explain(self, error: BaseException, *, expired: bool) -> LoyalNestError:
        """The error for the caller. What may be wrong here is logged, and none of it is told."""
        if expired and isinstance(error, TimeoutError):
            return DeadlineExceeded(f"{self._name} did not finish within its deadline.")
        if isinstance(error, LoyalNestError):
            return error
        if isinstance(error, OUTAGES):
            _log.warning("rpc.outage", rpc=self._full_name, error=type(error).__name__, exc_info=error)
            return Unavailable(f"The {self._service} service cannot reach something it needs; try again.")
        if isinstance(error, NotImplementedError):
            _log.error("rpc.unimplemented", rpc=self._full_name)
            return _Unimplemented(f"The {self._service} service has no {self._name} in this version.")
        _log.error("rpc.failed", rpc=self._full_name, exc_info=error)
        return LoyalNestError(f"The {self._service} service failed to answer; its log says why.")

    def _measure(self, status: grpc.StatusCode, seconds: float) -> None:
        child = self._seconds.get(status.name)
        if child is None:
            child = self._seconds[status.name] = RPC_SECONDS.labels(self._service, self._name, status.name)
        child.observe(seconds)


class _Unimplemented(LoyalNestError):
    status, grpc_status = 501, grpc.StatusCode.UNIMPLEMENTED
    slug, title = "unimplemented", "Not implemented"


def _status(error: LoyalNestError) -> grpc.StatusCode:
    return type(error).grpc_status


def _cancelled_from_outside() -> bool:
    """Whether the caller gave up, and not the servicer awaited something that was cancelled, which is a bug."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _with_timeout(call: CallContext, timeout: float | None) -> CallContext:
    """`call` with the earlier of its deadline and the transport's, which is all that a foreign client sends."""
    if timeout is None:
        return call
    remaining = call.remaining()
    if remaining is not None and remaining <= timeout:
        return call
    return replace(call, deadline=time.monotonic() + timeout)
