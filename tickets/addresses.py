"""Which addresses a webhook may be sent to, and a connection to exactly the address that was checked.

A configured host name is resolved once, *all* its addresses are checked, and the connection goes to a checked address
while ``Host`` and the certificate keep the name: a name that changes its address between check and use gains nothing.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from lake.errors import DeliveryError
from tickets.answers import DestinationBusyError
from tickets.receivers import Answer, Request

USER_AGENT = "metriage"
ANSWER_LIMIT_BYTES = 64 * 1024
_CHUNK_BYTES = 8 * 1024

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], tuple[str, ...]]

# Addresses that carry an IPv4 address inside and would lead past the check of that one.
_TRANSLATED = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_UNIQUE_LOCAL = ipaddress.ip_network("fc00::/7")
_PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook goes.

    Parameters
    ----------
    scheme : str
        ``http`` or ``https``.
    host : str
        Name or address as configured.
    port : int
        Port.
    path : str
        Path and query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Take a checked address of the settings apart."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, parts.hostname or "", port, path)

    @property
    def host_header(self) -> str:
        """Name and, unless it is the usual one, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return all addresses of `host`, in the system's order.

    Raises
    ------
    OSError
        The name has no address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def why_refused(address: str, *, allow_private: bool) -> str | None:
    """Say why nothing is sent to `address`, or None when it is allowed.

    Parameters
    ----------
    address : str
        IPv4 or IPv6 address.
    allow_private : bool
        Allow loopback and private networks. Link-local addresses (among them the metadata services of clouds),
        multicast and reserved ones stay refused.

    Examples
    --------
    >>> why_refused("192.168.1.7", allow_private=False)
    'private network'
    >>> why_refused("192.168.1.7", allow_private=True)
    >>> why_refused("169.254.169.254", allow_private=True)
    'link-local'
    """
    try:
        ip: IPAddress = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "not an address"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return None if allow_private else "this machine"
    if ip.is_link_local:
        return "link-local"
    if any(ip in network for network in (*_PRIVATE, _SHARED, _UNIQUE_LOCAL)):
        return None if allow_private else "private network"
    special = ip.is_multicast or ip.is_unspecified or ip.is_reserved or not ip.is_global
    site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    if special or site_local or any(ip in network for network in _TRANSLATED):
        return "not a public address"
    return None


def checked_addresses(target: Target, *, allow_private: bool, resolver: Resolve = resolve) -> tuple[str, ...]:
    """Resolve a destination once and return its addresses if every one of them is allowed.

    Raises
    ------
    DestinationBusyError
        The name cannot be resolved now.
    DeliveryError
        An address is refused.
    """
    try:
        addresses = resolver(target.host, target.port)
    except (OSError, UnicodeError) as error:
        raise DestinationBusyError(f"the name {target.host} cannot be resolved: {error}", retry=True) from error
    for address in addresses:
        reason = why_refused(address, allow_private=allow_private)
        if reason is not None:
            hint = "; allow_private = true would allow it" if why_refused(address, allow_private=True) is None else ""
            raise DeliveryError(f"{target.host} has the address {address}: {reason}{hint}", retry=True)
    if not addresses:
        raise DestinationBusyError(f"the name {target.host} has no address", retry=True)
    return addresses


def send(
    request: Request,
    *,
    target: Target,
    addresses: tuple[str, ...],
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
    answer_limit_bytes: int = ANSWER_LIMIT_BYTES,
) -> Answer:
    """Send one request to the first of the checked addresses that takes the connection.

    Parameters
    ----------
    request : Request
        What to send.
    target : Target
        Where to.
    addresses : tuple of str
        From :func:`checked_addresses`.
    timeout_s : float
        Limit for everything together, to the last byte of the answer [s].
    tls : ssl.SSLContext, optional
        Instead of one with the system's certificates. Certificate and name are verified in any case.
    answer_limit_bytes : int
        No more of the answer's body is read [bytes].

    Raises
    ------
    DestinationBusyError
        No connection, a certificate that does not hold, no answer in time. An answer whose body breaks off, is too
        long or too slow is returned as far as it came: its status says what became of the request.
    """
    deadline_s = time.monotonic() + timeout_s
    for position, address in enumerate(addresses, start=1):
        connection = _connection(target, address, max(deadline_s - time.monotonic(), 0.001), tls)
        try:
            return _exchange(request, target, connection, deadline_s=deadline_s, limit=answer_limit_bytes)
        except _NoConnectionError:
            if position == len(addresses):
                raise
    raise DestinationBusyError(f"the name {target.host} has no address", retry=True)


def reach(*, target: Target, addresses: tuple[str, ...], timeout_s: float, tls: ssl.SSLContext | None = None) -> None:
    """Connect as :func:`send` would, certificate included, and send nothing.

    Raises
    ------
    DestinationBusyError
        No connection, or a certificate that does not hold.
    """
    for position, address in enumerate(addresses, start=1):
        connection = _connection(target, address, timeout_s, tls)
        try:
            _connect(connection, target)
        except _NoConnectionError:
            if position == len(addresses):
                raise
        else:
            return
        finally:
            connection.close()


class _NoConnectionError(DestinationBusyError):
    """Nothing was sent: the next address may be tried."""


class _Deadline:
    """Ends an exchange that takes too long: time-outs of sockets begin anew with every byte, this one does not."""

    def __init__(self, seconds: float) -> None:
        self.is_over = threading.Event()
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(max(seconds, 0.001), self._abort)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()

    def guard(self, connection: HTTPConnection) -> None:
        """Watch over an open connection, which lets go of its socket before the body is read."""
        self._sock = connection.sock
        self.check()

    def check(self) -> None:
        if self.is_over.is_set():
            raise DestinationBusyError("no answer in time", retry=True)

    def _abort(self) -> None:
        self.is_over.set()
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


def _exchange(request: Request, target: Target, connection: HTTPConnection, *, deadline_s: float, limit: int) -> Answer:
    with closing(connection), _Deadline(deadline_s - time.monotonic()) as deadline:
        try:
            _connect(connection, target)
            deadline.guard(connection)
            connection.request(
                request.method,
                request.target or target.path,
                body=request.body,
                headers=_headers(request.headers, target),
                preload_content=False,
                decode_content=False,
            )
            response = connection.getresponse()
            deadline.check()
            return _read(response, limit, deadline)
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            if isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError)):
                raise DestinationBusyError("no answer in time", retry=True) from error
            deadline.check()
            raise DestinationBusyError(f"the connection broke: {_plain(error)}", retry=True) from error


def _connection(target: Target, address: str, timeout_s: float, tls: ssl.SSLContext | None) -> HTTPConnection:
    if target.scheme == "http":
        return HTTPConnection(address, target.port, timeout=timeout_s)
    return HTTPSConnection(
        address,
        target.port,
        timeout=timeout_s,
        ssl_context=tls or ssl.create_default_context(),
        cert_reqs=ssl.CERT_REQUIRED,
        server_hostname=target.host,
    )


def _connect(connection: HTTPConnection, target: Target) -> None:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        raise DestinationBusyError(
            f"the certificate of {target.host} does not hold: {error.verify_message}", retry=True
        ) from error
    except ssl.SSLError as error:
        raise DestinationBusyError(f"no TLS with {target.host}: {error.reason}", retry=True) from error
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise _NoConnectionError(f"no connection to {target.host}: {_plain(error)}", retry=True) from error
    except OSError as error:
        raise DestinationBusyError(f"no connection to {target.host}: {error}", retry=True) from error


def _headers(given: Mapping[str, str], target: Target) -> dict[str, str]:
    return {**given, "host": target.host_header, "user-agent": USER_AGENT, "accept-encoding": "identity"}


def _read(response: urllib3.response.HTTPResponse, limit: int, deadline: _Deadline) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = b""
    complete = False
    with response, suppress(HTTPError, http.client.HTTPException, OSError, ValueError):
        while len(body) < limit and not complete:
            chunk = response.read1(_CHUNK_BYTES)
            body += chunk
            complete = not chunk
    return Answer(response.status, headers, body[:limit], complete and not deadline.is_over.is_set())


def _plain(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    return str(cause if isinstance(cause, OSError) else error) or type(error).__name__
