"""The pages, as a browser asks for them: their files, what they may load, and what is not there."""

import re
from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient

from loyalnest.frontend.pages import build_app


@pytest.fixture
async def pages() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(build_app()), base_url="http://here") as client:
        yield client


async def test_the_start_page_links_to_files_that_are_there(pages: AsyncClient) -> None:
    page = await pages.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"<(?:script|style)>| style=| on[a-z]+=", page.text) == []
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    own = [link for link in links if link.startswith("/static/")]
    assert len(own) == 3
    for link in own:
        assert (await pages.get(link)).status_code == 200, link
    assert all(link.startswith("/") for link in links)


async def test_an_unchanged_page_is_not_sent_again(pages: AsyncClient) -> None:
    page = await pages.get("/")
    again = await pages.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.text) == (304, "")


async def test_pages_may_load_nothing_from_elsewhere(pages: AsyncClient) -> None:
    for path in ("/", "/static/start.js"):
        headers = (await pages.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/static/none.js", "/static/../pages.py", "/static/%2e%2e/pages.py"])
async def test_what_is_not_there_is_a_problem_document(pages: AsyncClient, path: str) -> None:
    answer = await pages.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
