"""The gRPC server: health, reflection, drain, and what only foreign or vanished peers do."""

import asyncio
import time
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from loyalnest.kit import context, errors
from loyalnest.kit.rpc import Channels, MethodTable, RpcServer
from unit.kit.rpc.conftest import World, open_world

SERVING = health_pb2.HealthCheckResponse.SERVING
ReflectionStub: Any = reflection_pb2_grpc.ServerReflectionStub
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_health_answers_overall_and_per_service(remote: World) -> None:
    async with grpc.aio.insecure_channel(remote.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "echo.v1.EchoService"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="other.v1.Other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_and_describes_the_services(remote: World) -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="echo.v1.EchoService"),
    ]
    async with grpc.aio.insecure_channel(remote.address) as channel:
        stub = ReflectionStub(channel)
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]
    assert {service.name for service in answers[0].list_services_response.service} == {
        "echo.v1.EchoService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert b"EchoRequest" in answers[1].file_descriptor_response.file_descriptor_proto[0]


async def test_drain_lets_a_running_call_finish_and_takes_no_other(remote: World) -> None:
    assert remote.server is not None
    started, go_on = asyncio.Event(), asyncio.Event()

    async def behaviour(_: Any) -> Any:
        started.set()
        await go_on.wait()
        return remote.reply("finished")

    remote.behave(behaviour)
    async with grpc.aio.insecure_channel(remote.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        call = asyncio.ensure_future(remote.stub.Echo(remote.request()))
        await asyncio.wait_for(started.wait(), 1.0)
        drain = asyncio.ensure_future(remote.server.drain(5.0))
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
        with pytest.raises(errors.Unavailable) as caught:
            await remote.stub.Echo(remote.request(), timeout=1.0)
        assert "127.0.0.1" not in caught.value.detail
        go_on.set()
        assert (await call).text == "finished"
        await asyncio.wait_for(drain, 2.0)


async def test_drain_ends_a_call_that_takes_longer(remote: World) -> None:
    assert remote.server is not None
    started = asyncio.Event()

    async def behaviour(_: Any) -> Any:
        started.set()
        await asyncio.sleep(30)

    remote.behave(behaviour)
    call = asyncio.ensure_future(remote.stub.Echo(remote.request(), timeout=20.0))
    await asyncio.wait_for(started.wait(), 15.0)
    began = time.monotonic()
    await remote.server.drain(0.1)
    assert time.monotonic() - began < 15.0
    with pytest.raises(errors.Unavailable):
        await call


async def test_a_client_finds_a_restarted_server(remote: World) -> None:
    assert remote.server is not None

    async def behaviour(_: Any) -> Any:
        return remote.reply("here")

    remote.behave(behaviour)
    await remote.stub.Echo(remote.request())
    await remote.server.drain(0)
    with pytest.raises(errors.Unavailable):
        await remote.stub.Echo(remote.request())
    host, _, port = remote.address.rpartition(":")
    remote.server = RpcServer(host, int(port))
    remote.server.add(remote.table)
    await remote.server.start()
    until = time.monotonic() + 5.0
    while True:
        try:
            assert (await remote.stub.Echo(remote.request())).text == "here"
            break
        except errors.Unavailable:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)


async def test_a_foreign_clients_call_has_its_deadline_and_no_rights(remote: World) -> None:
    seen: list[context.CallContext] = []

    async def behaviour(_: Any) -> Any:
        seen.append(context.current())
        return remote.reply()

    remote.behave(behaviour)
    async with grpc.aio.insecure_channel(remote.address) as channel:
        await remote.generated.grpc.EchoServiceStub(channel).Echo(remote.request(), timeout=3.0)
    assert (seen[0].merchant_id, seen[0].actor, seen[0].role) == ("", "", "")
    assert 0.0 < (seen[0].remaining() or 0.0) < 4.0  # gRPC rounds a timeout up on the wire


async def test_a_deadline_that_is_no_number_is_refused(remote: World) -> None:
    async with grpc.aio.insecure_channel(remote.address) as channel:
        stub = remote.generated.grpc.EchoServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Echo(remote.request(), metadata=(("x-loyalnest-deadline-ms", "soon"),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_taken_port_is_said_clearly(remote: World) -> None:
    port = int(remote.address.rpartition(":")[2])
    with pytest.raises(errors.InvalidInput, match="LOYALNEST_GRPC_PORT"):
        await RpcServer("127.0.0.1", port).start()


async def test_a_service_that_is_nowhere_is_said_clearly() -> None:
    with pytest.raises(errors.InvalidInput, match=r'LOYALNEST_PEERS.*"admin_core": "admin-core:9090"'):
        Channels({}, {}).channel("admin_core")


async def test_a_service_that_runs_here_is_called_here(echo: Any) -> None:
    world = await open_world("local", echo)

    async def behaviour(_: Any) -> Any:
        return world.reply("local")

    world.behave(behaviour)
    channels = Channels({"echo": world.table}, {"echo": "127.0.0.1:1"})
    stub = echo.grpc.EchoServiceStub(channels.channel("echo"))
    assert channels.channel("echo") is channels.channel("echo")
    assert (await stub.Echo(world.request())).text == "local"
    await channels.close()


def test_a_streaming_method_is_refused() -> None:
    handler: Any = grpc.unary_stream_rpc_method_handler(lambda *_: None)
    with pytest.raises(TypeError, match="streams"):
        MethodTable().add_registered_method_handlers("echo.v1.EchoService", {"Watch": handler})
