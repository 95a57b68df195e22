"""A call to etcd ends with its answer, or with an error that says for certain, or not at all, that nothing happened."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from kchaos.real.client import Client, Watch
from kchaos.real.failures import CallError, had_no_effect
from kchaos.real.messages import (
    EVERYTHING_AFTER,
    FIRST,
    Compare,
    Delete,
    Event,
    Get,
    KeyValue,
    Put,
    Result,
    Target,
    WatchAnswer,
    prefix_end,
)
from kchaos.real.processes import ProcessCluster
from tests.conftest import tool

SERVERS = [pytest.param(name, marks=pytest.mark.needs(name, "toxiproxy")) for name in ("etcd", "etcd-3.5.1", "etcd-3.4")]
REFUSED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused"


@pytest.fixture(params=SERVERS)
def one(request: pytest.FixtureRequest) -> Iterator[ProcessCluster]:
    with ProcessCluster(1, str(tool(request.param)), toxiproxy=str(tool("toxiproxy"))) as cluster:
        yield cluster


@pytest.fixture
def newest() -> Iterator[ProcessCluster]:
    with ProcessCluster(1, str(tool("etcd")), toxiproxy=str(tool("toxiproxy"))) as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("code", "details", "certain"),
    [
        ("UNAVAILABLE", REFUSED, True),
        ("UNKNOWN", "etcdserver: too many requests", True),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", True),
        ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", True),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", True),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", True),
        ("UNIMPLEMENTED", "unknown service etcdserverpb.KV", True),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", False),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", False),
        ("DEADLINE_EXCEEDED", REFUSED, False),
        ("UNAVAILABLE", "Stream removed (Socket closed)", False),
        ("UNAVAILABLE", "Stream removed (recvmsg:Connection reset by peer (104))", False),
        ("UNAVAILABLE", "etcdserver: request timed out", False),
        ("UNAVAILABLE", "etcdserver: leader changed", False),
        ("UNAVAILABLE", "etcdserver: no leader", False),
        ("UNAVAILABLE", "etcdserver: server stopped", False),
        ("UNKNOWN", "raft proposal dropped", False),
        ("CANCELLED", "", False),
    ],
)
def test_only_what_certainly_had_no_effect_is_said_to_have_none(code: str, details: str, certain: bool) -> None:
    assert had_no_effect(code, details) is certain
    assert CallError(code, details).no_effect is certain


def test_a_prefix_ends_before_the_first_key_that_does_not_begin_with_it() -> None:
    assert prefix_end("r/") == "r0"
    assert "r/" < "r/zzz" < prefix_end("r/")


async def _requests(endpoint: str) -> None:
    async with Client(endpoint) as client:
        first = await client.put(Put("a", "ä1", previous=True))
        assert first.found == ((),)
        second = await client.put(Put("a", "2", previous=True))
        assert second.revision == first.revision + 1
        assert second.found == ((KeyValue("a", "ä1", first.revision, 1, first.revision),),)
        there = KeyValue("a", "2", second.revision, 2, first.revision)
        assert (await client.get(Get("a"))).found == ((there,),)
        assert (await client.get(Get("a", serializable=True))).found == ((there,),)
        old = await client.get(Get("a", revision=first.revision))
        assert old.found[0][0].value == "ä1" and old.revision == second.revision

        changed = await client.txn([Compare("a", Target.MOD, second.revision)], [Get("a"), Put("b", "x"), Delete("a", previous=True)], [Get("a")])
        assert changed.succeeded and changed.deleted == 1
        assert changed.found == ((there,), (), (there,))
        kept = await client.txn([Compare("a", Target.MOD, second.revision)], [Put("b", "y")], [Get("a"), Get("b")])
        assert not kept.succeeded and kept.revision == changed.revision
        assert [[pair.value for pair in found] for found in kept.found] == [[], ["x"]]

        missing, present = Compare("a", Target.VERSION, 0), Compare("b", Target.VALUE, "x")
        later = Compare("b", Target.CREATE, changed.revision - 1, Result.GREATER)
        assert (await client.txn([missing, present, later], [])).succeeded
        assert not (await client.txn([missing, present, later, Compare("b", Target.MOD, 1, Result.LESS)], [])).succeeded

        assert (await client.delete(Delete("none"))).revision == changed.revision
        gone = await client.delete(Delete("b", previous=True))
        assert gone.deleted == 1 and gone.found[0][0].value == "x"
        await client.put(Put("p/1", "1"))
        await client.put(Put("p/2", "2"))
        assert [pair.key for pair in (await client.get(Get("p/", prefix_end("p/")))).found[0]] == ["p/1", "p/2"]
        last = await client.delete(Delete("p/", prefix_end("p/")))
        assert last.deleted == 2

        status = await client.status()
        assert status.revision == last.revision and status.leader == status.member_id and status.raft_applied_index > 0
        assert [(member.member_id, member.name) for member in await client.members()] == [(status.member_id, "m1")]
        hashed = await client.hash_kv(last.revision)
        assert hashed.hash and hashed == await client.hash_kv(last.revision)
        assert (await client.hash_kv(first.revision)).hash != hashed.hash

        with pytest.raises(CallError, match="duplicate key") as refused:
            await client.txn([], [Put("c", "1"), Put("c", "2")])
        assert refused.value.no_effect
        with pytest.raises(CallError, match="future revision") as refused:
            await client.get(Get("a", revision=last.revision + 1))
        assert refused.value.no_effect
        with pytest.raises(CallError, match="too large") as refused:
            await client.put(Put("c", "x" * 1_900_000))
        assert refused.value.no_effect
        assert (await client.get(Get("c"))).found == ((),)


def test_every_request_is_answered_as_etcd_defines_it(one: ProcessCluster) -> None:
    asyncio.run(_requests(one.endpoint("m1")))


async def _next(watch: Watch) -> WatchAnswer:
    return await anext(watch)


async def _watches(endpoint: str) -> None:
    async with Client(endpoint) as client:
        first = (await client.put(Put("w/1", "a"))).revision
        both = (await client.txn([], [Put("w/1", "b"), Put("w/2", "c")])).revision
        async with asyncio.timeout(20), client.watch("w/", prefix_end("w/"), from_revision=first, previous=True) as watch:
            created = await anext(watch)
            assert created.created and created.revision == both and not created.progress
            events = []
            while len(events) < 3:
                events += (await anext(watch)).events
            before = KeyValue("w/1", "a", first, 1, first)
            assert events[:2] == [Event("w/1", "a", first, first, 1), Event("w/1", "b", both, first, 2, before)]
            assert events[2] == Event("w/2", "c", both, both, 1)
            gone = (await client.delete(Delete("w/2"))).revision
            deletion = (await anext(watch)).events
            assert [event[:5] for event in deletion] == [("w/2", None, gone, 0, 0)]
            await client.put(Put("elsewhere", "d"))
            reading = asyncio.create_task(_next(watch))
            while not reading.done():  # a member that is not yet in step answers nothing
                await watch.ask_progress()
                await asyncio.wait([reading], timeout=0.2)
            told = await reading
            assert told.progress and told.revision == gone + 1
            await watch.cancel()
            ended = told
            while not ended.canceled:  # answers to earlier requests for progress
                ended = await anext(watch)
        async with asyncio.timeout(20), client.watch(FIRST, EVERYTHING_AFTER, from_revision=first) as whole:
            keys: Counter[str] = Counter()
            while not keys["elsewhere"]:
                keys.update(event.key for event in (await anext(whole)).events)
            assert keys == {"w/1": 2, "w/2": 2, "elsewhere": 1}


def test_a_watch_tells_the_past_the_present_and_how_far_it_has_come(one: ProcessCluster) -> None:
    asyncio.run(_watches(one.endpoint("m1")))


async def _killed(cluster: ProcessCluster) -> Counter[tuple[str, bool]]:
    """Write from 16 tasks through three kills; return how the writes ended, each with whether it is in etcd's history."""
    ended: dict[str, str] = {}
    over = False
    async with Client(cluster.endpoint("m1")) as client:

        async def write(key: str) -> None:
            number = 0
            while not over:
                number += 1
                value = f"{key}-{number}"
                try:
                    await client.put(Put(key, value))
                    ended[value] = "ok"
                except CallError as error:
                    ended[value] = "failed" if error.no_effect else "unknown"
                    await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(write(f"k{number}")) for number in range(16)]
        for _ in range(3):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(cluster.pause, "m1")  # so that writes are under way when it dies
            await asyncio.sleep(0.2)
            await asyncio.to_thread(cluster.kill, "m1")
            await asyncio.sleep(0.2)
            await asyncio.to_thread(cluster.restart, "m1")
        before = sum(how == "ok" for how in ended.values())
        async with asyncio.timeout(30):
            while sum(how == "ok" for how in ended.values()) == before:
                await asyncio.sleep(0.05)
        over = True
        await asyncio.gather(*tasks)
        newest = (await client.put(Put("last", ""))).revision
        held: set[str] = set()
        async with asyncio.timeout(30), client.watch(FIRST, EVERYTHING_AFTER, from_revision=1) as watch:
            async for answer in watch:
                held.update(event.value or "" for event in answer.events)
                if answer.events and answer.events[-1].mod_revision >= newest:
                    break
    return Counter((how, value in held) for value, how in ended.items())


@pytest.mark.needs("etcd", "toxiproxy")
def test_writes_around_a_kill_are_ok_and_there_or_failed_and_not_there_or_unknown(newest: ProcessCluster) -> None:
    found = asyncio.run(_killed(newest))
    assert found["ok", True] > 100 and found["failed", False] > 10
    assert found["ok", False] == found["failed", True] == 0
    assert found["unknown", True] + found["unknown", False] > 0


async def _too_late(cluster: ProcessCluster) -> CallError:
    async with Client(cluster.endpoint("m1"), timeout_s=0.3) as client:
        await client.put(Put("a", "1"))
        cluster.pause("m1")
        try:
            with pytest.raises(CallError) as late:
                await client.put(Put("a", "2"))
        finally:
            cluster.resume("m1")
        assert (await client.get(Get("a"), timeout_s=20)).found[0][0].value in ("1", "2")
    return late.value


@pytest.mark.needs("etcd", "toxiproxy")
def test_a_write_that_was_not_answered_in_time_is_in_doubt(newest: ProcessCluster) -> None:
    error = asyncio.run(_too_late(newest))
    assert error.code == "DEADLINE_EXCEEDED" and not error.no_effect


async def _nobody(endpoint: str) -> tuple[CallError, CallError]:
    async with Client(endpoint) as client:
        with pytest.raises(CallError) as call:
            await client.get(Get("a"))
        with pytest.raises(CallError) as watch:
            async with client.watch("a") as stream:
                await anext(stream)
    return call.value, watch.value


def test_where_nobody_listens_nothing_is_sent(unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")  # of the environment, and not for a local member
    call, watch = asyncio.run(_nobody(f"127.0.0.1:{unused_port}"))
    assert call.not_connected and call.no_effect
    assert watch.not_connected


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Bound, and never listened at: a connection is refused, and nobody else can take it."""
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
