"""Cuts and toxics on a real Toxiproxy: nothing passes a cut at any moment, and an answer that is lost leads to no wrong state."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from kchaos.errors import HarnessError
from kchaos.real.links import Layer, Spot, Toxic, ToxicLinks, wanted
from kchaos.real.ports import HOST
from kchaos.real.toxiproxy import Toxiproxy
from tests.real.gateway import until
from tests.real.toxiproxies import Server, way_to

pytestmark = pytest.mark.needs("toxiproxy")
A, B = ("a", "b"), ("b", "a")
CUT = Layer((A,), "timeout", (("timeout", 0),))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    server = Server(tmp_path_factory.mktemp("toxiproxy"), "one")
    yield server.api
    server.close()


class Sink(socketserver.ThreadingTCPServer):
    """Counts what arrives."""

    daemon_threads = True
    arrived = 0

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while data := self.request.recv(65536):
                    self.server.arrived += len(data)  # type: ignore[attr-defined]  # socketserver types its server as the base class
            except OSError:
                pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink((HOST, 0), Sink.Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxies(api: Toxiproxy, sink: Sink) -> Iterator[dict[tuple[str, str], int]]:
    """Return the port of the proxy of each directed pair; both lead to the sink."""
    made = {pair: api.create("-".join(pair), f"{HOST}:0", f"{HOST}:{sink.server_address[1]}") for pair in (A, B)}
    yield {pair: int(proxy.listen.rpartition(":")[2]) for pair, proxy in made.items()}
    for name in api.proxies():
        api.delete(name)


def linked(api: Toxiproxy) -> ToxicLinks:
    return ToxicLinks({A: (api, "a-b"), B: (api, "b-a")})


def has(api: Toxiproxy) -> dict[Spot, Toxic]:
    return {
        Spot(pair, one.stream): Toxic(one.type, tuple(one.attributes.items()))
        for pair in (A, B) for one in api.toxics("-".join(pair)).values()
    }  # fmt: skip


class Hammer:
    """Dials, sends and dials again, as fast as it can, from some threads."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends = threading.Event()
        self.sent = 0
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                with socket.create_connection((HOST, self._port), timeout=1) as connection:
                    for _ in range(20):
                        connection.sendall(b"x")
                        self.sent += 1
            except OSError:
                continue

    def __enter__(self) -> Hammer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()


def test_nothing_passes_a_cut_while_its_proxy_is_made_anew(api: Toxiproxy, sink: Sink, proxies: dict[tuple[str, str], int]) -> None:
    """A latency on the way back goes, so the proxy is made anew; the cut of the way there stays."""
    links = linked(api)
    undo = links.cut([A])
    with Hammer(proxies[A]) as hammer:
        for _ in range(25):
            links.toxic([B], "latency", latency=5)()
        before = hammer.sent
        until(lambda: hammer.sent > before, "it is dialled after all")
        assert sink.arrived == 0
        assert has(api) == wanted([CUT])
        undo()
        until(lambda: sink.arrived > 0, "what is sent arrives when the cut is undone")


@pytest.mark.parametrize("arrives", [True, False], ids=["arrives", "lost"])
@pytest.mark.parametrize(
    ("verb", "part"),
    [("DELETE", "/proxies/a-b"), ("POST", "/proxies"), ("POST", "/toxics"), ("PATCH", "/proxies/a-b"), ("GET", "/proxies")],
)  # fmt: skip
def test_an_answer_that_is_lost_while_a_proxy_is_made_anew_is_made_good_by_the_next_change(
    api: Toxiproxy, sink: Sink, proxies: dict[tuple[str, str], int], verb: str, part: str, arrives: bool
) -> None:
    with way_to(api) as way:
        links = linked(Toxiproxy(HOST, way.port, timeout_s=5))
        links.cut([A])
        undo = links.toxic([B], "latency", latency=5)
        way.lose(verb, part, arrives)
        with Hammer(proxies[A]):
            with pytest.raises(HarnessError, match=r"Toxiproxy at .* can't be reached"):
                undo()
            links.toxic([B], "reset_peer", timeout=50)
        assert sink.arrived == 0
        assert has(api) == wanted([CUT, Layer((B,), "reset_peer", (("timeout", 50),))])
        assert all(proxy.enabled and proxy.listen == f"{HOST}:{proxies[pair]}" for pair in (A, B) for proxy in [api.proxies()["-".join(pair)]])
        links.heal()
        assert has(api) == {}


@pytest.mark.parametrize("arrives", [True, False], ids=["arrives", "lost"])
@pytest.mark.parametrize("verb", ["POST", "PATCH", "DELETE"])
def test_an_answer_that_is_lost_about_a_toxic_is_made_good_by_the_next_change(
    api: Toxiproxy, proxies: dict[tuple[str, str], int], verb: str, arrives: bool
) -> None:
    assert len(proxies) == 2
    with way_to(api) as way:
        links = linked(Toxiproxy(HOST, way.port, timeout_s=5))
        undo = links.toxic([A], "reset_peer", timeout=50)
        way.lose(verb, "/toxics", arrives)
        with pytest.raises(HarnessError, match=r"Toxiproxy at .* can't be reached"):
            undo() if verb == "DELETE" else links.toxic([B] if verb == "POST" else [A], "reset_peer", timeout=70)
        links.toxic([B], "reset_peer", timeout=90)
        left = [] if verb == "DELETE" else [Layer((A,), "reset_peer", (("timeout", 50),))]
        assert has(api) == wanted([*left, Layer((B,), "reset_peer", (("timeout", 90),))])


def test_a_proxy_that_someone_else_removed_is_named(api: Toxiproxy, proxies: dict[tuple[str, str], int]) -> None:
    assert len(proxies) == 2
    links = linked(api)
    undo = links.toxic([A], "latency", latency=5)
    api.delete("a-b")
    with pytest.raises(HarnessError, match="proxy a-b was removed by someone else"):
        undo()
