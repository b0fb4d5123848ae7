"""Which addresses a provider may have: never the metadata services of clouds, private networks only when local."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name, or an IPv6 address without a zone."""
_METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, for pods
        "fd00:42::42",  # Scaleway
        "fd20:ce::254",  # Google
    )
)
"""Those that are not link-local, which all others are."""
_LAST_FOUR: Final = tuple(
    ipaddress.ip_network(text) for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
"""Networks whose addresses end in an IPv4 address (RFC 4291, 2765, 6052)."""
_NOWHERE: Final = tuple(ipaddress.ip_network(text) for text in ("0.0.0.0/8", "2001:db8::/32", "3fff::/20", "100::/64"))


def refused_address(base_url: str, *, local: bool) -> str | None:
    """Return why ``base_url`` may not be a provider's, or None; names are judged again when they are resolved."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        return f"base_url does not read: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "base_url must be http:// or https:// with a host"
    if parts.username is not None or parts.password is not None:
        return "base_url must hold no user or password: set a credential"
    if parts.query or parts.fragment or any(c.isspace() for c in base_url):
        return "base_url must hold no query, fragment or space"
    try:
        host = host_name(parts.hostname)
    except ValueError as error:
        return str(error)
    if host in _METADATA_NAMES:
        return f"{host} is a cloud's metadata service"
    address = read_address(host)
    if address is not None:
        return refused_ip(address, local=local)
    if not local and (host == "localhost" or host.endswith(".localhost")):
        return f"{host} is this machine: declare the provider local to use it"
    return None


def host_name(host: str) -> str:
    """Return a host in the one spelling that is looked up: ASCII, lower case, without the last dot.

    ``①②⑦。1`` and ``127.1.`` are both ``127.1`` to a resolver. Raises ValueError for what is no host.
    """
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no host: {error}") from error
    name = name.removesuffix(".").lower()
    if not _HOST.fullmatch(name):
        raise ValueError(f"{host!r} is no host")
    return name


def read_address(host: str) -> Address | None:
    """Read an IP address as resolvers do (``127.1``, ``0x7f000001``, ``fe80::1%2``); None: it is a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return _inet_aton(host)


def _inet_aton(host: str) -> Address | None:
    parts = host.split(".")
    if len(parts) > 4:
        return None
    numbers: list[int] = []
    for part in parts:
        try:
            base = 16 if part[:2] in ("0x", "0X") else 8 if len(part) > 1 and part[0] == "0" else 10
            numbers.append(int(part, base))
        except ValueError:
            return None
    *leading, last = numbers
    if any(number > 255 for number in leading) or last >= 256 ** (4 - len(leading)):
        return None
    value = last + sum(number << 8 * (3 - place) for place, number in enumerate(leading))
    return ipaddress.IPv4Address(value)


def refused_ip(address: Address, *, local: bool) -> str | None:
    """Return why a request may not go to ``address``, or None; one that carries another is judged by that."""
    carried = _carried(address)
    if carried is not None:
        return refused_ip(carried, local=local)
    if address in _METADATA or address.is_link_local:
        return f"{address} is link-local or a cloud's metadata service"
    if any(address in network for network in _NOWHERE) or address.is_multicast or address.is_unspecified:
        return f"{address} is no address of a server"
    if address.is_reserved and not address.is_loopback:
        return f"{address} is no address of a server"
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    if not local and (site_local or not address.is_global):
        return f"{address} is in a private network: declare the provider local to use it"
    return None


def _carried(address: Address) -> Address | None:
    """Return the IPv4 address that an IPv6 one stands for: mapped, compatible, translated, NAT64, 6to4 or Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in _LAST_FOUR) and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or (address.teredo[1] if address.teredo else None)
