"""A way to the Docker daemon that a test can break: it passes everything on until it is held or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

DAEMON = "/var/run/docker.sock"


class Way:
    """Listens on a socket and passes on to the daemon; after :meth:`cut` nobody is served, and open connections are broken."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(DAEMON)
            with self._lock:
                self._open |= {client, daemon}
            for source, target in ((client, daemon), (daemon, client)):
                thread = threading.Thread(target=self._pass, args=(source, target), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def hold(self) -> None:
        """Pass nothing on from now, until it is cut."""
        self._flows.clear()

    def cut(self) -> None:
        self._flows.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        with self._lock:
            for one in self._open:
                one.close()
            self._open.clear()


@contextlib.contextmanager
def unix(path: str) -> Iterator[Way]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    yield from _way(listener)


@contextlib.contextmanager
def tcp(host: str) -> Iterator[tuple[Way, int]]:
    listener = socket.socket()
    listener.bind((host, 0))
    port: int = listener.getsockname()[1]
    for way in _way(listener):
        yield way, port


def _way(listener: socket.socket) -> Iterator[Way]:
    listener.listen(50)
    way = Way(listener)
    try:
        yield way
    finally:
        way.cut()
