"""A real Toxiproxy server for tests, and a way to its interface that loses answers."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kchaos.errors import HarnessError
from kchaos.real.ports import Ports
from kchaos.real.toxiproxy import Toxiproxy
from tests.conftest import tool
from tests.real.gateway import until


class Server:
    """Two of them stand beside each other; the library would talk to the one that was named last."""

    def __init__(self, folder: Path, name: str) -> None:
        self.ports = Ports()
        port = self.ports.take()
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            command = [str(tool("toxiproxy")), "-host", "127.0.0.1", "-port", str(port), "-proxy-metrics"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.api = Toxiproxy("127.0.0.1", port)

        def answers() -> bool:
            try:
                return bool(self.api.version())
            except HarnessError:
                return False

        until(answers, "Toxiproxy answers")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.ports.close()


class Way:
    """Passes requests on to a Toxiproxy, and loses what :meth:`lose` says: the connection ends without an answer."""

    def __init__(self) -> None:
        self.port = 0
        self._lost: tuple[str, str, bool] | None = None

    def lose(self, verb: str, part: str, arrives: bool) -> None:
        """Lose the next request of this verb whose path has ``part``; it reaches Toxiproxy, or not."""
        self._lost = verb, part, arrives

    def loses(self, verb: str, path: str) -> bool | None:
        """Return whether a request that is to be lost arrives, None if it is not to be lost."""
        if self._lost is None or self._lost[0] != verb or self._lost[1] not in path:
            return None
        arrives, self._lost = self._lost[2], None
        return arrives


@contextmanager
def way_to(server: Toxiproxy) -> Iterator[Way]:
    way = Way()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            arrives = way.loses(self.command, self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if arrives is not False:
                connection = http.client.HTTPConnection(server.address, timeout=10)
                kept = {name: value for name, value in self.headers.items() if name in ("Content-Type", "User-Agent")}
                connection.request(self.command, self.path, body or None, kept)
                answer = connection.getresponse()
                told = answer.read()
                connection.close()
            if arrives is None:
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)
            self.close_connection = True

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        way.port = listener.server_address[1]
        yield way
        listener.shutdown()
        thread.join()
