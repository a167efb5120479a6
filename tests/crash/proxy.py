"""A TCP proxy on loopback that does to a connection what bad networks do."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network behaves for now.

    Parameters
    ----------
    delay_s : float
        Every piece waits so long [s].
    bytes_per_s : float
        No more passes in a second [B/s].
    stalled : bool
        Nothing passes in either direction, and nobody is told.
    deaf : bool
        What the client sends is swallowed, as acknowledgements are that do not arrive any more.
    refusing : bool
        New connections are reset.
    """

    delay_s: float = 0.0
    bytes_per_s: float = float("inf")
    stalled: bool = False
    deaf: bool = False
    refusing: bool = False


FAIR = Weather()


class Proxy(contextlib.AbstractContextManager["Proxy"]):
    """Passes connections on to a port of this machine, one thread a direction.

    Parameters
    ----------
    target : int
        Port on 127.0.0.1.
    """

    def __init__(self, target: int) -> None:
        self.weather = FAIR
        self.connections = 0
        self._target = target
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._cut_after: int | None = None
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """Cut every connection with a TCP reset to both sides."""
        for pair in list(self._pairs):
            for end in pair:
                _reset(end)

    def cut_in_packet(self, after: int) -> None:
        """Let `after` more bytes pass to the client, wherever that is in a packet, then reset."""
        self._cut_after = after

    def close_half(self) -> None:
        """Tell the client that the broker sends no more, while the other direction stays open."""
        for client, _ in list(self._pairs):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            if self.weather.refusing:
                _reset(client)
                continue
            try:
                broker = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:  # the broker is away: so are we
                _reset(client)
                continue
            broker.settimeout(None)
            self.connections += 1
            pair = (client, broker)
            self._pairs.add(pair)
            for source, sink, to_client in ((client, broker, False), (broker, client, True)):
                threading.Thread(target=self._pass, args=(pair, source, sink, to_client), daemon=True).start()

    def _pass(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket, to_client: bool
    ) -> None:
        try:
            while data := self._take(source):
                if self.weather.deaf and not to_client:
                    continue
                self._wait(len(data))
                if to_client and self._cut_after is not None:
                    if len(data) > self._cut_after:
                        sink.sendall(data[: self._cut_after])
                        self._cut_after = None
                        break
                    self._cut_after -= len(data)
                sink.sendall(data)
        except (OSError, ValueError):
            pass  # either side went away: so does the other
        finally:
            for end in pair:
                _reset(end)
            self._pairs.discard(pair)

    def _take(self, source: socket.socket) -> bytes:
        """Return what has arrived as soon as the network is fair enough to let it through."""
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            while self.weather.stalled or not selector.select(0.05):
                if source.fileno() < 0 or self._closed.is_set():
                    return b""
                if self.weather.stalled:
                    time.sleep(0.01)
        slow = self.weather.bytes_per_s < float("inf")
        return source.recv(2048 if slow else _CHUNK)

    def _wait(self, size: int) -> None:
        time.sleep(self.weather.delay_s + size / self.weather.bytes_per_s)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):  # wakes the thread that reads it
        end.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        end.close()
