"""Which application answers which path."""

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.responses import PlainTextResponse

from loyalnest.kit.http.paths import ByPath

OWNERS = {"/": "pages", "/static/": "pages", "/help": "help"}


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/", "pages"),
        ("/static/a.js", "pages"),
        ("/static/deep/a.js", "pages"),
        ("/static", "edge"),
        ("/help", "help"),
        ("/help/me", "edge"),
        ("/helpers", "edge"),
        ("/frontend/points", "edge"),
        ("//static/", "edge"),
    ],
)
async def test_a_path_goes_to_its_owner(path: str, owner: str) -> None:
    app = ByPath(PlainTextResponse("edge"), {path: PlainTextResponse(name) for path, name in OWNERS.items()})
    async with AsyncClient(transport=ASGITransport(app)) as client:
        assert (await client.get(f"http://here{path}")).text == owner
