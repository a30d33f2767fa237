"""The address of the HTTP port, and which Host headers may ask there (pure)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

#: The host in a Host header: a name, an IPv4 address, or an IPv6 address in brackets.
_HOST: Final = re.compile(r"\[([^\]]*)\](:\d+)?|([^:]*)(:\d+)?")


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and port of ``HOST:PORT``; without a host it is loopback.

    Raises:
        ValueError: the text is no address.
    """
    host, _, port = text.removeprefix("http://").removesuffix("/").rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535 or "/" in host:
        raise ValueError(f"an address is written HOST:PORT, 127.0.0.1:8080 for instance: {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def may_ask(host_header: str | None, *, listens_on: str, name: str) -> bool:
    """Return whether a request with this Host may be answered.

    A web page may lead a name of its own to the loopback address, and have the browser read what
    answers there (DNS rebinding). Its requests have that name as their Host.

    Args:
        host_header: the Host of the request; None: it has none.
        listens_on: the IP address of the port.
        name: the host that the user gave the port.
    """
    if not ipaddress.ip_address(listens_on).is_loopback:
        return True  # whoever can connect can read
    if host_header is None:  # HTTP/1.0, which no browser speaks
        return True
    found = _HOST.fullmatch(host_header.lower())
    host = "" if found is None else found[1] or found[3] or ""
    return host in ("localhost", name.lower()) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
