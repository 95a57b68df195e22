"""A Toxiproxy server alone, between whatever a test puts on its two sides; gone with its owner, like a cluster."""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
import time
from pathlib import Path

from kchaos.errors import HarnessError
from kchaos.real import binaries
from kchaos.real.leases import Lease, sweep
from kchaos.real.logs import reason
from kchaos.real.ports import HOST, Ports
from kchaos.real.toxiproxy import Toxiproxy

READY_WITHIN_S = 10.0
POLL_S = 0.02


class ToxiproxyServer:
    """One ``toxiproxy-server`` process; :attr:`api` is what it is told by. Proxies that listen on port 0 get a free one."""

    def __init__(self, binary: str = "toxiproxy-server") -> None:
        self._binary = binary
        self._owner = os.getpid()
        self._lease: Lease | None = None
        self._ports = Ports()
        self._process: subprocess.Popen[bytes] | None = None
        self._api: Toxiproxy | None = None

    @property
    def api(self) -> Toxiproxy:
        """Return the started server's interface. Raises HarnessError before the start and after the end."""
        if self._api is None:
            raise HarnessError("the Toxiproxy server is not started")
        return self._api

    def start(self) -> None:
        """Start it, and wait until it answers. Raises HarnessError; then nothing is left."""
        if self._lease is not None:
            raise HarnessError("the Toxiproxy server is started already")
        path = binaries.toxiproxy(self._binary)
        sweep()
        atexit.register(self.stop)
        try:
            lease = self._lease = Lease()
            folder = lease.own_folder(Path(tempfile.gettempdir()).absolute() / f"kchaos-toxiproxy-{lease.id}")
            port = self._ports.take()
            with (folder / "toxiproxy.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [path, "-host", HOST, "-port", str(port), "-proxy-metrics"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**binaries.environment(), **lease.environment(), "LOG_LEVEL": "warn"}, start_new_session=True,
                )  # fmt: skip
            lease.own_process(self._process.pid)
            self._api = self._ready(Toxiproxy(HOST, port), folder / "toxiproxy.log")
        except BaseException:  # Ctrl-C included
            self.stop()
            raise

    def _ready(self, api: Toxiproxy, log: Path) -> Toxiproxy:
        until = time.monotonic() + READY_WITHIN_S
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise HarnessError(f"Toxiproxy has ended: {reason(log.read_text(encoding='utf-8', errors='replace'))}")
            try:
                api.version()
                return api
            except HarnessError:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_S)

    def stop(self) -> None:
        """End it; may be called twice."""
        if os.getpid() != self._owner:  # a fork of the program that has started it
            return
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._lease is not None:
            self._lease.clean()
        self._ports.close()
        self._process = self._lease = self._api = None
        atexit.unregister(self.stop)

    def __enter__(self) -> ToxiproxyServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
