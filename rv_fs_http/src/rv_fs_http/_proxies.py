"""Which proxy a request goes by, as the settings and the environment say."""

from __future__ import annotations

import math
import os
import sys
import time
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]

from requests.utils import select_proxy, should_bypass_proxies

from rv_fs_http._urls import Origin

_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")
_LOOK_AGAIN_SECONDS: Final = 1.0


class Proxies:
    """What the settings and the environment say. ``proxy``, ``no_proxy``: the settings, each
    instead of what the environment says."""

    def __init__(self, proxy: str | None, no_proxy: str | None) -> None:
        self._proxy = proxy
        self._no_proxy = no_proxy
        self._may_be_any = True
        self._looked = -math.inf

    def find(self, url: str, place: Origin) -> str | None:
        """The URL of the proxy for a URL; ``None``: none."""
        if self._proxy is None and not self._environment_may_have_any():
            return None
        if self._no_proxy is None:
            bypassed = should_bypass_proxies(url, no_proxy=None)
        else:
            # requests would write it into the environment, and into the hands of other threads.
            bypassed = _is_among(place, self._no_proxy)
        if bypassed:
            return None
        return self._proxy if self._proxy is not None else select_proxy(url, getproxies())

    def _environment_may_have_any(self) -> bool:
        """Once a second: to ask it in full takes as long as a small request, and even to look at
        it is seen in its time."""
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN_SECONDS:
            self._looked = now
            self._may_be_any = sys.platform in (
                "win32",
                "darwin",
            ) or any(  # whose systems know some
                name in os.environ or name.upper() in os.environ for name in _VARIABLES
            )
        return self._may_be_any


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
