"""Addresses: whether only this machine can reach one, and which proxy the environment puts before it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dnnsweep.redaction import strip_credentials


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find_proxy(url: str) -> str | None:
    """Return the proxy through which the environment sends requests to an address, without its password.

    No proxy can stand before an address of this machine alone: that one would be the proxy's own machine.

    Args:
        url: An address with a scheme; one that cannot be read has no proxy.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    is_direct = not proxy or is_loopback(host) or proxy_bypass(host if port is None else f"{host}:{port}")
    return None if is_direct or proxy is None else strip_credentials(proxy if "://" in proxy else f"http://{proxy}")
