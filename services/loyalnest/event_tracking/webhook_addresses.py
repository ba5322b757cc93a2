"""Which addresses webhooks may go to. A merchant's address must not make this service reach into its own network."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from loyalnest.kit.errors import InvalidInput

MOST_URL: Final = 2000
_PORTS: Final = {"https": 443, "http": 80}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED: Final = 0x64FF9B << 64
"""The first 96 bits of addresses that hold one of IPv4 behind NAT64: 64:ff9b::/96 (RFC 6052)."""


class NotReachable(Exception):
    """A host that has no address, or one that webhooks must not go to. The text is for the merchant."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect: `url` with the address in the host's place, the `Host` header, and the name for TLS."""

    url: str
    host_header: str
    server_name: str


def checked_url(url: str, *, private: bool) -> str:
    """The address of a subscription. Raises InvalidInput for one that cannot be. private: as the setting says."""
    parts = _split(url)
    if parts is None or not url.isascii() or not url.isprintable() or " " in url or len(url) > MOST_URL:
        raise InvalidInput(f"url is an address such as https://example.com/hooks, of at most {MOST_URL} characters.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidInput("url has no login and no fragment: deliveries are proven by their signatures.")
    literal = _literal(parts.hostname or "")
    local = parts.hostname == "localhost" or (literal is not None and literal.is_loopback)
    if parts.scheme == "http" and not (private and local):
        raise InvalidInput("url begins with https://: webhooks do not go over the net in the clear.")
    if not private and (local or (literal is not None and not is_public(literal))):
        raise InvalidInput("url is a private address, and webhooks go to public ones only.")
    return url


def without_query(url: str) -> str:
    """`url` as logs may have it: many receivers put a key of their own into the query."""
    head, question, _ = url.partition("?")
    return f"{head}?…" if question else head


def is_public(address: Address) -> bool:
    """Whether an address is one of the public net, also if it holds one of IPv4 inside."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if int(address) >> 32 == _TRANSLATED:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.sixtofour is not None or address.teredo is not None:  # tunnels, which nobody serves webhooks by
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def resolve(url: str, *, private: bool) -> Destination:
    """Look the host of `url` up once, and say where to connect, so that no second look-up can say another thing.

    Raises NotReachable; all of the host's addresses must be public, unless `private`.
    """
    parts = _split(url)
    if parts is None or parts.hostname is None:
        raise NotReachable("The address is not valid any more.")
    port = parts.port or _PORTS[parts.scheme]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotReachable("The host's name cannot be resolved.") from None
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    if not private and not all(map(is_public, addresses)):
        raise NotReachable("The host's name stands for a private address, and webhooks go to public ones only.")
    # IPv4 first: clusters that have IPv6 have IPv4 too, and not always the other way round.
    address = min(addresses, key=lambda each: each.version)
    netloc = f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
    return Destination(
        url=urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, "")),
        host_header=parts.netloc,
        server_name=parts.hostname,
    )


def _split(url: str) -> SplitResult | None:
    """The parts of an address of http or https; None for anything else."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return None
    return parts if valid else None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
