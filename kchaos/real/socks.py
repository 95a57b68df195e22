"""A SOCKS5 front that gives each source of a cluster its own way to every peer: ``python -m kchaos.real.socks``.

etcd dials its peers through the proxy of its environment (``http.ProxyFromEnvironment`` in its transport, 3.4 to 3.6). One listener per
source member tells who dials; the address asked for tells whom; the pair has a Toxiproxy proxy. Beyond the handshake (RFC 1928: no
authentication, CONNECT) no byte is looked at. It reads one line of JSON, ``{source: {"address:port": local port}}``, and answers with one,
``{source: port it listens on}``. It refuses everybody until it reads a second line, which it answers by ``open``, and ends when its
standard input closes, so that it never outlives its parent.

Run as a module of its own, it must start fast: nothing but the standard library is imported.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections.abc import Mapping

HOST = "127.0.0.1"
_GRANTED, _REFUSED, _FORBIDDEN = (b"\x05" + code + b"\x00\x01" + bytes(6) for code in (b"\x00", b"\x05", b"\x02"))
_RESET = struct.pack("ii", 1, 0)


class _Side(asyncio.Protocol):
    """One end of a pair of connections: what arrives at it leaves at the other; a full one stops the other's reading."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.ended = False
        """It sends no more; when both have ended, the connections are closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass a half-close on; the other half lives until it ends too (False: asyncio closes this one, which closes the other)."""
        self.ended = True
        if self.other is None or self.other.ended or self.other.transport is None:
            return False
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        other = self.other.transport if self.other is not None else None
        self.transport = None
        if other is None:
            return
        if isinstance(error, ConnectionResetError):  # a reset stays one: whoever is behind must see what Toxiproxy did
            other.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            other.abort()
        else:
            other.close()


class _Client(_Side):
    """A connection from a member, which says first where it wants to go."""

    def __init__(self, routes: Mapping[str, int], opened: asyncio.Event) -> None:
        super().__init__()
        self._routes = routes
        self._opened = opened
        self._head = b""
        self._greeted = False
        self._dialling: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
            return
        self._head += data
        head = self._head
        assert self.transport is not None
        if not self._greeted:
            if len(head) < 2 or len(head) < 2 + head[1]:
                return
            self._greeted, self._head = True, head[2 + head[1] :]
            self.transport.write(b"\x05\x00")
            head = self._head
        if len(head) < 10:  # version, CONNECT, reserved, IPv4 (Go sends an address that is a literal as one), address, port
            return
        wish = f"{socket.inet_ntoa(head[4:8])}:{int.from_bytes(head[8:10], 'big')}" if head[1] == 1 and head[3] == 1 else ""
        port = self._routes.get(wish)
        self._head = b""
        if port is None:
            self.transport.write(_FORBIDDEN)
            self.transport.close()
            return
        self.transport.pause_reading()
        self._dialling = asyncio.get_running_loop().create_task(self._dial(port))

    async def _dial(self, port: int) -> None:
        try:
            if not self._opened.is_set():
                raise ConnectionRefusedError
            _, other = await asyncio.get_running_loop().create_connection(_Side, HOST, port)
        except OSError:
            if self.transport is not None:
                self.transport.write(_REFUSED)
                self.transport.close()
            return
        if self.transport is None:  # gone in the meantime
            if other.transport is not None:
                other.transport.close()
            return
        self.other, other.other = other, self
        self.transport.write(_GRANTED)
        self.transport.resume_reading()


async def serve() -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    config = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    opened = asyncio.Event()
    ports = {}
    for source, routes in config.items():
        server = await loop.create_server(lambda routes=routes: _Client(routes, opened), HOST, 0)  # type: ignore[misc]  # its default is its type
        ports[source] = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    if await loop.run_in_executor(None, sys.stdin.readline):
        opened.set()
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
