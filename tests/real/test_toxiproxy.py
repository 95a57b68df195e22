"""The wrapper on a real Toxiproxy server, with a server behind it that echoes."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kchaos.errors import HarnessError
from kchaos.real.ports import Ports
from kchaos.real.toxiproxy import Passed, Proxy, Toxiproxy, parse_metrics
from tests.real.gateway import until
from tests.real.toxiproxies import Server

pytestmark = pytest.mark.needs("toxiproxy")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    folder = tmp_path_factory.mktemp("toxiproxy")
    one, two = Server(folder, "one"), Server(folder, "two")
    yield one, two
    one.close()
    two.close()


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, and tells when a connection has ended."""

    ended: float | None = None

    def handle(self) -> None:
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass
        Echo.ended = time.monotonic()


class Threaded(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def proxied(servers: tuple[Server, Server]) -> Iterator[tuple[Toxiproxy, Proxy]]:
    Echo.ended = None
    with Threaded(("127.0.0.1", 0), Echo) as echo:
        thread = threading.Thread(target=echo.serve_forever)
        thread.start()
        api = servers[0].api
        proxy = api.create("p", "127.0.0.1:0", f"127.0.0.1:{echo.server_address[1]}")
        yield api, proxy
        api.delete("p")
        echo.shutdown()
        thread.join()


@contextmanager
def dialled(proxy: Proxy) -> Iterator[socket.socket]:
    host, _, port = proxy.listen.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def echoed(connection: socket.socket, data: bytes = b"ping") -> float:
    began = time.monotonic()
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        part = connection.recv(65536)
        assert part, "closed"
        got += part
    assert got == data
    return time.monotonic() - began


def test_each_instance_keeps_its_own_address(servers: tuple[Server, Server]) -> None:
    one, two = servers[0].api, servers[1].api
    one.create("only-here", "127.0.0.1:0", "127.0.0.1:9")
    assert "only-here" in one.proxies()
    assert "only-here" not in two.proxies()
    one.delete("only-here")
    assert "only-here" not in one.proxies()


def test_a_disabled_proxy_drops_its_connections_and_refuses_new_ones(proxied: tuple[Toxiproxy, Proxy]) -> None:
    api, proxy = proxied
    with dialled(proxy) as connection:
        echoed(connection)
        api.enable("p", False)
        with pytest.raises((AssertionError, OSError)):
            echoed(connection)
    with pytest.raises(ConnectionRefusedError), dialled(proxy):
        pass
    assert not api.proxies()["p"].enabled
    api.enable("p")
    with dialled(proxy) as connection:
        echoed(connection)


def test_latency_is_felt_changed_and_taken_away(proxied: tuple[Toxiproxy, Proxy], servers: tuple[Server, Server]) -> None:
    api, proxy = proxied
    with dialled(proxy) as connection:
        api.add_toxic("p", "late", "latency", "upstream", {"latency": 120, "jitter": 0})
        assert echoed(connection) >= 0.12
        api.update_toxic("p", "late", {"latency": 240})
        assert api.toxics("p")["late"].attributes == {"latency": 240, "jitter": 0}
        assert echoed(connection) >= 0.24
        api.remove_toxic("p", "late")
        assert api.toxics("p") == {}
        until(lambda: echoed(connection) < 0.12, "no latency")
    assert "deprecated" not in servers[0].log.read_text(encoding="utf-8").lower().replace("depercated", "deprecated")  # its own spelling; POST would say so


def test_a_reset_is_felt_as_one(proxied: tuple[Toxiproxy, Proxy]) -> None:
    api, proxy = proxied
    api.add_toxic("p", "reset", "reset_peer", "downstream", {"timeout": 0})
    with dialled(proxy) as connection, pytest.raises(ConnectionResetError):
        connection.sendall(b"ping")
        if not connection.recv(10):
            connection.sendall(b"ping")
            connection.recv(10)


def test_slow_close_keeps_the_other_side_open(proxied: tuple[Toxiproxy, Proxy]) -> None:
    api, proxy = proxied
    api.add_toxic("p", "slow", "slow_close", "upstream", {"delay": 400})
    with dialled(proxy) as connection:
        echoed(connection)
        closed = time.monotonic()
    until(lambda: Echo.ended is not None, "the server sees the end")
    assert Echo.ended is not None
    assert Echo.ended - closed >= 0.4


def test_bandwidth_is_felt(proxied: tuple[Toxiproxy, Proxy]) -> None:
    api, proxy = proxied
    api.add_toxic("p", "narrow", "bandwidth", "upstream", {"rate": 100})
    with dialled(proxy) as connection:
        assert echoed(connection, b"x" * 50_000) >= 0.4


def test_bytes_of_a_connection_count_when_it_ends(proxied: tuple[Toxiproxy, Proxy]) -> None:
    """So that what lives is counted by the members: see kchaos/real/traffic.py."""
    api, proxy = proxied
    before = api.passed().get(("p", "upstream"), Passed(0, 0))
    with dialled(proxy) as connection:
        echoed(connection, b"x" * 1000)
        assert api.passed().get(("p", "upstream"), Passed(0, 0)) == before
    until(lambda: api.passed().get(("p", "upstream")) == (before.received + 1000, before.sent + 1000), "they are counted")


def test_what_a_timeout_toxic_drops_was_received_and_not_sent(proxied: tuple[Toxiproxy, Proxy]) -> None:
    api, proxy = proxied
    before = api.passed().get(("p", "upstream"), Passed(0, 0))
    api.add_toxic("p", "cut", "timeout", "upstream", {"timeout": 0})
    with dialled(proxy) as connection:
        connection.sendall(b"x" * 500)
        time.sleep(0.1)
        api.remove_toxic("p", "cut")
        assert connection.recv(10) == b""  # closed, since it has lost data
    until(lambda: api.passed().get(("p", "upstream")) == (before.received + 500, before.sent), "held bytes are counted")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda api: api.enable("nobody"), "refused PATCH /proxies/nobody: proxy not found"),
        (lambda api: api.add_toxic("p", "x", "gravity", "upstream", {}), "refused POST /proxies/p/toxics: invalid toxic type"),
        (lambda api: api.add_toxic("p", "x", "latency", "sideways", {}), "stream was invalid"),
        (lambda api: api.create("p", "127.0.0.1:0", "127.0.0.1:9"), "proxy already exists"),
        (lambda api: api.create("q", api.address, "127.0.0.1:9"), "address already in use"),
    ],
)
def test_errors_are_told_in_toxiproxys_words(proxied: tuple[Toxiproxy, Proxy], call, says: str) -> None:
    with pytest.raises(HarnessError, match=says):
        call(proxied[0])


def test_nobody_at_the_address_is_one_sentence() -> None:
    ports = Ports()
    with pytest.raises(HarnessError, match="can't be reached"):
        Toxiproxy("127.0.0.1", ports.take()).version()
    ports.close()


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(HarnessError, match=r"did not answer GET /proxies within 0.1 s"):
        Toxiproxy("127.0.0.1", silent.getsockname()[1], timeout_s=0.1).proxies()


@pytest.mark.parametrize(
    ("body", "says"),
    [(b"2.5.0", "2.5.0 at .* is too old"), (b"hello", "no Toxiproxy"), (b'{"version": "git"}', None), (b'{"version": "2.12.0"}', None)],
)
def test_what_is_too_old_or_something_else_is_refused(body: bytes, says: str | None) -> None:
    with answering(200, body) as port:
        if says is None:
            assert Toxiproxy("127.0.0.1", port).version() in body.decode()
        else:
            with pytest.raises(HarnessError, match=says):
                Toxiproxy("127.0.0.1", port).version()


def test_an_error_of_the_server_is_not_taken_for_an_answer() -> None:
    with answering(500, b'{"error": "out of sockets", "status": 500}') as port, pytest.raises(HarnessError, match=r"out of sockets \(HTTP 500\)"):
        Toxiproxy("127.0.0.1", port).create("p", "127.0.0.1:0", "127.0.0.1:9")


def test_a_proxy_of_the_users_environment_is_not_asked(servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert servers[0].api.version()


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


METRICS = """# HELP toxiproxy_proxy_received_bytes_total \n# TYPE toxiproxy_proxy_received_bytes_total counter
toxiproxy_proxy_received_bytes_total{direction="upstream",listener="127.0.0.1:1",proxy="m1-m2",upstream="127.0.0.1:2"} 1.5e+03
toxiproxy_proxy_received_bytes_total{direction="upstream",listener="127.0.0.1:7",proxy="m1-m2",upstream="127.0.0.1:2"} 2
toxiproxy_proxy_sent_bytes_total{direction="upstream",listener="127.0.0.1:1",proxy="m1-m2",upstream="127.0.0.1:2"} 1400
toxiproxy_proxy_sent_bytes_total{direction="downstream",listener="127.0.0.1:1",proxy="m1-m2",upstream="127.0.0.1:2"} 7
"""


def test_metrics_are_summed_over_listeners() -> None:
    assert parse_metrics(METRICS) == {("m1-m2", "upstream"): (1502, 1400), ("m1-m2", "downstream"): (0, 7)}
