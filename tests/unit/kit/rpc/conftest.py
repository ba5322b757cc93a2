"""A small service of its own, reached both ways. Its code is generated when the tests run."""

import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from loyalnest.kit.rpc import Channels, MethodTable, RpcServer

ROOT = Path(__file__).resolve().parents[4]
PROTO = """
syntax = "proto3";
package echo.v1;
message EchoRequest { string text = 1; repeated string words = 2; }
message EchoReply { string text = 1; string merchant = 2; }
service EchoService {
  rpc Echo(EchoRequest) returns (EchoReply);
  rpc Missing(EchoRequest) returns (EchoReply);
}
"""


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The generated modules: `messages` and `grpc`."""
    root = tmp_path_factory.mktemp("protos")
    (root / "rpc_echo").mkdir()
    (root / "rpc_echo" / "echo.proto").write_text(PROTO)
    generate = [sys.executable, str(ROOT / "tools" / "generate_proto.py"), "--services", str(root)]
    subprocess.run(generate, check=True, capture_output=True)
    sys.path.insert(0, str(root))
    try:
        messages = importlib.import_module("rpc_echo.echo_pb2")
        yield Generated(messages, importlib.import_module("rpc_echo.echo_pb2_grpc"))
    finally:
        sys.path.remove(str(root))


@dataclass(frozen=True)
class Generated:
    messages: Any
    grpc: Any


class EchoServicer:
    """Does what the test says, in the generated servicer's form."""

    def __init__(self, base: Any) -> None:
        self.behaviour: Callable[[Any], Awaitable[Any]]
        self.calls = 0
        self.Missing = base.Missing

    async def Echo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the proto's name
        self.calls += 1
        return await self.behaviour(request)


@dataclass
class World:
    """One service, `echo`, and the way to it."""

    packing: str
    generated: Generated
    servicer: EchoServicer
    table: MethodTable
    channels: Channels
    server: RpcServer | None = None
    address: str = ""
    stub: Any = field(init=False)

    def __post_init__(self) -> None:
        self.stub = self.generated.grpc.EchoServiceStub(self.channels.channel("echo"))

    def request(self, text: str = "") -> Any:
        return self.generated.messages.EchoRequest(text=text)

    def reply(self, text: str = "", merchant: str = "") -> Any:
        return self.generated.messages.EchoReply(text=text, merchant=merchant)

    def behave(self, behaviour: Callable[[Any], Awaitable[Any]]) -> None:
        self.servicer.behaviour = behaviour
        self.servicer.calls = 0


async def open_world(packing: str, generated: Generated) -> World:
    servicer = EchoServicer(generated.grpc.EchoServiceServicer())
    table = MethodTable()
    generated.grpc.add_EchoServiceServicer_to_server(servicer, table)
    if packing == "local":
        return World(packing, generated, servicer, table, Channels({"echo": table}, {}))
    server = RpcServer("127.0.0.1", 0)
    server.add(table)
    address = f"127.0.0.1:{await server.start()}"
    return World(packing, generated, servicer, table, Channels({}, {"echo": address}), server, address)


async def close_world(world: World) -> None:
    await world.channels.close()
    if world.server is not None:
        await world.server.drain(0)


@pytest_asyncio.fixture(params=["local", "remote"])
async def world(request: pytest.FixtureRequest, echo: Generated) -> AsyncIterator[World]:
    opened = await open_world(request.param, echo)
    yield opened
    await close_world(opened)


@pytest_asyncio.fixture
async def remote(echo: Generated) -> AsyncIterator[World]:
    opened = await open_world("remote", echo)
    yield opened
    await close_world(opened)
