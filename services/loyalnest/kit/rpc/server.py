"""The gRPC port of a process: its services' methods, health and reflection."""

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.rpc import metadata
from loyalnest.kit.rpc.handlers import MethodTable

_OPTIONS = (
    ("grpc.max_send_message_length", metadata.MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", metadata.MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server that gets half the calls
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients send one in 30 s
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_age_ms", 300_000),  # so that clients look up a scaled service's addresses again
    ("grpc.max_connection_age_grace_ms", 30_000),
)


class RpcServer:
    """Serves method tables to other processes.

    host: address to listen on. port: TCP port; 0 takes a free one.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._tables: list[MethodTable] = []
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    def add(self, table: MethodTable) -> None:
        """Serve the methods of `table` from the start on. Raises RuntimeError if the server has started."""
        if self._server is not None:
            raise RuntimeError("A gRPC server takes its methods before it starts.")
        self._tables.append(table)

    async def start(self) -> int:
        """Listen, report SERVING for every service and overall, and return the port.

        Raises InvalidInput if the port is taken or the address is not this machine's.
        """
        server = grpc.aio.server(options=_OPTIONS)
        names = [health.SERVICE_NAME, reflection.SERVICE_NAME]
        for table in self._tables:
            for name, handlers in table.services.items():
                server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
                server.add_registered_method_handlers(name, handlers)
                names.append(name)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(names, server)
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            port: int = server.add_insecure_port(f"{host}:{self._port}")
        except RuntimeError as error:
            raise InvalidInput(
                f"gRPC cannot listen on {host}:{self._port}: set LOYALNEST_HOST and LOYALNEST_GRPC_PORT to a free one."
            ) from error
        await server.start()
        for name in names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server = server
        return port

    async def drain(self, seconds: float) -> None:
        """Report NOT_SERVING, take no new calls, and give those under way `seconds` to finish. Safe to repeat."""
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)
