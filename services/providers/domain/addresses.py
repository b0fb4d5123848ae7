"""Which addresses a provider may have: never the metadata services of clouds, private networks only when local."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "168.63.129.16")
)


def refused_address(base_url: str, *, local: bool) -> str | None:
    """Return why ``base_url`` may not be a provider's, or None; names are judged again when they are resolved."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        return f"base_url does not read: {error}"
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return "base_url must be http:// or https:// with a host"
    if parts.username is not None or parts.password is not None:
        return "base_url must hold no user or password: set a credential"
    if parts.query or parts.fragment or any(c.isspace() for c in base_url):
        return "base_url must hold no query, fragment or space"
    if host in _METADATA_NAMES:
        return f"{host} is a cloud's metadata service"
    address = read_address(host)
    if address is not None:
        return refused_ip(address, local=local)
    if not local and (host == "localhost" or host.endswith(".localhost")):
        return f"{host} is this machine: declare the provider local to use it"
    return None


def read_address(host: str) -> Address | None:
    """Read an IP address in any spelling that resolvers take (``127.1``, ``0x7f000001``, ``[::1]``); None: a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
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
    """Return why a request may not go to ``address``, or None."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if embedded is None and address in ipaddress.ip_network("64:ff9b::/96"):
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None:
            return refused_ip(embedded, local=local)
    if address in _METADATA or address.is_link_local:
        return f"{address} is link-local or a cloud's metadata service"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return f"{address} is no address of a server"
    if not local and not address.is_global:
        return f"{address} is in a private network: declare the provider local to use it"
    return None
