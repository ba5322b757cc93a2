"""Channels for routes that are built before the services they call."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from loyalnest.kit.environment import Environment


class LaterChannel:
    """A channel to a service of this process that may not have been built yet; it is looked up at the first call."""

    def __init__(self, channel: Callable[[str], Any], service: str) -> None:
        self._channel = channel
        self._service = service

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Callable[..., Awaitable[Any]]:
        """The call of `method`, as a generated stub asks for it."""
        found: Callable[..., Awaitable[Any]] | None = None

        async def call(request: Any, **options: Any) -> Any:
            nonlocal found
            if found is None:
                channel = self._channel(self._service)
                found = channel.unary_unary(method, request_serializer, response_deserializer, _registered_method)
            return await found(request, **options)

        return call


def with_later_channels(environment: Environment) -> Environment:
    """`environment` whose channels to services of this process do not need them to be there yet.

    A channel to a service that is neither here nor at an address still raises InvalidInput at once.
    """

    def channel(service: str) -> Any:
        if service in environment.running:
            return LaterChannel(environment.channel, service)
        return environment.channel(service)

    return replace(environment, channel=channel)
