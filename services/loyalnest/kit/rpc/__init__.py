"""Calls between services: in this process or over gRPC, behind the same interceptors either way.

The server's side is `handlers`, the client's `channel`; `metadata` is the only thing that crosses between them
besides the messages. `directory` chooses the way to a service, `server` listens for the other processes.
"""

from loyalnest.kit.rpc.directory import Channels
from loyalnest.kit.rpc.handlers import MethodTable
from loyalnest.kit.rpc.server import RpcServer

__all__ = ["Channels", "MethodTable", "RpcServer"]
