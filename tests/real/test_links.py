"""What the layers of cuts and toxics want of each proxy, and how that is applied: without any server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real.links import Change, Layer, Spot, Toxic, ToxicLinks, difference, wanted
from kchaos.real.toxiproxy import Passed, Proxy

PAIRS = [(a, b) for a in "abc" for b in "abc" if a != b]
CUT = (("timeout", 0),)
NOTHING_PASSES = Toxic("timeout", CUT)


class Recorder:
    """Keeps toxics as Toxiproxy does: a name is taken once, and only what is there can be changed or removed."""

    def __init__(self) -> None:
        self.toxics: dict[tuple[str, str], tuple[str, str, dict[str, int]]] = {}
        self.fails_after: int | None = None
        self.disabled: set[str] = set()
        self.calls: list[str] = []
        self.enabling_fails: int | None = None
        """How many more calls of :meth:`enable` succeed until one fails; those after it succeed again."""

    def _call(self) -> None:
        if self.fails_after is not None:
            if self.fails_after == 0:
                raise HarnessError("no answer")
            self.fails_after -= 1

    def add_toxic(self, proxy: str, name: str, kind: str, stream: str, attributes: Mapping[str, int]) -> None:
        self._call()
        assert (proxy, name) not in self.toxics
        self.toxics[proxy, name] = (kind, stream, dict(attributes))

    def update_toxic(self, proxy: str, name: str, attributes: Mapping[str, int]) -> None:
        self._call()
        kind, stream, _ = self.toxics[proxy, name]
        self.toxics[proxy, name] = (kind, stream, dict(attributes))

    def remove_toxic(self, proxy: str, name: str) -> None:
        self._call()
        del self.toxics[proxy, name]

    def proxies(self) -> Mapping[str, Proxy]:
        return {f"{a}-{b}": Proxy(f"{a}-{b}", f"listen-{a}-{b}", f"upstream-{a}-{b}", True) for a, b in PAIRS}

    def delete(self, proxy: str) -> None:
        self._call()
        self.toxics = {spot: toxic for spot, toxic in self.toxics.items() if spot[0] != proxy}

    def create(self, proxy: str, listen: str, upstream: str, enabled: bool) -> Proxy:
        self._call()
        assert not enabled, "before its toxics are laid"
        self.disabled.add(proxy)
        assert (listen, upstream) == (f"listen-{proxy}", f"upstream-{proxy}")
        self.calls.append(f"{proxy} anew")
        return Proxy(proxy, listen, upstream, enabled)

    def enable(self, proxy: str, enabled: bool = True) -> None:
        if self.enabling_fails is not None:
            self.enabling_fails -= 1
            if self.enabling_fails < 0:
                self.enabling_fails = None
                raise HarnessError("no answer")
        (self.disabled.discard if enabled else self.disabled.add)(proxy)
        self.calls.append(f"{proxy} {enabled}")

    def passed(self) -> Mapping[tuple[str, str], Passed]:
        return {("a-b", "upstream"): Passed(10, 9), ("b-a", "downstream"): Passed(5, 3), ("a-b", "downstream"): Passed(100, 100)}


def linked() -> tuple[Recorder, ToxicLinks]:
    server = Recorder()
    return server, ToxicLinks({(a, b): (server, f"{a}-{b}") for a, b in PAIRS})  # type: ignore[dict-item, misc]


def has(server: Recorder) -> dict[Spot, Toxic]:
    found = {}
    for (proxy, _), (kind, stream, attributes) in server.toxics.items():
        spot = Spot((proxy[0], proxy[2]), stream)
        assert spot not in found, "Toxiproxy 2.12 crashes with two toxics on a stream"
        found[spot] = Toxic(kind, tuple(attributes.items()))
    return found


def test_the_data_from_a_to_b_passes_upstream_of_one_proxy_and_downstream_of_the_other() -> None:
    assert wanted([Layer((("a", "b"),), "timeout", CUT)]) == {
        Spot(("a", "b"), "upstream"): NOTHING_PASSES, Spot(("b", "a"), "downstream"): NOTHING_PASSES,
    }  # fmt: skip


def test_of_two_latencies_at_a_spot_the_later_one_counts() -> None:
    early, late = (("latency", 10), ("jitter", 0)), (("latency", 50), ("jitter", 5))
    layers = [Layer((("a", "b"),), "latency", early), Layer((("a", "b"),), "latency", late)]
    assert set(wanted(layers).values()) == {Toxic("latency", late)}


def test_what_is_new_comes_before_what_goes() -> None:
    x, y = Spot(("a", "b"), "upstream"), Spot(("a", "c"), "upstream")
    assert difference({x: NOTHING_PASSES}, {y: NOTHING_PASSES}) == (Change(y, NOTHING_PASSES, True), Change(x, None))


def test_another_kind_takes_the_place_of_the_one_that_is_there() -> None:
    spot, narrow = Spot(("a", "b"), "upstream"), Toxic("bandwidth", (("rate", 3),))
    assert difference({spot: NOTHING_PASSES}, {spot: narrow}) == (Change(spot, None), Change(spot, narrow, True))


def test_a_cut_counts_over_whatever_is_laid_before_or_after_it() -> None:
    cut = Layer((("a", "b"),), "timeout", CUT)
    late = Layer((("a", "b"),), "latency", (("latency", 10), ("jitter", 0)))
    assert wanted([late, cut]) == wanted([cut, late]) == wanted([cut])


def test_nothing_is_called_where_nothing_changes() -> None:
    state = wanted([Layer((("a", "b"), ("b", "a")), "timeout", CUT)])
    assert difference(state, dict(state)) == ()


def test_a_pair_is_whole_when_the_last_of_two_cuts_is_undone() -> None:
    server, links = linked()
    first, second = links.cut([("a", "b"), ("b", "a")]), links.cut([("a", "b")])
    first()
    first()
    assert has(server) == wanted([Layer((("a", "b"),), "timeout", CUT)])
    second()
    assert server.toxics == {}


def test_undoing_the_later_latency_brings_the_earlier_back() -> None:
    server, links = linked()
    links.toxic([("a", "b")], "latency", latency=10)
    later = links.toxic([("a", "b")], "latency", latency=50, jitter=5)
    assert {tuple(one[2].values()) for one in server.toxics.values()} == {(50, 5)}
    later()
    assert {tuple(one[2].values()) for one in server.toxics.values()} == {(10, 0)}


def test_a_cut_and_a_toxic_of_one_pair_are_undone_apart() -> None:
    server, links = linked()
    cut = links.cut([("a", "b")])
    links.toxic([("a", "b")], "bandwidth", rate=5)
    assert {one[0] for one in server.toxics.values()} == {"timeout"}
    cut()
    assert {one[0] for one in server.toxics.values()} == {"bandwidth"}
    links.heal()
    assert server.toxics == {}


@pytest.mark.parametrize("calls", range(4))
def test_a_cut_that_fails_in_the_middle_is_taken_back_by_the_next_change(calls: int) -> None:
    server, links = linked()
    server.fails_after = calls
    with pytest.raises(HarnessError):
        links.cut([("a", "b"), ("b", "a")])
    server.fails_after = None
    links.heal()
    assert server.toxics == {}


def test_an_undo_that_fails_in_the_middle_is_finished_by_the_next_change() -> None:
    server, links = linked()
    undo = links.cut([("a", "b"), ("b", "a")])
    server.fails_after = 1
    with pytest.raises(HarnessError):
        undo()
    server.fails_after = None
    again = links.toxic([("a", "c")], "slow_close", delay=3)
    assert {one[0] for one in server.toxics.values()} == {"slow_close"}
    again()
    assert server.toxics == {}


def test_what_cannot_be_laid_is_said() -> None:
    _, links = linked()
    with pytest.raises(InvalidScenario, match="no link from a to z"):
        links.cut([("a", "b"), ("a", "z")])
    with pytest.raises(InvalidScenario, match="no toxic gravity"):
        links.toxic([("a", "b")], "gravity")
    with pytest.raises(InvalidScenario, match="latency takes no rate"):
        links.toxic([("a", "b")], "latency", rate=3)


def test_without_members_counters_those_of_ended_connections_are_summed_by_direction() -> None:
    _, links = linked()
    assert (links.bytes()["a", "b"], links.bytes()["b", "a"]) == ((15, 12), (100, 100))


def test_connections_that_are_cut_both_ways_are_closed_first_and_one_way_ones_live_on() -> None:
    server, links = linked()
    links.cut([("a", "b")])
    assert server.calls == []
    links.cut([("b", "a")])
    assert sorted(server.calls) == ["a-b False", "a-b True", "b-a False", "b-a True"]


def test_connections_of_a_paused_member_are_closed_before_a_toxic_is_laid() -> None:
    server = Recorder()
    paused = {"a"}
    links = ToxicLinks({(a, b): (server, f"{a}-{b}") for a, b in PAIRS}, silent=paused.__contains__)  # type: ignore[dict-item, misc]
    undo = links.toxic([("c", "a")], "reset_peer", timeout=5)
    links.toxic([("b", "c")], "reset_peer", timeout=5)
    assert sorted(server.calls) == ["a-c False", "a-c True", "c-a False", "c-a True"]
    paused.clear()
    undo()
    assert len(server.calls) == 4


@pytest.mark.parametrize("kind, anew", [("latency", 2), ("bandwidth", 2), ("slow_close", 2), ("reset_peer", 0)])
def test_proxies_whose_data_is_held_back_are_made_anew_when_the_toxic_goes(kind: str, anew: int) -> None:
    """Else Toxiproxy waits for whoever reads what is held, seconds for each piece."""
    server, links = linked()
    undo = links.toxic([("a", "b")], kind)
    assert server.calls == []
    undo()
    assert len([call for call in server.calls if call.endswith("anew")]) == anew
    assert server.toxics == {}


def test_a_failure_leaves_no_proxy_disabled() -> None:
    server, links = linked()
    server.fails_after = 1
    with pytest.raises(HarnessError):
        links.cut([("a", "b"), ("b", "a")])
    assert server.disabled == set()


@pytest.mark.parametrize("calls", range(4))
def test_a_proxy_that_could_not_be_enabled_again_is_enabled_with_the_next_change(calls: int) -> None:
    """Whichever of the calls fails that close connections (two) and let the proxies listen again (two)."""
    server, links = linked()
    server.enabling_fails = calls
    with pytest.raises(HarnessError):
        links.cut([("a", "b"), ("b", "a")])
    assert server.enabling_fails is None and (server.disabled != set()) == (calls >= 2)
    links.heal()
    assert (server.disabled, server.toxics) == (set(), {})


@pytest.mark.parametrize("calls", range(2))
def test_a_proxy_made_anew_that_could_not_be_enabled_is_enabled_with_the_next_change(calls: int) -> None:
    server, links = linked()
    undo = links.toxic([("a", "b")], "latency", latency=5)
    server.enabling_fails = calls
    with pytest.raises(HarnessError):
        undo()
    assert server.disabled != set()
    links.heal()
    assert (server.disabled, server.toxics) == (set(), {})


KINDS = st.sampled_from(["cut", "latency", "bandwidth", "reset_peer", "slow_close"])
TAKES = {"latency": "latency", "bandwidth": "rate", "reset_peer": "timeout", "slow_close": "delay"}


@given(st.lists(st.tuples(KINDS, st.lists(st.sampled_from(PAIRS), min_size=1, unique=True), st.integers(0, 9), st.integers(0, 20)), max_size=25))
def test_after_any_history_the_proxies_have_what_the_layers_that_are_left_want(steps: list[tuple[str, list[tuple[str, str]], int, int]]) -> None:
    server, links = linked()
    laid: dict[int, tuple[Layer, Callable[[], None]]] = {}
    for number, (kind, pairs, value, ends) in enumerate(steps):
        if kind == "cut":
            laid[number] = Layer(tuple(pairs), "timeout", CUT), links.cut(pairs)
        else:
            undo = links.toxic(pairs, kind, **{TAKES[kind]: value})
            attributes = (("latency", value), ("jitter", 0)) if kind == "latency" else ((TAKES[kind], value),)
            laid[number] = Layer(tuple(pairs), kind, attributes), undo
        if ends in laid:
            laid.pop(ends)[1]()
        assert server.disabled == set()
        assert has(server) == wanted(layer for layer, _ in laid.values())
