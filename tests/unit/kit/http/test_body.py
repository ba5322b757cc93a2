"""Reading a body within its limits."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.http.body import ClientGone, SlowBody, read_body


class Client:
    """Sends `chunks`, then what `then` says: the end, silence, or its disappearance."""

    def __init__(self, chunks: Sequence[bytes], then: str = "end") -> None:
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]
        if then == "end":
            self.messages.append({"type": "http.request", "body": b"", "more_body": False})
        elif then == "gone":
            self.messages.append({"type": "http.disconnect"})
        self.read = 0

    async def receive(self) -> dict[str, Any]:
        if self.read == len(self.messages):
            await asyncio.Event().wait()
        self.read += 1
        return self.messages[self.read - 1]


async def read(client: Client, limit: int = 10, headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    return await read_body({"type": "http", "headers": list(headers)}, client.receive, limit, 0.1)


@given(st.lists(st.binary(max_size=4), max_size=6))
async def test_the_body_is_what_was_sent_or_too_large(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    if len(whole) <= 10:
        assert await read(Client(chunks)) == whole
    else:
        with pytest.raises(TooLarge):
            await read(Client(chunks))


async def test_no_more_is_read_than_shows_that_it_is_too_large() -> None:
    client = Client([b"x" * 6] * 100)
    with pytest.raises(TooLarge):
        await read(client)
    assert client.read == 2


@pytest.mark.parametrize("length", [b"11", b"9" * 40])
async def test_a_length_that_is_too_large_is_enough(length: bytes) -> None:
    client = Client([])
    with pytest.raises(TooLarge):
        await read(client, headers=[(b"content-length", length)])
    assert client.read == 0


async def test_a_length_that_is_none() -> None:
    with pytest.raises(InvalidInput):
        await read(Client([]), headers=[(b"content-length", b"-1")])


async def test_a_client_that_goes_away() -> None:
    with pytest.raises(ClientGone):
        await read(Client([b"x"], then="gone"))


async def test_a_client_that_falls_silent() -> None:
    with pytest.raises(SlowBody):
        await read(Client([b"x"], then="silence"))
