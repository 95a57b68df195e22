"""The SOCKS5 front: who may go where, bytes as they are, resets and half-closes passed on, and an end with its parent."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from kchaos.real.ports import Ports
from tests.real.gateway import until

WISH = b"\x05\x01\x00\x01" + socket.inet_aton("192.0.2.2") + (2380).to_bytes(2, "big")
HELLO = b"\x05\x01\x00"


class Front:
    def __init__(self, target: int, opened: bool = True) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "kchaos.real.socks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.tell(json.dumps({"m1": {"192.0.2.2:2380": target}, "m2": {}}))
        self.ports = json.loads(self.process.stdout.readline())
        if opened:
            self.tell("open")
            assert self.process.stdout.readline() == b"open\n"

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def dial(self, source: str = "m1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[source]), timeout=10)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(10) == 0


@pytest.fixture
def target() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


@pytest.fixture
def front(target: socket.socket) -> Iterator[Front]:
    front = Front(target.getsockname()[1])
    yield front
    front.close()


def through(front: Front, target: socket.socket, keep: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection through the front."""
    near = keep.enter_context(front.dial())
    near.sendall(HELLO)
    assert near.recv(2) == b"\x05\x00"
    near.sendall(WISH)
    assert exactly(near, 10)[:2] == b"\x05\x00"
    far, _ = target.accept()
    far.settimeout(10)
    return near, keep.enter_context(far)


def exactly(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = connection.recv(count - len(got))
        assert part, f"closed after {len(got)} of {count}"
        got += part
    return got


def test_large_data_arrives_as_it_is_both_ways(front: Front, target: socket.socket) -> None:
    data = bytes(range(256)) * 20_000  # 5 MB: more than all buffers on the way
    with ExitStack() as keep:
        near, far = through(front, target, keep)
        for source, sink in ((near, far), (far, near)):
            sender = threading.Thread(target=source.sendall, args=(data,))
            sender.start()
            assert exactly(sink, len(data)) == data
            sender.join()


def test_a_reader_that_stands_still_stops_the_writer(front: Front, target: socket.socket) -> None:
    """The front holds no more than its buffers: what a link can't carry must be felt by who sends."""
    with ExitStack() as keep:
        near, far = through(front, target, keep)
        near.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200_000_000:
                sent += near.send(b"x" * 65536)
        assert exactly(far, sent) == b"x" * sent


def test_a_handshake_in_single_bytes_is_understood(front: Front, target: socket.socket) -> None:
    with ExitStack() as keep:
        near = keep.enter_context(front.dial())
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HELLO + WISH:
            near.sendall(bytes([byte]))
        assert exactly(near, 12)[2:4] == b"\x05\x00"


def test_a_half_close_leaves_the_other_half(front: Front, target: socket.socket) -> None:
    with ExitStack() as keep:
        near, far = through(front, target, keep)
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        assert exactly(far, 8) == b"question"
        assert far.recv(1) == b""
        far.sendall(b"answer")
        assert exactly(near, 6) == b"answer"


def test_what_has_ended_on_both_sides_is_closed(front: Front, target: socket.socket) -> None:
    seen = psutil.Process(front.process.pid)
    before = seen.num_fds()
    with ExitStack() as keep:
        for first in (0, 1):
            ends = through(front, target, keep)
            ends[first].shutdown(socket.SHUT_WR)
            assert ends[1 - first].recv(1) == b""
            ends[1 - first].sendall(b"last words")
            ends[1 - first].shutdown(socket.SHUT_WR)
            assert exactly(ends[first], 10) == b"last words"
            assert ends[first].recv(1) == b""
        until(lambda: seen.num_fds() == before, "all of it is closed")


def test_a_reset_stays_a_reset(front: Front, target: socket.socket) -> None:
    with ExitStack() as keep:
        near, far = through(front, target, keep)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        with pytest.raises(ConnectionResetError):
            near.recv(1)


def test_another_source_has_no_way_there(front: Front) -> None:
    with front.dial("m2") as near:
        near.sendall(HELLO)
        assert near.recv(2) == b"\x05\x00"
        near.sendall(WISH)
        assert exactly(near, 10)[:2] == b"\x05\x02"
        assert near.recv(1) == b""


def test_a_proxy_that_refuses_is_a_refusal() -> None:
    ports = Ports()
    front = Front(ports.take())
    with front.dial() as near:
        near.sendall(HELLO + WISH)
        assert exactly(near, 12)[2:4] == b"\x05\x05"
    front.close()
    ports.close()


def test_nobody_passes_before_it_is_opened(target: socket.socket) -> None:
    front = Front(target.getsockname()[1], opened=False)
    with front.dial() as near:
        near.sendall(HELLO + WISH)
        assert exactly(near, 12)[2:4] == b"\x05\x05"
    front.close()


def test_it_ends_when_its_parent_is_gone(target: socket.socket) -> None:
    front = Front(target.getsockname()[1])
    with ExitStack() as keep:
        through(front, target, keep)  # open connections don't keep it
        front.close()
