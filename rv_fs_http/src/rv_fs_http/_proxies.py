"""Which proxy a request goes by, as the settings and the environment say."""

from __future__ import annotations

import os
import sys
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]

from requests.utils import select_proxy, should_bypass_proxies

from rv_fs_http._urls import Origin

_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")
_VARIABLES_IN_USE: Final = (*_VARIABLES, *map(str.upper, _VARIABLES))


def proxy_of(url: str, place: Origin, proxy: str | None, no_proxy: str | None) -> str | None:
    """The URL of the proxy for a URL; ``None``: none.

    ``proxy`` and ``no_proxy``: the settings, each instead of what the environment says.
    """
    if proxy is None and not _may_have_proxies():
        return None
    if no_proxy is None:
        bypassed = should_bypass_proxies(url, no_proxy=None)
    else:
        # requests would write it into the environment, and into the hands of other threads.
        bypassed = _is_among(place, no_proxy)
    if bypassed:
        return None
    return proxy if proxy is not None else select_proxy(url, getproxies())


def _may_have_proxies() -> bool:
    """Whether this environment may want a proxy to be used: to ask it in full takes as long as a
    small request."""
    if sys.platform in ("win32", "darwin"):
        return True  # they have settings of the system, too
    environment = os.environ
    return any(name in environment for name in _VARIABLES_IN_USE)


def _is_among(place: Origin, no_proxy: str) -> bool:
    """Whether a list of hosts, domains, and networks, comma between, holds a place's host."""
    if proxy_bypass_environment(f"{place.host}:{place.port}", {"no": no_proxy}):
        return True
    for each in no_proxy.split(","):
        try:
            if ip_address(place.host) in ip_network(each.strip(), strict=False):
                return True
        except ValueError:  # names are no networks
            pass
    return False
