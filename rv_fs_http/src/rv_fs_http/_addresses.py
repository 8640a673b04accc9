"""Which addresses are the public network's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_UNICAST: Final = IPv6Network("2000::/3")  # RFC 4291, 2.4, as far as it is given out
_NOT_PUBLIC: Final = {
    # Where virtual machines of Azure reach the platform itself, from a public range
    # (https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16).
    IPv4Address("168.63.129.16"),
}


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public network: not to this machine, its network, its
    provider's or its cloud's. One that wraps an IPv4 address is as public as that."""
    found = _unwrapped(ip_address(address.partition("%")[0]))
    if found in _NOT_PUBLIC or found.is_multicast:
        return False
    if isinstance(found, IPv6Address) and found not in _UNICAST:
        return False
    return found.is_global


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
