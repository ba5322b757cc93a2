"""What webhooks may reach, how they are signed, and what answers mean."""

import asyncio
import ipaddress
from datetime import UTC, datetime
from uuid import UUID

import pytest

from loyalnest.event_tracking.models import Delivered, NotTaken, Rejected
from loyalnest.event_tracking.webhook_addresses import NotReachable, checked_url, is_public, resolve
from loyalnest.event_tracking.webhook_delivery import meaning
from loyalnest.event_tracking.webhook_signing import signed_headers
from loyalnest.kit.errors import InvalidInput


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "0.0.0.0",  # noqa: S104 - nothing listens
        "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
        "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:a00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_public_net(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/", "https://[::1]/", "https://localhost/",
        "https://[::ffff:169.254.169.254]/", "https://10.1.2.3:8443/x",
    ],
)  # fmt: skip
def test_a_host_that_stands_for_a_private_address_is_not_connected_to(url: str) -> None:
    with pytest.raises(NotReachable):
        asyncio.run(resolve(url, private=False))


def test_the_address_stands_in_the_place_of_the_host() -> None:
    found = asyncio.run(resolve("https://localhost:8443/hooks?a=1", private=True))
    assert found.url == "https://127.0.0.1:8443/hooks?a=1"
    assert (found.host_header, found.server_name) == ("localhost:8443", "localhost")


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com/", "https://", "https://a:b@example.com/", "https://example.com/#x",
        "https://example.com:x/", "https://example.com:0/", "https://[::1/", "https://ex ample.com/",
        "https://example.com/\n", "https://exämple.com/", "https://example.com/" + "x" * 2000,
    ],
)  # fmt: skip
def test_urls_that_no_setting_allows(url: str) -> None:
    with pytest.raises(InvalidInput):
        checked_url(url, private=True)


@pytest.mark.parametrize(("url", "in_development"), [
    ("https://example.com/hooks?x=1", True), ("https://example.com:8443", True), ("http://example.com/", False),
])  # fmt: skip
def test_only_loopback_may_be_without_tls_and_in_development_only(url: str, in_development: bool) -> None:
    for private in (False, True):
        if in_development:
            assert checked_url(url, private=private) == url
        else:
            with pytest.raises(InvalidInput):
                checked_url(url, private=private)
    for local in ("http://localhost:9/", "http://127.0.0.1:9/", "http://[::1]:9/", "https://10.0.0.1/"):
        assert checked_url(local, private=True) == local
        with pytest.raises(InvalidInput):
            checked_url(local, private=False)


def test_signatures_are_those_of_the_specification() -> None:
    """The secret and the payload are the example of the libraries of standardwebhooks.com; `openssl dgst` signed it."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    now = datetime.fromtimestamp(1614265330, UTC)
    headers = signed_headers(UUID(int=1), b'{"test": 2432232314}', [secret], now)
    assert headers == {
        "webhook-id": "00000000-0000-0000-0000-000000000001",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,iCxWDzOB1td6pu5wFuJotaWTEKkcYodMae2NqIIaffg=",
    }


def test_only_2xx_is_taken_and_only_410_is_final() -> None:
    for status in range(200, 600):
        kind = Delivered if status < 300 else Rejected if status == 410 else NotTaken
        assert isinstance(meaning(status, 0.0), kind), status
    assert meaning(503, 7.0) == NotTaken("The receiver answered 503.", 7.0)
