"""Free ports on the loopback address that stay ours: also while the server that uses them is down.

A member that is killed frees its port until it is started again. So each port is held by a UDP socket of the same number, which no TCP
server minds and which everybody who chooses ports this way sees; the kernel lets go of it when this process ends, however it ends.
"""

from __future__ import annotations

import random
import socket

from kchaos.errors import HarnessError

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 32_000
"""Below what Linux, macOS and FreeBSD give to outgoing connections (32,768 and up), so that none of these takes a port by chance."""
TRIES = 400


class Ports:
    """Ports that are held until :meth:`close`."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self) -> int:
        """Return a port on which nobody listens and that nobody holds. Raises HarnessError if none is found."""
        draw = random.SystemRandom()  # xdist seeds the workers' generators alike
        for _ in range(TRIES):
            port = draw.randrange(FIRST, LAST)
            holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                holder.bind((HOST, port))
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last connections fade away is free
                    probe.bind((HOST, port))
            except OSError:
                holder.close()
                continue
            self._held.append(holder)
            return port
        raise HarnessError(f"no free port was found on {HOST} between {FIRST} and {LAST}: too many programs listen there")

    def close(self) -> None:
        """Let go of all; may be called twice."""
        while self._held:
            self._held.pop().close()
