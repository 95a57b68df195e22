"""What the workload records of a real etcd is what etcd did: judged here by replaying the members' own history, without kchaos' checkers."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kchaos.engine.etcd.calls import Call
from kchaos.engine.etcd.drawing import Mix
from kchaos.engine.etcd.finals import final_reads
from kchaos.engine.etcd.polling import Poller
from kchaos.engine.etcd.watchers import Watchers
from kchaos.engine.etcd.workload import Workload
from kchaos.history.operations import Operation, Outcome, Seen, operation_of
from kchaos.history.record import Header, Run, load
from kchaos.history.recorder import Recorder
from kchaos.real.client import Client
from kchaos.real.messages import Put
from kchaos.real.processes import ProcessCluster
from tests.conftest import tool

SERVERS = [pytest.param(name, marks=pytest.mark.needs(name, "toxiproxy")) for name in ("etcd", "etcd-3.5.1", "etcd-3.4")]
MEMBERS = ("m1", "m2", "m3")


def cluster_of(size: int, name: str = "etcd") -> ProcessCluster:
    return ProcessCluster(size, str(tool(name)), toxiproxy=str(tool("toxiproxy")))


@pytest.fixture
def three() -> Iterator[ProcessCluster]:
    with cluster_of(3) as cluster:
        yield cluster


async def _run(cluster: ProcessCluster, meanwhile: Callable[[Workload], Coroutine[Any, Any, None]], **load: Any) -> Run:
    """Let a workload run while something happens, then stop it and read all members."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    def now() -> float:
        return loop.time() - began

    recorder = Recorder(Header(), now)
    asked, polled = asyncio.Event(), asyncio.Event()
    keys = Mix().names()
    async with AsyncExitStack() as stack:
        clients = {member: await stack.enter_async_context(Client(cluster.endpoint(member))) for member in cluster.members}
        workload = Workload(clients, recorder, now, seed=5, **load)
        poller, watchers = Poller(clients, recorder), Watchers(clients, recorder, seed=5, keys=keys)
        async with watchers, asyncio.TaskGroup() as group:
            group.create_task(poller.run(polled))
            group.create_task(watchers.wander(asked))
            asking = group.create_task(workload.run(asked))
            await meanwhile(workload)
            asked.set()
            await asking
            held = await final_reads(clients, recorder, workload, poller, keys=keys, within_s=3.0)
            late = await watchers.caught_up(held, within_s=3.0)
            polled.set()
    assert [name for name, _ in late if name != "key-m3" or "m3" in held] == [], "a watcher was not told of all"
    assert workload.counters.operations == sum(1 for _ in recorder.so_far().marks("op"))
    return recorder.finish()


async def until(workload: Workload, operations: int) -> None:
    async with asyncio.timeout(60):
        while workload.counters.operations < operations:
            await asyncio.sleep(0.02)


def history(run: Run, member: str) -> dict[int, list[list[Any]]]:
    """A member's own events by revision, from its log's parts."""
    parts = [mark.data for mark in run.marks("log") if mark.data["member"] == member]
    same = next((part["same_as"] for part in parts if "same_as" in part), None)
    if same is not None:
        return history(run, same)
    found: dict[int, list[list[Any]]] = defaultdict(list)
    for part in parts:
        for event in part["events"]:
            found[event[2]].append(list(event))
    return found


def replay(run: Run) -> Counter[str]:
    """Compare each operation with the history; return how many of each sort were compared."""
    log = history(run, "m1")
    newest = max(log)
    assert sorted(log) == list(range(2, newest + 1)), "the history has a hole"
    states: dict[int, dict[str, Seen]] = {1: {}}
    for revision in range(2, newest + 1):
        state = dict(states[revision - 1])
        for key, value, mod, create, version in log[revision]:
            old = state.pop(key, None)
            if value is None:
                continue
            state[key] = Seen(key, value, mod, version, create)
            assert (version, create) == ((old.version + 1, old.create_revision) if old else (1, revision))
        states[revision] = state
    values = {event[1] for events in log.values() for event in events}
    compared: Counter[str] = Counter()
    for mark in run.marks("op"):
        one = operation_of(mark)
        compared[f"{one.kind} {one.outcome}"] += 1
        if one.outcome is Outcome.FAILED:
            assert not {value for _, value in one.writes if value} & values
        if one.outcome is not Outcome.OK:
            continue
        assert 0 <= one.call_s < one.return_s
        if one.succeeded and (any(value for _, value in one.writes) or one.deleted):
            before = states[one.revision - 1]
            wanted = {(key, value) for key, value in one.writes if value is not None or key in before}
            assert {(event[0], event[1]) for event in log[one.revision]} == wanted
            assert one.deleted == sum(value is None for _, value in wanted)
        else:
            before = states[one.revision]
        assert one.seen == tuple(before.get(key, Seen(key, None)) for key in one.reads)
        held = all(before.get(key, Seen(key, None)).mod_revision == revision for key, revision in one.compares)
        assert one.succeeded == held
    return compared


def watched(run: Run) -> dict[str, list[list[Any]]]:
    """All events that each watcher was told, over all its streams."""
    found: dict[str, list[list[Any]]] = defaultdict(list)
    for mark in run.marks("watched"):
        found[mark.data["watcher"]] += [list(event) for event in mark.data["events"]]
    return found


def complete(run: Run) -> None:
    """Each watcher was told exactly what its keys' history holds, from where it began to the last that it was told."""
    log = history(run, "m1")
    began: dict[str, tuple[str, int]] = {}
    for mark in run.marks("watch"):
        began.setdefault(mark.data["watcher"], (mark.data["prefix"], mark.data["from_revision"]))
    for mark in run.marks("watch-created"):
        prefix, first = began[mark.data["watcher"]]
        began[mark.data["watcher"]] = prefix, first or mark.data["revision"] + 1
    for name, events in watched(run).items():
        prefix, first = began[name]
        wanted = [event for revision in range(max(2, first), events[-1][2] + 1) for event in log[revision] if event[0].startswith(prefix)]
        assert events == wanted, name


@pytest.mark.parametrize("server", SERVERS)
def test_all_that_is_recorded_of_a_healthy_cluster_is_what_its_history_says(server: str, tmp_path: Path) -> None:
    async def busy(workload: Workload) -> None:
        await until(workload, 1500)

    with cluster_of(3, server) as cluster:
        run = asyncio.run(_run(cluster, busy))
    run.save(tmp_path / "run.jsonl")
    back = load(tmp_path / "run.jsonl")
    assert back.digest == run.digest
    compared = replay(back)
    assert {sort.split()[0] for sort in compared} == {"put", "get", "serializable-get", "cas", "delete", "txn"}
    assert not any("unknown" in sort or "failed" in sort for sort in compared)
    complete(back)
    assert watched(back).keys() >= {"all-from-now", "all-from-1", "key-m1", "key-m2", "key-m3"}
    assert history(back, "m2") == history(back, "m3") == history(back, "m1")
    hashes = [mark.data for mark in back.marks("hash")]
    assert sorted(one["member"] for one in hashes) == list(MEMBERS) and len({(one["revision"], one["hash"]) for one in hashes}) == 1
    ends = [mark.data for mark in back.marks("final")]
    assert all(one["reachable"] and one["leader"] in MEMBERS for one in ends) and len({(one["leader"], one["raft_term"]) for one in ends}) == 1
    assert {mark.data["member"] for mark in back.marks("status")} == set(MEMBERS)


@pytest.mark.needs("etcd", "toxiproxy")
def test_a_member_that_was_killed_leaves_failed_and_unknown_calls_new_processes_and_watches_without_a_hole(three: ProcessCluster) -> None:
    async def kills(workload: Workload) -> None:
        for member in ("m1", "m2", "m1", "m2", "m1", "m2"):
            await until(workload, workload.counters.operations + 500)
            # frozen first, so that calls are under way when it dies; were they all reads, whose failures are plain, it takes another round
            await asyncio.to_thread(three.pause, member)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(three.kill, member)
            await until(workload, workload.counters.operations + 200)
            await asyncio.to_thread(three.restart, member)
            if member == "m2" and workload.counters.unknown:
                break
        failed = workload.counters.outcomes[Outcome.FAILED]
        await until(workload, workload.counters.operations + failed + 1000)

    run = asyncio.run(_run(three, kills, count=15))
    operations = [operation_of(mark) for mark in run.marks("op")]
    compared = replay(run)
    outcomes = Counter(one.outcome for one in operations)
    assert outcomes[Outcome.FAILED] and outcomes[Outcome.UNKNOWN] and outcomes[Outcome.OK] > 1000, compared
    by_process: dict[int, list[Operation]] = defaultdict(list)
    for one in operations:
        by_process[one.process].append(one)
    for calls in by_process.values():
        assert all(one.outcome is not Outcome.UNKNOWN for one in calls[:-1]), "a process goes on after an unknown outcome"
        assert all(a.return_s <= b.call_s for a, b in pairwise(calls)), "a process does two things at a time"
        assert len({one.member for one in calls}) == 1
    values = [value for one in operations for _, value in one.writes if value is not None]
    assert len(set(values)) == len(values)
    assert all(one.outcome is Outcome.FAILED or one.writes for one in operations if one.outcome is not Outcome.OK)
    complete(run)
    streams = Counter(mark.data["watcher"] for mark in run.marks("watch-created"))
    assert streams["all-from-now"] > 1 and streams["all-from-1"] > 1, "no watcher has resumed"


@pytest.mark.needs("etcd", "toxiproxy")
def test_a_member_that_is_down_at_the_end_is_not_reachable_and_the_others_are_read(three: ProcessCluster) -> None:
    async def end(workload: Workload) -> None:
        await until(workload, 300)
        await asyncio.to_thread(three.kill, "m3")

    run = asyncio.run(_run(three, end))
    assert {mark.data["member"]: mark.data["reachable"] for mark in run.marks("final")} == {"m1": True, "m2": True, "m3": False}
    assert {mark.data["member"] for mark in run.marks("hash")} == {mark.data["member"] for mark in run.marks("log")} == {"m1", "m2"}
    assert [mark.data for mark in run.marks("unread")] == []
    assert any("error" in mark.data for mark in run.marks("status") if mark.data["member"] == "m3")
    replay(run)


@pytest.mark.needs("etcd", "toxiproxy")
def test_a_rate_is_kept_and_keys_of_others_are_in_the_history() -> None:
    async def others(workload: Workload) -> None:
        async with Client(cluster.endpoint("m1")) as client:
            await client.put(Put("foreign", "x"))
        await until(workload, 150)

    with cluster_of(1) as cluster:
        run = asyncio.run(_run(cluster, others, rate=200.0, count=8))
    calls = sorted(one.call_s for one in map(operation_of, run.marks("op")) if len(one.reads) != Mix().keys)
    within = max(sum(1 for call in calls if first <= call < first + 0.25) for first in calls)
    assert within <= 0.25 * 200 + 8, "more than the rate, and one in hand for each client"
    assert any(event[0] == "foreign" for events in history(run, "m1").values() for event in events)


async def _two(a: ProcessCluster, b: ProcessCluster) -> tuple[Run, dict[str, int], list[tuple[str, int]]]:
    """Read two clusters as if they were two members of one, the second of which has lost what came last."""
    recorder = Recorder(Header(), asyncio.get_running_loop().time)
    async with Client(a.endpoint("m1")) as first, Client(b.endpoint("m1")) as second:
        clients = {"m1": first, "m2": second}
        workload, poller = Workload(clients, recorder, recorder_clock, seed=1), Poller(clients, recorder)
        async with Watchers(clients, recorder, seed=1, keys=("r/00",)) as watchers:
            for number in range(20):
                await first.put(Put("r/00", str(number)))
                if number < 15:
                    await second.put(Put("r/00", str(number)))
            held = await final_reads(clients, recorder, workload, poller, keys=("r/00",), within_s=5.0)
            late = await watchers.caught_up(held, within_s=10.0)
            return recorder.finish(), held, list(late)


def recorder_clock() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.needs("etcd", "toxiproxy")
def test_a_member_that_has_lost_its_last_writes_is_read_as_far_as_it_goes_and_nobody_waits_for_them() -> None:
    with cluster_of(1) as a, cluster_of(1) as b:
        run, held, late = asyncio.run(_two(a, b))
    assert held == {"m1": 21, "m2": 16}
    assert late == []
    reads = [operation_of(mark) for mark in run.marks("op")]
    assert Counter((one.member, one.revision) for one in reads) == {("m1", 21): 1, ("m2", 16): 2}, "who is behind is asked again"
    assert {(mark.data["member"], mark.data["revision"]) for mark in run.marks("hash")} == {("m1", 21), ("m1", 16), ("m2", 16)}
    assert len({mark.data["hash"] for mark in run.marks("hash") if mark.data["revision"] == 16}) == 1
    assert max(history(run, "m1")) == 21 and max(history(run, "m2")) == 16
    assert not list(run.marks("unread"))


class _Failing:
    """A client whose library fails when a call may have been sent already."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def put(self, _request: Put) -> Any:
        raise self._error


@pytest.mark.parametrize(("error", "told"), [
    (RuntimeError("the channel is closed"), "RuntimeError: the channel is closed"),
    (asyncio.CancelledError(), "CANCELLED: by kchaos"),
])  # fmt: skip
def test_a_write_is_on_record_however_its_call_ends(error: BaseException, told: str) -> None:
    """It may have been sent: without it, what it wrote would be told of as if nobody had written it."""
    recorder = Recorder(Header(), lambda: 1.0)
    clients: Any = {"m1": _Failing(error)}
    workload = Workload(clients, recorder, lambda: 1.0, seed=0)
    with pytest.raises(type(error)):
        asyncio.run(workload.do(0, "m1", Call("put", (), (("k", "v"),), ())))
    (operation,) = map(operation_of, recorder.finish().marks("op"))
    assert (operation.outcome, operation.writes, operation.error) == (Outcome.UNKNOWN, (("k", "v"),), told)
