"""The way to each service: the one that runs here, or the peer that runs it."""

from collections.abc import Mapping

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel, remote_channel
from loyalnest.kit.rpc.handlers import MethodTable


class Channels:
    """Channels of one process, one per service, made at first use.

    tables: methods of the services that run here; a service that is added later is found if nobody asked before.
    peers: `host:port` of the services that run elsewhere. A service that runs here is always called here.
    """

    def __init__(self, tables: Mapping[str, MethodTable], peers: Mapping[str, str]) -> None:
        self._tables = tables
        self._peers = peers
        self._channels: dict[str, ClientChannel] = {}

    def channel(self, service: str) -> ClientChannel:
        """The channel to `service`. Raises InvalidInput if it neither runs here nor has an address."""
        if service not in self._channels:
            if service in self._tables:
                self._channels[service] = ClientChannel(LocalChannel(self._tables[service]), service)
            elif self._peers.get(service):
                self._channels[service] = ClientChannel(remote_channel(self._peers[service]), service)
            else:
                raise InvalidInput(
                    f"The {service} service does not run in this process and has no address: "
                    f'set LOYALNEST_PEERS, for example to {{"{service}": "{service.replace("_", "-")}:9090"}}.'
                )
        return self._channels[service]

    async def close(self) -> None:
        """Close every channel; calls under way over the network are cancelled."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()
